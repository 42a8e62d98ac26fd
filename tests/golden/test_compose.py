"""compose.yaml and what programs are told otherwise in containers, for the settings of the other golden files.

After a change that is meant, `RENEW_GOLDEN=1 scripts/test tests/golden` writes them anew; look at the difference.
"""

import os
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from docker.engine import CACHE, place_compose
from golden.test_golden import HERE, REGISTRATION, TOLD, settings_of, write_pair
from programs import need
from samsesh.engines.compose import kept, render
from samsesh.engines.compose.docker import Docker
from samsesh.engines.compose.files import of_containers
from samsesh.engines.compose.judge import _run as run_command
from samsesh.engines.compose.placement import ComposePlacement, facts_in_containers, service
from samsesh.formats import to_compose_yaml
from samsesh.home import Home
from samsesh.model import Context, Plan
from samsesh.plan import make_plan
from samsesh.secrets import Secret, Secrets

LOOKED_AT = (
    *("coturn/turnserver.conf", "livekit/livekit.yaml", "postgres/postgresql.conf", "postgres/pg_hba.conf"),
    *("agent/agent.json", "splitter/splitter.json", "element-web/index.html", "call/index.html"),
)
SECRETS = Secrets(**{field.name: Secret(f"the-{field.name}") for field in fields(Secrets)})
NAMES = sorted(path.stem for path in HERE.glob("*.toml"))
REACHED = {"gateway", "splitter", "coturn", "livekit"}  # from outside
OUTWARD = {"synapse", "lk-jwt-service"}  # they go out


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def home(tmp_path: Path, name: str) -> Home:
    made = Home(tmp_path / "home")
    made.path.mkdir()
    shutil.copy(HERE / f"{name}.toml", made.settings_file)
    (made.path / "bridge.yaml").write_text(REGISTRATION)
    write_pair(made.path / "turn.pem")
    trustme.CA().cert_pem.write_to_path(str(made.path / "root.pem"))
    for picture in ("logo.svg", "background.svg"):
        (made.path / picture).write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    return made


def rendered(home: Home, folder: Path) -> tuple[dict[str, Any], dict[str, bytes], Plan]:
    """(compose.yaml as data, the other files by path below the folder, the plan)."""
    settings = settings_of(home)
    facts = facts_in_containers(TOLD, settings)
    plan = make_plan(Context(settings, SECRETS, facts, ComposePlacement(home, settings)))
    project = render.Project("samsesh-test", folder, folder / "run", (1000, 1001), TOLD.memory)
    given = render.given(plan, SECRETS)
    found = {str(file.path.relative_to(folder)): file.content for file in of_containers(project, given)}
    return render.compose(project, plan, given, settings), found, plan


def told(compose: dict[str, Any]) -> bytes:
    """Without what changes with every line of our code."""
    text = to_compose_yaml(compose).decode()
    text = re.sub(r"samsesh:\S+-[0-9a-f]{12}", "samsesh:VERSION", text)
    return re.sub(r"(fingerprint: )\w{64}", r"\1FINGERPRINT", text).encode()


def test_rendered(home: Home, name: str, tmp_path: Path) -> None:
    """What is written for these settings is what somebody looked at; no secret is in compose.yaml, nor this machine."""
    compose, files, _ = rendered(home, tmp_path / "out")
    found = {"compose.yaml": told(compose)}
    found |= {path: files[f"config/{path}"] for path in LOOKED_AT if f"config/{path}" in files}
    folder = HERE / "compose" / name
    if os.environ.get("RENEW_GOLDEN"):
        shutil.rmtree(folder, ignore_errors=True)
        for path, content in found.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    looked_at = {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    assert found == looked_at, "if that is meant: RENEW_GOLDEN=1 scripts/test tests/golden"
    assert b"the-" not in found["compose.yaml"] and str(tmp_path).encode() not in found["compose.yaml"]


def test_trials_are_closed(home: Home, tmp_path: Path) -> None:
    """A container in which an image judges new files has these alone, read-only: no volume, no socket, no network but
    the relay's, and no more rights than the one that runs.
    """
    compose, _, plan = rendered(home, tmp_path)
    for unit in plan.units:
        if unit.judge is None:
            continue
        about = compose["services"][service(unit.name)]
        argv = run_command(tmp_path, "trial", unit, about, [*unit.judge.command])
        options = argv[: argv.index(about["image"])]
        assert f"--user={about['user']}" in options and "--read-only" in options
        assert "--cap-drop=ALL" in options and f"--entrypoint={unit.judge.command[0]}" in options
        assert (f"--network={'host' if unit.name == 'coturn' else 'none'}") in options
        assert not any(option.startswith(("--volume", "-v", "--publish")) for option in options)
        mounts = [option for option in options if option.startswith("--mount=")]
        assert mounts and all(f'"source={tmp_path}/' in mount for mount in mounts)
        assert all(mount.endswith(",readonly") and "/run/samsesh" not in mount for mount in mounts)
        named = {Path(mount.partition("target=")[2].partition('"')[0]) for mount in mounts}
        for file in unit.judge.files:
            assert any(file.path.is_relative_to(path) for path in named), file.path


@pytest.mark.parametrize("name", ["external"], indirect=True)
def test_tools_for_a_database_of_somebody_elses(home: Home, tmp_path: Path) -> None:
    """A container for the moment is given the files that the URL names, and the password in its environment alone."""
    folder, settings = tmp_path / "out", settings_of(home)
    _, files, plan = rendered(home, folder)
    project = render.Project("samsesh-test", folder, folder / "run", (1000, 1001), TOLD.memory)
    docker = Docker("samsesh-test", folder)
    command, env = kept.postgres_tool(docker, settings, SECRETS, plan, "pg_dump", None, project)
    (volume,) = [word.removeprefix("--volume=") for word in command if word.startswith("--volume=")]
    outside, inside, _ = volume.split(":")
    assert str(Path(outside).relative_to(folder)) in files
    assert {
        f"--env=PGSSLROOTCERT={inside}",
        "--env=PGSSLMODE=verify-full",
        "--env=PGHOST=db.example.org",
    } <= {*command}
    assert env["PGPASSWORD"] == "pass:word" and "pass:word" not in " ".join(command)


def test_closed(home: Home, tmp_path: Path) -> None:
    """Every container is closed: one user, no capability but for two programs, a read-only root, limits, pinned."""
    compose, _, plan = rendered(home, tmp_path / "out")
    services = dict(compose["services"])
    prepare = services.pop("volumes")
    assert prepare["network_mode"] == "none" and prepare["cap_add"] == [
        "CHOWN",
        "SETUID",
        "SETGID",
    ]
    assert compose["networks"]["matrix-network"] == {"internal": True}
    for name, one in {**services, "volumes": prepare}.items():
        assert one["read_only"] and one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"] and one["mem_limit"] > 0, name
        assert one["logging"]["options"] == {"max-size": "10m", "max-file": "5"}, name
        assert not one["image"].endswith(":latest") and ":" in one["image"], name
    for name, one in services.items():
        assert one["user"] == "1000:1001" and one["restart"] == "unless-stopped", name
        assert one.get("cap_add", []) == (["NET_BIND_SERVICE"] if name in ("gateway", "coturn") else []), name
        assert one["healthcheck"]["test"][0] == "CMD", name
        if name == "coturn":  # the relay is the machine's
            assert one["network_mode"] == "host" and not one.keys() & {"networks", "ports"}
            continue
        public = "matrix-public" in one["networks"]
        assert public == (name in REACHED | OUTWARD), name
        assert ("matrix-network" in one["networks"]) == (name != "livekit"), name
        assert ("ports" in one) == (name in REACHED), name
    assert {unit.name for unit in plan.units} == {
        "rtc-auth" if n == "lk-jwt-service" else n for n in services
    }


def test_only_what_is_needed_is_published(home: Home, tmp_path: Path) -> None:
    """No port of the database, of Synapse or of what is behind the gateway, and no range."""
    compose, _, _ = rendered(home, tmp_path / "out")
    settings = settings_of(home)
    local = settings.server.access == "local" and not settings.calls.media_addresses
    for name, one in compose["services"].items():
        for port in one.get("ports", []):
            host, _, rest = port.rpartition(f":{port.rpartition(':')[2]}")[0].rpartition(":")
            assert host in ("127.0.0.1", "[::1]") or not local, (name, port)
            assert "-" not in rest, (name, port)


@pytest.fixture(scope="session")
def plugin() -> str:
    """The folder of Docker's configuration with Compose in it; no engine is needed."""
    need("docker")
    CACHE.mkdir(parents=True, exist_ok=True)
    place_compose()
    return str(CACHE / "config")


@pytest.mark.slow  # where it is not there yet, Compose is built first
def test_compose_reads_it(home: Home, tmp_path: Path, plugin: str) -> None:
    """Docker Compose itself takes the file, and nothing in it depends on variables of whoever runs it."""
    folder = tmp_path / "out"
    compose, files, _ = rendered(home, folder)
    for path, content in {**files, "compose.yaml": to_compose_yaml(compose)}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    done = subprocess.run(
        ["docker", "compose", "--project-directory", str(folder), "config"],
        env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "DOCKER_CONFIG": plugin},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["services"].keys() == compose["services"].keys()
    assert "variable is not set" not in done.stderr
