"""Our own image: small, for any user, from a read-only root, and the same program as this one."""

import json
import os
from pathlib import Path

import pytest

import samsesh
from docker.containers import USER, once, started
from docker.engine import Engine
from docker.images import wanted
from samsesh.engines.compose import image
from samsesh.engines.compose.images import reference

pytestmark = pytest.mark.slow


def test_it_is_small(engine: Engine, images: dict[str, str]) -> None:
    """At most 200 MB with its base, of which no tool that compiles is a part."""
    size = int(engine.run("image", "inspect", "--format", "{{.Size}}", images["samsesh"]).stdout)
    assert size <= 200_000_000, f"{size / 1e6:.0f} MB"
    look = (
        "import shutil, sys; sys.exit(bool(shutil.which('gcc') or shutil.which('cc') or shutil.which('g++')))"
    )
    once(engine, images["samsesh"], "-c", look, options=("--entrypoint", "python"))


def test_it_is_this_program(engine: Engine, images: dict[str, str]) -> None:
    """Under its tag, every file of our code is there as it is here."""
    assert images["samsesh"] == reference("samsesh", wanted(engine))
    assert f"samsesh:{image.version()}" in images["samsesh"]
    said = once(engine, images["samsesh"], "--version").stdout
    assert said == f"samsesh {samsesh.__version__}\n"
    look = (
        "import hashlib, json, pathlib; top = pathlib.Path('/opt/samsesh'); "
        "print(json.dumps({str(p.relative_to(top)): hashlib.sha256(p.read_bytes()).hexdigest() "
        "for p in (top / 'samsesh').rglob('*') if p.is_file() and p.suffix != '.pyc'}))"
    )
    found = json.loads(once(engine, images["samsesh"], "-c", look, options=("--entrypoint", "python")).stdout)
    assert found.keys() == {name for name in image.context() if name.startswith("samsesh/")}


def test_every_command_imports(engine: Engine, images: dict[str, str]) -> None:
    """`command: [rtc-auth]` and `[agent, ...]` work; the user is 991 unless Compose says another."""
    refused = once(engine, images["samsesh"], "agent", "--config", "/nonexistent", check=False)
    assert refused.returncode and "/nonexistent" in refused.stderr and "No module" not in refused.stderr
    assert "Usage" in once(engine, images["samsesh"], "rtc-auth", "--help").stdout
    who = ("--entrypoint", "id", "--read-only", "--network", "none")
    assert engine.run("run", "--rm", *who, images["samsesh"]).stdout.startswith("uid=991 gid=991")


def test_it_serves(engine: Engine, images: dict[str, str], tmp_path: Path) -> None:
    """The authorization service answers, as a user that no image knows, and ends when it is told to."""
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef")
    secret.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(secret, USER, USER)
    variables = {
        "LIVEKIT_URL": "ws://livekit.test:7880",
        "LIVEKIT_KEY": "devices",
        "LIVEKIT_SECRET_FROM_FILE": "/run/secrets/livekit",
        "LIVEKIT_JWT_BIND": ":8080",
        "LIVEKIT_FULL_ACCESS_HOMESERVERS": "example.org",
    }
    given = tuple(word for name, value in variables.items() for word in ("--env", f"{name}={value}"))
    options = (*given, "--volume", f"{secret}:/run/secrets/livekit:ro")
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/healthz').status)"
    with started(engine, images["samsesh"], "rtc-auth", options=options) as service:
        assert service.until("python", "-c", ask) == "200\n"
        engine.run("stop", service.name)
        assert service.state("ExitCode") == "0"
