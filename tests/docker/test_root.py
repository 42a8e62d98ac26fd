"""Root's Docker rests on what root alone can write: no plug-in, context or link of the services' user counts for it."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Stack, free_offset, give_to_service_user
from docker.engine import Engine
from docker.images import commands
from samsesh import owners
from samsesh.home import ROOTS
from samsesh.ops import record
from samsesh.ops.privileges import service_user

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="it is about root's commands")]
PLUGIN = """#!/bin/sh
id >>{seen}
case "$1" in docker-cli-plugin-metadata) echo '{{"SchemaVersion": "0.1.0", "Vendor": "x", "Version": "v2.40.0"}}'; esac
"""


@pytest.fixture(scope="module")
def server(engine: Engine, images: dict[str, str], homes: Path) -> Iterator[Stack]:
    """A small one in containers, in whose home the services' user planted what Docker would heed."""
    stack = Stack(homes / "planted", free_offset(), commands(engine), options=("--engine", "compose"))
    for key, value in (("calls.provider", "off"), ("turn.enabled", "false")):
        assert stack.cli("config", "set", key, value).returncode == 0
    seen = homes / "seen-by-plugin"
    seen.touch()
    seen.chmod(0o666)
    for name in ("docker-compose", "docker-buildx"):
        path = stack.path / ".docker/cli-plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PLUGIN.format(seen=seen))
        path.chmod(0o755)
    (stack.path / "compose.yaml").write_text("services: {evil: {image: evil, privileged: true}}\n")
    give_to_service_user(stack.path)
    stack.up()
    yield stack
    assert stack.cli("down").returncode == 0


def containers(engine: Engine, server: Stack) -> dict[str, dict[str, Any]]:
    label = f"label=com.docker.compose.project=samsesh-{server.home.id}"
    ids = engine.run("ps", "--all", "--quiet", "--filter", label).stdout.split()
    found = json.loads(engine.run("inspect", *ids).stdout)
    return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}


def test_planted_plugins(server: Stack, homes: Path) -> None:
    """A `docker-compose` in `.docker/cli-plugins` of the home is run by nobody, with root's configuration or without."""
    without = Stack(server.path, server.offset, {**server.environ})
    del without.environ["DOCKER_CONFIG"]
    for stack in (server, without):
        for command in (("status",), ("up", "--yes"), ("logs", "postgres")):
            stack.cli(*command)
    assert (homes / "seen-by-plugin").read_text() == ""


def test_nothing_mounted_can_be_replaced(server: Stack, engine: Engine) -> None:
    """What Docker follows for mounts is root's up to the file or the folder itself, whatever lies in the home."""
    user, mounted = service_user(), []
    for name, one in containers(engine, server).items():
        assert name != "evil"
        for mount in one["Mounts"]:
            if mount["Type"] == "bind":
                path = Path(mount["Source"])
                assert path.is_relative_to(ROOTS / server.home.id / "containers"), (name, path)
                assert owners.way_changed_by(path.parent) == "", (name, path)
                assert not path.is_symlink() and (not mount["RW"] or path.stat().st_uid == user.pw_uid)
                mounted.append(path)
    assert len(mounted) > 5


def test_links_in_the_home_lead_nowhere(server: Stack, engine: Engine) -> None:
    """Links in place of what once was mounted from the home: no container sees what they lead to, nothing is written."""
    for name in ("config", "secrets.old", "run"):
        path = server.path / name
        shutil.rmtree(path, ignore_errors=True)
        path.symlink_to("/root")
    before = set(Path("/root").iterdir())
    server.cli("config", "set", "media.upload_size", "51M")
    server.up()
    for one in containers(engine, server).values():
        assert not [mount for mount in one["Mounts"] if "/root" in mount["Source"]]
    assert set(Path("/root").iterdir()) == before


def test_the_preparing_container(server: Stack, engine: Engine) -> None:
    """Root in a container, whose image the settings can name: no capability by which it reads the machine's files."""
    prepare = containers(engine, server)["volumes"]["HostConfig"]
    added = {name.removeprefix("CAP_") for name in prepare["CapAdd"]}
    assert added == {"CHOWN", "SETUID", "SETGID"} and prepare["CapDrop"] == ["ALL"]


def test_a_server_from_before_there_were_records(server: Stack) -> None:
    """As whom its containers run, they say themselves: only who has root's rights on Docker can have made them."""
    (ROOTS / server.home.id / "record.json").unlink()
    (server.path / "compose.yaml").write_text("# of an earlier version\n")
    user = service_user()
    assert server.status()["ok"]
    found = record.read(server.home)
    assert found == record.Record("compose", user.pw_uid, user.pw_gid)


def test_nothing_of_it_stays(server: Stack, engine: Engine, homes: Path) -> None:
    """`destroy` takes root's record and folder away, too."""
    other = Stack(homes / "destroyed", free_offset(), commands(engine), options=("--engine", "compose"))
    assert other.cli("config", "set", "server.engine", "compose").returncode == 0
    assert other.cli("config", "set", "brand.name", "Gone").returncode == 0
    assert (ROOTS / other.home.id).exists()
    done = other.cli("destroy", "--confirm", "destroyed")
    assert done.returncode == 0, done.stderr
    assert not (ROOTS / other.home.id).exists()
