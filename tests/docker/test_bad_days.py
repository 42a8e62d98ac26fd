"""What goes wrong with containers at a start: told in one sentence with what to do, and a second try mends it."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Stack, free_offset
from docker.engine import Engine
from docker.images import commands
from docker.registry import serving

pytestmark = pytest.mark.slow


@pytest.fixture
def made(engine: Engine, images: dict[str, str], homes: Path) -> Iterator[Callable[..., Stack]]:
    """Makes homes for containers; what runs in them ends with the test, and its volumes go."""
    stacks: list[Stack] = []

    def make(name: str, *settings: tuple[str, str]) -> Stack:
        stack = Stack(homes / name, free_offset(), commands(engine), options=("--engine", "compose"))
        for key, value in (("calls.provider", "off"), ("turn.enabled", "false"), *settings):
            done = stack.cli("config", "set", key, value)
            assert done.returncode == 0, done.stderr
        stacks.append(stack)
        return stack

    yield make
    for stack in stacks:
        stack.cli("down")
        project = f"samsesh-{stack.home.id}"
        for volume in engine.run("volume", "ls", "-q", "--filter", f"name={project}").stdout.split():
            engine.run("volume", "rm", volume)


def refused(stack: Stack, *words: str) -> str:
    """`up` fails and says all this; nothing runs on."""
    done = stack.cli("up", "--yes", "--port-offset", str(stack.offset), *stack.options, timeout=400)
    assert done.returncode in (1, 2) and "samsesh/cli/entry.py" not in done.stderr, done.stderr
    for word in words:
        assert word in done.stderr, f"{word}\n{done.stderr}"
    return done.stderr


def test_a_pull_that_breaks_off(made: Callable[..., Stack]) -> None:
    """In the middle of a layer: the image is named, with the way to a mirror; with the image, the same command works."""
    with serving(breaks=True) as registry:
        image = f"localhost:{registry.server_port}/postgres:18.6"
        stack = made("pull", ("images.postgres", image))
        refused(stack, f"{image} could not be pulled", "what was pulled is kept", "images.registry")
        assert registry.broken_off
    stack.cli("config", "unset", "images.postgres")
    stack.up()
    assert stack.status()["ok"]


def test_nothing_may_be_fetched(made: Callable[..., Stack]) -> None:
    """Offline, an image that is not there is named without a try."""
    stack = made(
        "offline", ("images.postgres", "localhost:1/nowhere/postgres:18.6"), ("artifacts.offline", "true")
    )
    refused(stack, "nothing is to be fetched", "docker load")


def in_volume(engine: Engine, stack: Stack, images: dict[str, str], script: str) -> str:
    """What a shell says that has the database's volume at /v, as root."""
    volume = f"samsesh-{stack.home.id}_postgres:/v"
    options = ("--rm", "--network=none", "--user=0", "--entrypoint=", "--volume", volume)
    return engine.run("run", *options, images["samsesh"], "sh", "-c", script).stdout.strip()


def test_a_volume_of_somebody_else(
    made: Callable[..., Stack], engine: Engine, images: dict[str, str]
) -> None:
    """A volume that is there before this server was made is somebody's data: it is left alone, and told."""
    stack = made("volume")
    in_volume(engine, stack, images, "echo theirs > /v/file && chown -R 4321 /v")
    refused(stack, "Docker still has the data of a server that was in", "docker volume ls")
    assert in_volume(engine, stack, images, "stat -c %u /v/file") == "4321"


def test_a_port_is_taken(made: Callable[..., Stack]) -> None:
    """As natively: the port, its setting, and who has it; nothing was started."""
    stack = made("port")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 8008 + stack.offset))
        taken.listen()
        refused(stack, f"port {8008 + stack.offset} (ports.api) is in use")
    assert not [one for one in stack.status()["services"] if one["state"] == "running"]


def test_a_container_that_ends(made: Callable[..., Stack]) -> None:
    """What a program's loader refuses is told before anything is started. A program that ends for another reason is named
    at once, with the reason and the last words of its log; mended, the server starts.
    """
    stack = made("wrong", ("extra.synapse", json.dumps({"worker_app": "synapse.app.nothing_of_that_name"})))
    refused(stack, "extra.synapse: the homeserver (Synapse) does not take it", "instance_map")
    assert not [one for one in stack.status()["services"] if one["state"] == "running"]
    module = [{"module": "fractions.Fraction"}]  # which is no module of Synapse's
    stack.set({"extra.synapse": json.dumps({"modules": module})})
    refused(
        stack,
        "homeserver (Synapse) is not ready: it end",  # with a code, or again and again
        "both arguments should be Rational",
        "logs synapse",
    )
    stack.cli("config", "unset", "extra.synapse")
    stack.up()
    assert stack.status()["ok"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can be another user")
def test_a_user_by_number(made: Callable[..., Stack], engine: Engine, images: dict[str, str]) -> None:
    """As root the document's UID and GID are followed, in containers and for the home. A volume that somebody else has
    in the meantime is left alone, and told.
    """
    stack = made("numbered", ("server.uid", "991"), ("server.gid", "991"))
    for path in (stack.path, *stack.path.rglob("*")):
        os.chown(path, 991, 991)
    stack.up()
    label = f"label=com.docker.compose.project=samsesh-{stack.home.id}"
    ids = engine.run("ps", "--quiet", "--filter", label).stdout.split()
    users = {one["Config"]["User"] for one in json.loads(engine.run("inspect", *ids).stdout)}
    assert users == {"991:991"} and stack.path.stat().st_uid == 991
    assert stack.cli("down").returncode == 0
    in_volume(engine, stack, images, "chown -R 4321 /v")
    refused(stack, "the volume postgres belongs to the user 4321, and the services run as 991")
    assert in_volume(engine, stack, images, "stat -c %u /v") == "4321"
    in_volume(engine, stack, images, "chown -R 991 /v")
    stack.up()


def test_a_rendered_folder(made: Callable[..., Stack], engine: Engine, homes: Path) -> None:
    """It starts with Docker Compose alone and becomes healthy; a folder with something else is refused; twice is once."""
    stack, folder = made("rendering", ("ports.offset", "0")), homes / "rendered"
    stack.cli("config", "set", "ports.offset", str(stack.offset))
    first = stack.cli("render", "--engine", "compose", "-o", str(folder))
    assert first.returncode == 0, first.stderr
    assert "nothing changed" in stack.cli("render", "--engine", "compose", "-o", str(folder)).stdout
    moved = homes / "moved"
    folder.rename(moved)
    try:
        engine.compose(moved, "up", "--detach", "--wait", timeout=400)
        made_admin = engine.compose(
            *(
                moved,
                "exec",
                "--no-TTY",
                "synapse",
                "python3",
                "-m",
                "synapse._scripts.register_new_matrix_user",
                "-c",
                "/data/homeserver.yaml",
            ),
            *("-u", "root", "-p", "long enough for all", "-a", "http://localhost:8008"),
        )
        assert "Success" in made_admin.stdout
    finally:
        engine.compose(moved, "down", "--volumes", timeout=300)
    other = homes / "other"
    other.mkdir()
    (other / "letter").write_text("mine")
    wrong = stack.cli("render", "--engine", "compose", "-o", str(other))
    assert wrong.returncode == 1 and "did not write" in wrong.stderr, wrong.stderr
