"""Every file that a plan renders, in three settings: as it was last looked at, and as its program reads it.

After a change that is meant, `RENEW_GOLDEN=1 scripts/test tests/golden` writes them anew; look at the difference.
"""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
import trustme

from conftest import give_to_service_user
from element_web import write
from programs import livekit_server
from samsesh.engines.native import files, start
from samsesh.engines.native.placement import NativePlacement
from samsesh.facts import Facts, gather
from samsesh.home import SERVICE_USER, Home
from samsesh.load import flat, validate
from samsesh.model import Context, File, Plan
from samsesh.plan import make_plan
from samsesh.run import PASSED_ON
from samsesh.secrets import Secret, Secrets, ensure
from samsesh.settings import Settings

HERE = Path(__file__).parent
GB = 1024**3
TOLD = Facts(
    system="Linux",
    machine="x86_64",
    libc="glibc",
    python="/opt/samsesh/bin/python",
    command="samsesh",
    memory=4 * GB,
    cores=2,
    uid=1000,
    loopback=("127.0.0.1", "::1"),
    addresses=("203.0.113.7", "2001:db8::7"),
    outward=("192.168.7.5",),
    lowest_port=1024,
    jemalloc="/usr/lib/libjemalloc.so.2",
    programs={
        name: f"/opt/samsesh/bin/{name}"
        for name in (
            *("python", "caddy", "postgres", "initdb", "pg_dump", "pg_restore"),
            *("livekit-server", "turnserver"),
        )
    },
    versions={"livekit-server": "1.13.5", "turnserver": "4.6.1"},
)
REGISTRATION = """
id: bridge
url: null
as_token: one
hs_token: two
sender_localpart: bridge
namespaces: {}
"""
PAGE = "<!doctype html><html><head><title>Element Call</title><script>window.global = window;</script></head></html>"
SECRET_FILES = {
    *("config/synapse/pgpass", "config/synapse/turn_secret", "config/livekit/keys.yaml"),
    *("config/livekit/turn_secret", "config/rtc-auth/keys", "config/coturn/turnserver.conf"),
    "config/gateway/doctor_key",
}
AS_OWNER = (
    ("setpriv", f"--reuid={SERVICE_USER}", f"--regid={SERVICE_USER}", "--clear-groups")
    if os.geteuid() == 0
    else ()
)
READ_SUPERVISORD = """
import sys
from supervisor.options import ServerOptions
options = ServerOptions()
options.realize(["-c", sys.argv[1], "-n"])
print(" ".join(sorted(group.name for group in options.process_group_configs)))
"""


@pytest.fixture(params=sorted(path.stem for path in HERE.glob("*.toml")))
def name(request: pytest.FixtureRequest) -> str:
    """One of the settings beside this file."""
    return str(request.param)


@pytest.fixture
def home(homes: Path, name: str) -> Iterator[Home]:
    made = Home(homes / f"golden-{name}")
    for folder in (
        made.path,
        made.logs_dir,
        made.logs_dir / "synapse",
        made.data_dir,
        made.data_dir / "gateway",
    ):
        folder.mkdir(exist_ok=True, mode=0o700)
    shutil.copy(HERE / f"{name}.toml", made.settings_file)
    (made.path / "bridge.yaml").write_text(REGISTRATION)
    (made.path / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    write_pair(made.path / "turn.pem")
    trustme.CA().cert_pem.write_to_path(str(made.path / "root.pem"))
    (made.path / "background.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    write(made.path / "element-web")
    (made.path / "bundle").mkdir()
    (made.path / "bundle/index.html").write_text(PAGE)
    yield made
    shutil.rmtree(made.path)


def write_pair(path: Path) -> None:
    """A certificate and its key in one file."""
    trustme.CA().issue_cert("example.org").private_key_and_cert_chain_pem.write_to_path(str(path))


def settings_of(home: Home) -> Settings:
    text = home.settings_file.read_text()
    return validate(flat(tomllib.loads(text)), home, text)


def planned(home: Home, facts: Facts, secrets: Secrets) -> Plan:
    settings = settings_of(home)
    bundles = {"element-call": str(home.path / "bundle"), "element-web": str(home.path / "element-web")}
    facts = replace(facts, bundles=bundles)
    return make_plan(Context(settings, secrets, facts, NativePlacement(home, settings, facts)))


def configuration(home: Home, plan: Plan, python: str) -> list[File]:
    """The rendered files, without the pages' own scripts, styles and pictures, without pages in other languages, and
    without copies of the operator's files.
    """
    left_out = {"assets", "errors", "fa", "files"}
    return [file for file in files.plan_files(home, plan, python) if left_out.isdisjoint(file.path.parts)]


def test_rendered_files(home: Home, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written for these settings is what somebody looked at, byte for byte; no secret but where it belongs."""
    for variable in PASSED_ON:
        monkeypatch.delenv(variable, raising=False)
    secrets = Secrets(**{field.name: Secret(f"the-{field.name}") for field in fields(Secrets)})
    rendered = {
        str(file.path.relative_to(home.path)): told(home, file.content)
        for file in configuration(home, planned(home, TOLD, secrets), TOLD.python)
    }
    folder = HERE / name
    if os.environ.get("RENEW_GOLDEN"):
        shutil.rmtree(folder, ignore_errors=True)
        for path, content in rendered.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
    looked_at = {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    assert rendered.keys() == looked_at.keys()
    for path, content in rendered.items():
        assert content == looked_at[path], (
            f"{path} differs; if that is meant: RENEW_GOLDEN=1 scripts/test tests/golden"
        )
        if path not in SECRET_FILES:
            assert b"the-" not in content.replace(b"the-clear", b"").replace(b"the-livekit_key", b"")


def told(home: Home, content: bytes) -> bytes:
    """The same for every home and every place of the program."""
    places = {
        str(home.path): "/srv/samsesh",
        home.id: "0123456789",
        str(Path(start.__file__).parent): "/opt/samsesh/native",
    }
    for here, there in places.items():
        content = content.replace(here.encode(), there.encode())
    return content


def test_programs_read_them(home: Home) -> None:
    """Caddy, Synapse, PostgreSQL and supervisord accept what is written for them on this machine."""
    facts = gather()
    calls = {"livekit-server": "/usr/bin/livekit-server", "turnserver": "/usr/bin/turnserver"}
    facts = replace(facts, jemalloc="", programs={**facts.programs, **calls})
    plan = planned(home, facts, ensure(home))
    home.make_runtime_dir()
    for file in files.plan_files(home, plan, facts.python):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(file.content)
        file.path.chmod(file.mode)
    give_to_service_user(home.path)
    config = home.config_dir

    read(facts.programs["caddy"], "validate", "--config", str(config / "gateway" / "caddy.json"))
    wanted = settings_of(home).server.name
    synapse = (
        "-m",
        "synapse.config",
        "read",
        "server.server_name",
        "-c",
        str(config / "synapse" / "homeserver.yaml"),
    )
    assert read(sys.executable, *synapse).split()[-1] == wanted
    units = sorted(unit.name for unit in plan.units)
    if "livekit" in units:
        read_by_livekit = read(
            str(livekit_server()), "--config", str(config / "livekit" / "livekit.yaml"), "ports"
        )
        assert (
            "ICE/UDP" in read_by_livekit
        )  # an unknown key ends its start, and this with only that in its words
    conf = str(config / "supervisord.conf")
    assert read(sys.executable, "-W", "ignore", "-c", READ_SUPERVISORD, conf).split() == units
    if "postgres" in units:
        data = str(home.data_dir / "postgres" / "18")
        read(facts.programs["initdb"], "-D", data, "--no-sync")
        asked = ("-C", "password_encryption", f"--config-file={config / 'postgres' / 'postgresql.conf'}")
        assert read(facts.programs["postgres"], "-D", data, *asked).split() == ["scram-sha-256"]


def read(*command: str) -> str:
    """What a program says that accepts its configuration."""
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANG": "C.UTF-8"}
    done = subprocess.run([*AS_OWNER, *command], env=env, capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
