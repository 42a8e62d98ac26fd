"""Settings are text: no program whose files they get into expands anything in them, on either engine."""

import json
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trustme
import yaml

from conftest import free_offset, give_to_service_user
from element_web import write
from golden.test_compose import plugin as plugin  # a fixture
from golden.test_compose import rendered
from golden.test_golden import AS_OWNER, PAGE, REGISTRATION, TOLD, planned, settings_of
from programs import free_port, livekit_server
from samsesh.engines.native import files
from samsesh.errors import SettingsError
from samsesh.facts import gather
from samsesh.formats import to_caddy_json, to_compose_yaml
from samsesh.home import Home
from samsesh.load import save, validate
from samsesh.model import Plan, Route
from samsesh.ops import service
from samsesh.secrets import ensure
from samsesh.services.gateway.handlers import route_json
from samsesh.settings import Settings

# What Caddy, Go's templates, Compose, LiveKit, systemd, supervisord, Element Web and HTML would read as something else.
HOSTILE = r"{env.x}\{env.x}{x}${x}$x%(env_x)s%h{{1}}<b>&_t("
EXPANDED = "was-expanded"  # what the variable x holds
# As much of it as addresses on the web and of e-mail may have.
URL = "https://example.org/$x%(env_x)s%h&_t("
EMAIL = "{env.x}{x}${x}$x%s{{1}}&_t@example.org"
FORMS = (
    HOSTILE,
    URL,
    f"https://example.org/{HOSTILE}",
    EMAIL,
    f"@{HOSTILE}:localhost",
    f"#{HOSTILE}:localhost",
)
FILES = {  # settings that name a file, which has to be there
    "brand.logo": f"{HOSTILE}.svg",
    "brand.background": f"{HOSTILE}.svg",
    **dict.fromkeys(
        ("tls.certificate", "turn.certificate", "federation.ca", "tls.directory_ca"), f"{HOSTILE}.pem"
    ),
    **dict.fromkeys(("tls.certificate_key", "turn.certificate_key"), f"{HOSTILE}.key"),
    "synapse.appservices": f"{HOSTILE}.yaml",
}
FREE = {  # those that took such a text when this was written; what is added is tried, too
    *FILES,
    *(
        "brand.name",
        "support.matrix_id",
        "support.email",
        "support.page",
        "tls.email",
        "tls.directory",
    ),
    *(
        "registration.auto_join_rooms",
        "artifacts.mirror",
        "artifacts.livekit",
        "artifacts.element_web",
    ),
}
ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "x": EXPANDED,
    "env_x": EXPANDED,
}
MODES: dict[str, dict[str, Any]] = {
    "local": {},
    "lan": {"server.access": "lan", "server.address": "192.0.2.7"},
    "files": {"server.access": "domain", "server.name": "example.org", "tls.mode": "files"},
    "acme": {"server.access": "domain", "server.name": "example.org", "tls.mode": "acme"},
}


def hostile(home: Home) -> dict[str, Any]:
    """Every setting that takes such a text, with it."""
    found: dict[str, Any] = {}
    for section, field in Settings.model_fields.items():
        for name in getattr(field.annotation, "model_fields", {}):
            key = f"{section}.{name}"
            for form in (FILES.get(key, form) for form in FORMS):
                for value in (form, [form]):
                    try:
                        validate({key: value}, home)
                    except SettingsError:
                        continue
                    found.setdefault(key, value)
    assert found.keys() >= FREE
    links = [{"text": HOSTILE, "url": URL}]
    extra = {"hostile": [HOSTILE, f"https://{HOSTILE}"]}
    return {**found, "brand.footer_links": links, "extra.synapse": extra, "extra.element_web": extra}


@pytest.fixture(params=sorted(MODES))
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def home(homes: Path, mode: str) -> Iterator[Home]:
    """In a folder with such a name, too, as far as one is taken."""
    made = Home(homes / re.sub(r"[{}|,]", "", HOSTILE) / mode)
    for folder in (made.path, made.logs_dir, made.data_dir, made.data_dir / "gateway"):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made.path.parent.chmod(0o711)
    certificate = trustme.CA().issue_cert("example.org")
    contents = {
        ".svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        ".pem": certificate.cert_chain_pems[0].bytes(),
        ".key": certificate.private_key_pem.bytes(),
        ".yaml": REGISTRATION.encode(),
    }
    for ending, content in contents.items():
        (made.path / f"{HOSTILE}{ending}").write_bytes(content)
    write(made.path / "element-web")
    (made.path / "bundle").mkdir()
    (made.path / "bundle/index.html").write_text(PAGE)
    save(made, {**hostile(made), "ports.offset": free_offset(), **MODES[mode]})
    yield made
    shutil.rmtree(made.path)


def written(home: Home) -> Plan:
    """The plan of processes, with its files where they belong."""
    facts = gather()
    calls = {"livekit-server": "/usr/bin/livekit-server", "turnserver": "/usr/bin/turnserver"}
    facts = replace(
        facts, addresses=TOLD.addresses, outward=TOLD.outward, programs={**facts.programs, **calls}
    )
    plan = planned(home, facts, ensure(home))
    home.make_runtime_dir()
    for file in files.plan_files(home, plan, facts.python):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(file.content)
        file.path.chmod(file.mode)
    give_to_service_user(home.path)
    return plan


def said(*command: str, ok: bool = True) -> str:
    done = subprocess.run([*AS_OWNER, *command], env=ENV, capture_output=True, text=True, timeout=60, cwd="/")
    assert done.returncode == 0 or not ok, done.stdout + done.stderr
    assert EXPANDED not in done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def serving(config: Path, log: Path) -> Iterator[httpx2.Client]:
    """The real Caddy with this configuration."""
    command = [*AS_OWNER, gather().programs["caddy"], "run", "--config", str(config)]
    with log.open("wb") as err, subprocess.Popen(command, env=ENV, stderr=err, cwd="/") as caddy:
        try:
            transport = httpx2.HTTPTransport(retries=6)  # until it listens
            with closing(httpx2.Client(transport=transport, trust_env=False)) as client:
                yield client
        finally:
            caddy.terminate()


@pytest.mark.parametrize("mode", ["local"], indirect=True)
def test_the_gateway_serves_what_was_written(home: Home, tmp_path: Path) -> None:
    """Contact, links, names and policies arrive as they stand in the settings, and no variable's or file's content."""
    plan = written(home)
    web = plan.offer.addresses["web"]
    with serving(home.config_dir / "gateway" / "caddy.json", tmp_path / "log") as client:
        support = client.get(f"{plan.offer.addresses['homeserver']}/.well-known/matrix/support").json()
        config = client.get(f"{web}/config.json").json()
        manifest = client.get(f"{web}/manifest.json").json()
        pages = [
            client.get(url)
            for url in (
                f"{web}/",
                f"{web}/connect",
                f"{web}/samsesh/welcome.html",
                plan.offer.addresses["call"],
            )
        ]
    assert support == {
        "contacts": [{"role": "m.role.admin", "matrix_id": f"@{HOSTILE}:localhost", "email_address": EMAIL}],
        "support_page": URL,
    }
    assert config["brand"] == manifest["name"] == HOSTILE
    assert config["branding"]["auth_footer_links"][0] == {
        "text": HOSTILE,
        "url": URL,
    }
    assert config["hostile"] == [HOSTILE, f"https://{HOSTILE}"]
    for page in pages:
        assert page.status_code == 200 and HOSTILE in unescape(page.text)
        assert "<b>&" not in page.text and EXPANDED not in page.text + str(page.headers)
    # What Element Web would look up: our own texts alone.
    assert not re.search(r"\$x|_t\((?!'(?:samsesh|action)\|[a-z_]+'\))", pages[2].text)


def test_programs_read_them_as_text(home: Home, mode: str) -> None:
    """Each program's own reader finds the settings in its file as they are: the gateway in every way to be reached."""
    plan, config = written(home), home.config_dir
    said(gather().programs["caddy"], "validate", "--config", str(config / "gateway" / "caddy.json"))
    if mode == "lan":  # the name of our own authority
        root = home.data_dir / "gateway/pki/authorities/local/root.crt"
        assert f"{HOSTILE} at localhost (root)".encode() in ssl.PEM_cert_to_DER_cert(root.read_text())
    supervisord = said(
        gather().python, "-W", "ignore", "-c", READ_SUPERVISORD, str(config / "supervisord.conf")
    )
    for unit in plan.units:
        specification = str(files.spec_path(home, unit))
        assert json.dumps([unit.name, str(files.log_path(home, unit.name)), specification]) in supervisord
    livekit = yaml.safe_load((config / "livekit/livekit.yaml").read_text())
    assert "ICE/UDP" in said(str(livekit_server()), "--config", str(config / "livekit/livekit.yaml"), "ports")
    if servers := livekit["rtc"].get("turn_servers"):
        assert HOSTILE not in {one["host"] for one in servers}
    synapse = yaml.safe_load((config / "synapse/homeserver.yaml").read_text())
    assert synapse["hostile"][0] == HOSTILE
    coturn = (config / "coturn/turnserver.conf").read_text().splitlines()
    copy = home.data_dir / "coturn/turns.pem"
    if mode == "local":
        copy = home.copy_of("turn.certificate", f"{HOSTILE}.pem")
    assert f"cert={copy}" in coturn


READ_SUPERVISORD = """
import json, sys
from supervisor.options import ServerOptions
options = ServerOptions()
options.realize(["-c", sys.argv[1], "-n"])
for group in options.process_group_configs:
    for config in group.process_configs:
        import shlex
        print(json.dumps([config.name, config.stdout_logfile, shlex.split(config.command)[-1]]))
"""


@pytest.mark.parametrize("mode", ["local"], indirect=True)
def test_systemd_takes_the_unit(home: Home, tmp_path: Path) -> None:
    """systemd's own check finds no name of a variable or specifier in the unit of such a folder."""
    unit = tmp_path / "samsesh-test.service"
    unit.write_text(service.unit_text(home, settings_of(home), "user", {}))
    if not Path("/usr/bin/systemd-analyze").exists():
        pytest.skip("systemd-analyze is not installed")
    assert not re.findall(
        r"Invalid|Unknown|Failed to (?:parse|resolve)",
        said("/usr/bin/systemd-analyze", "verify", str(unit), ok=False),
    )


def test_compose_expands_nothing(home: Home, tmp_path: Path, plugin: str) -> None:
    """Docker Compose reads every text as it is, whatever variables whoever runs it has."""
    folder = tmp_path / HOSTILE
    compose, others, _ = rendered(home, folder)
    for path, content in {**others, "compose.yaml": to_compose_yaml(compose)}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    done = subprocess.run(
        ["docker", "compose", "--project-directory", str(folder), "config", "--format", "json"],
        env={**ENV, "DOCKER_CONFIG": plugin},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and EXPANDED not in done.stdout and "variable is not set" not in done.stderr
    services = json.loads(done.stdout.replace("$$", "$"))["services"]
    for name, service_ in compose["services"].items():
        for key in ("command", "entrypoint"):
            assert services[name][key] == service_.get(key), name
        assert services[name].get("environment", {}) == service_.get("environment", {}), name
        assert services[name].get("healthcheck", {}).get("test") == service_.get("healthcheck", {}).get(
            "test"
        ), name
    sources = {mount["source"] for one in services.values() for mount in one.get("volumes", [])}
    assert any(source.endswith(f"{HOSTILE}.pem") for source in sources)
    assert all(Path(source).exists() for source in sources if source.startswith("/") and "/run" not in source)


@pytest.mark.parametrize("mode", ["local"], indirect=True)
def test_the_gateway_changes_pages_of_containers(home: Home, tmp_path: Path) -> None:
    """What it puts into another container's page is text to the gateway's templates, too."""
    _, others, _ = rendered(home, tmp_path / "out")
    folder = home.path / "templates"
    folder.mkdir()
    (folder / "index.html").write_bytes(others["config/call/index.html"])
    ours = Route("call", root=folder, rewrite={"*": "/index.html"}, template=True)
    upstream = Route("call", ("/samsesh/upstream/*",), answer=(200, PAGE))
    port = free_port()
    server = {
        "listen": [f"127.0.0.1:{port}"],
        "automatic_https": {"disable": True},
        "routes": [route_json(upstream), route_json(ours)],
    }
    config = {"admin": {"disabled": True}, "apps": {"http": {"servers": {"call": server}}}}
    (home.path / "caddy.json").write_bytes(to_caddy_json(config))
    give_to_service_user(home.path)
    with serving(home.path / "caddy.json", tmp_path / "log") as client:
        page = client.get(f"http://127.0.0.1:{port}/")
    assert f"<title>{escape(HOSTILE)}</title>" in page.text and EXPANDED not in page.text


def test_no_setting_has_line_breaks(homes: Path) -> None:
    """A line break in a value would be a line of its own in some program's file: no setting keeps it."""
    home = Home(homes / "lines")
    for key, value in hostile(home).items():
        if key.startswith("extra.") or key == "brand.footer_links":
            continue
        for letter in ("\n", "\r", "\0", "\x1b", "\x9b", "\u2028"):
            broken = [value[0] + letter] if isinstance(value, list) else value + letter
            with suppress(SettingsError):  # or it is left out, as in addresses
                section, name = key.split(".")
                assert letter not in str(getattr(getattr(validate({key: broken}, home), section), name)), key
    with pytest.raises(SettingsError, match="line breaks"):
        validate({"brand.footer_links": [{"text": "a\nb", "url": "https://example.org"}]}, home)
