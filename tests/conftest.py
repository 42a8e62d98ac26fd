"""One running server for the whole session, and empty homes for tests that need their own."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # it has no types

from programs import get_programs
from samsesh.home import SERVICE_USER, Home
from samsesh.ops.privileges import service_user
from samsesh.settings_server import Ports

NOT_PASSED = (
    "SYNAPSE_",
    "TURN_",
    "LIVEKIT_",
    "SAMSESH_",
    "MATRIX_THEMES",
    "ELEMENT_CALL_PORT",
    "TZ",
    "UID",
    "GID",
)
ENGINE = os.environ.get("SAMSESH_TEST_ENGINE", "native")  # or "compose": all servers are in containers
SERVICES = {"postgres", "synapse", "gateway", "livekit", "rtc-auth", "coturn"}
SERVICES |= {"element-call"} if ENGINE == "compose" else set()
PORTS = [Ports().of(name) for name in Ports.numbers() if name not in ("http", "https", "federation")]


@dataclass
class Stack:
    """A home of the tests: commands on it, as a user would give them, and its addresses."""

    path: Path
    offset: int
    environ: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()  # another user, another namespace
    options: tuple[str, ...] = ()  # of every `up`
    web: str = (
        "none"  # web.client of a new home: no test waits for Element Web's release unless it is about it
    )

    @property
    def home(self) -> Home:
        return Home(self.path)

    def cli(self, *args: str, stdin: str = "", timeout: float = 240) -> "subprocess.CompletedProcess[str]":
        """`samsesh --home ... args`, without a terminal."""
        return subprocess.run(
            self.argv(*args),
            input=stdin,
            env=self.env(*args),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    def argv(self, *args: str) -> list[str]:
        return [*self.prefix, sys.executable, "-m", "samsesh", "--home", str(self.path), *args]

    def env(self, command: str = "", *args: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_PASSED)}
        web = {"SAMSESH_WEB_CLIENT": self.web} if self.web and command in ("up", "setup") else {}
        return {**kept, **web, **self.environ}

    def up(self, *args: str) -> "subprocess.CompletedProcess[str]":
        done = self.cli("up", "--yes", "--port-offset", str(self.offset), *self.options, *args)
        assert done.returncode == 0, done.stderr
        return done

    def set(self, settings: Mapping[str, str]) -> None:
        """`samsesh config set` for each."""
        for key, value in settings.items():
            done = self.cli("config", "set", key, value)
            assert done.returncode == 0, done.stderr

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.cli("status", "--json").stdout)
        return found

    def url(self, name: str) -> str:
        """One of the addresses that `status --json` tells."""
        address: str = self.status()["addresses"][name]
        return address


def give_to_service_user(path: Path) -> None:
    """A home that a test made as root, to the user that the commands become; nothing where we are no root."""
    if os.geteuid() == 0:
        service_user()
        for part in (path, *path.rglob("*")):
            shutil.chown(part, SERVICE_USER, SERVICE_USER)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that workers end at about the same time; those with a browser, which take all
    of a core, between the others.
    """
    slow = {
        item.path: bool(item.get_closest_marker("browser"))
        for item in items
        if item.get_closest_marker("slow")
    }
    seen = {kind: [path for path in slow if slow[path] is kind] for kind in (True, False)}
    place = {path: at / len(paths) for paths in seen.values() for at, path in enumerate(paths)}
    items.sort(key=lambda item: place.get(item.path, 1.0))
    for item in items:
        if ENGINE != "native" and item.get_closest_marker("native"):
            item.add_marker(pytest.mark.skip(reason="of processes, and all servers are in containers"))


class _ByFile(LoadFileScheduling):  # type: ignore[misc]  # of Any, since it has no types
    """A file is one worker's, and so are all tests of containers: one of them starts Docker's engine anew."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "tests/docker" if file.startswith("tests/docker/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    return _ByFile(config, log)


_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_range = range(2300 + 5200 * _worker, 7500 + 5200 * _worker, 17)  # of four workers at most
_offsets = iter(
    random.sample(_range, len(_range))
)  # in no order, so that two runs at once rarely want the same


def free_offset() -> int:
    """A port offset at which nothing listens on this machine, another one each time.

    No two of our ports are a few times 17 apart, so that homes never meet, running or not.
    """
    for offset in _offsets:
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                for port in PORTS:
                    with socket.socket(socket.AF_INET, kind) as probe:
                        probe.bind(("", port + offset))
        except OSError:
            continue
        return offset
    raise AssertionError("no free ports")


@pytest.fixture(scope="session")
def homes() -> Iterator[Path]:
    """A folder for homes that the service user can enter, unlike pytest's own; what their calls need is at hand."""
    get_programs()
    folder = Path(tempfile.mkdtemp(prefix="samsesh-homes-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def containers() -> Iterator[dict[str, str]]:
    """With SAMSESH_TEST_ENGINE=compose every server of the tests is in containers: what its commands need for that."""
    if ENGINE != "compose":
        yield {}
        return
    from docker.engine import running
    from docker.images import commands, ensure_all

    with running() as engine:
        ensure_all(engine)
        yield commands(engine)


@pytest.fixture(scope="session")
def _made(homes: Path) -> Iterator[list[Stack]]:
    made: list[Stack] = []
    yield made
    for stack in made:
        stopped = stack.cli("down")
        assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="session")
def session_home(homes: Path, containers: dict[str, str], _made: list[Stack]) -> Callable[[str], Stack]:
    def make(name: str) -> Stack:
        options = ("--engine", "compose") if containers else ()
        stack = Stack(homes / name, free_offset(), dict(containers), options=options)
        _made.append(stack)
        return stack

    return make


@pytest.fixture
def new_home(session_home: Callable[[str], Stack], _made: list[Stack]) -> Iterator[Callable[[str], Stack]]:
    """Makes homes with ports of their own; whatever runs in them is stopped after the test."""
    made: list[Stack] = []

    def make(name: str) -> Stack:
        made.append(session_home(name))
        return made[-1]

    yield make
    for stack in made:
        if stack.cli("down").returncode == 0:  # else it is tried again at the end, and told of
            _made.remove(stack)


@pytest.fixture(scope="session")
def stack(session_home: Callable[[str], Stack]) -> Stack:
    """The shared running server. Rates are lifted, so that tests do not wait for each other."""
    made = session_home("shared")
    lifted = {
        "rate_limits.message_per_second": "1000",
        "rate_limits.message_burst": "10000",
        "rate_limits.login_per_second": "1000",
        "rate_limits.login_burst": "10000",
        "extra.synapse": json.dumps(
            {
                "rc_registration": {"per_second": 1000, "burst_count": 10000},
                "rc_registration_token_validity": {"per_second": 1000, "burst_count": 10000},
                "rc_login": {"account": {"per_second": 1000, "burst_count": 10000}},
                "rc_room_creation": {"per_second": 1000, "burst_count": 10000},
            }
        ),
    }
    made.set(lifted)
    made.up()
    return made
