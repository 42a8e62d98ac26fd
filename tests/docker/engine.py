"""A real Docker engine with Compose: the machine's own where one answers, else one of ours that root starts.

Ours has its own data, in a cache outside the checkout, and its own socket. All workers and checkouts share it; the last
one that uses it ends it. The machine's own engine keeps its containers, and its images keep their names: there our
stand-ins get a registry of their own in front (`Engine.registry`, for the setting `images.registry`).
"""

import fcntl
import functools
import os
import signal
import subprocess
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from programs import go_caches, missing, need
from samsesh.cache import cache_dir

CACHE = cache_dir(os.environ, Path("/nonexistent")).with_name("samsesh-test") / "docker"
# Of our engine's socket, process id and log; the name is short, since a socket's path has to be.
PLACE = Path(f"/run/samsesh-test-docker-{zlib.crc32(os.fsencode(CACHE)):08x}")
LABEL = "samsesh.test"  # on all that tests make in somebody else's engine
COMPOSE = "github.com/docker/compose/v5/cmd"
COMPOSE_VERSION = "v5.2.0"  # the last that Go 1.26.8 builds
NAMED = "github.com/docker/compose/v5/internal.Version"  # what `docker compose version` tells
START_SECONDS = 60


@dataclass(frozen=True)
class Engine:
    """How to reach it. `own`: it is ours alone, and upstream's names are free in it."""

    host: str
    own: bool

    @property
    def registry(self) -> str:
        """For the setting `images.registry`: where the stand-ins are found under upstream's names."""
        return "" if self.own else "samsesh.test"

    @property
    def env(self) -> dict[str, str]:
        """What every docker command needs: our configuration, so that nobody's credentials or plug-ins are used."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        # The engine of Debian has no buildx beside it; what is built here needs none.
        return {
            **kept,
            "DOCKER_HOST": self.host,
            "DOCKER_CONFIG": str(CACHE / "config"),
            "DOCKER_BUILDKIT": "0",
        }

    def run(
        self, *args: str | Path, check: bool = True, timeout: float = 300
    ) -> "subprocess.CompletedProcess[str]":
        """`docker ARGS`; a failure shows what it said."""
        done = subprocess.run(
            ["docker", *map(str, args)], env=self.env, capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0 or not check, f"docker {args}\n{done.stdout}{done.stderr}"
        return done

    def compose(
        self, folder: Path, *args: str, check: bool = True, timeout: float = 300
    ) -> "subprocess.CompletedProcess[str]":
        """`docker compose ARGS` on the compose.yaml of a folder."""
        return self.run("compose", "--project-directory", folder, *args, check=check, timeout=timeout)

    def exists(self, image: str) -> bool:
        return self.run("image", "inspect", image, check=False).returncode == 0


@contextmanager
def running() -> Iterator[Engine]:
    """An engine to use, or the test is skipped with the reason."""
    need("docker")
    CACHE.mkdir(parents=True, exist_ok=True)
    place_compose()
    host = machines_own()
    if host:
        yield Engine(host, own=False)
        return
    if os.geteuid():
        pytest.skip("no Docker engine answers, and only root can start one")
    need("dockerd")
    ours = Engine(f"unix://{PLACE}/docker.sock", own=True)
    with open_lock("using") as using:
        with open_lock("starting") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if not answers(ours):
                start(ours)
            fcntl.flock(using, fcntl.LOCK_SH)
        try:
            yield ours
        finally:
            with open_lock("starting") as starting:
                fcntl.flock(starting, fcntl.LOCK_EX)
                if alone(using):
                    end(ours)


def machines_own() -> str:
    """The address of the engine that this user's `docker` reaches, empty where none answers."""
    asked = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    said = subprocess.run(asked, capture_output=True, text=True, timeout=30)
    host = os.environ.get("DOCKER_HOST") or said.stdout.strip()
    return host if host and answers(Engine(host, own=False)) else ""


def answers(engine: Engine) -> bool:
    return engine.run("version", check=False, timeout=30).returncode == 0


@contextmanager
def open_lock(name: str) -> Iterator[IO[str]]:
    with (CACHE / f"{name}.lock").open("a") as handle:
        yield handle


def alone(using: IO[str]) -> bool:
    """Whether no other process holds what we hold shared."""
    try:
        fcntl.flock(using, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def start(engine: Engine) -> None:
    """Nothing of the machine's network changes but for chains of our networks: no docker0, no forwarding."""
    PLACE.mkdir(exist_ok=True)
    PLACE.chmod(0o711)  # the commands under test become the service user, who may use the socket by its group
    folders = {"--data-root": CACHE / "data", "--exec-root": PLACE / "exec", "--pidfile": PLACE / "pid"}
    options = [word for name, path in folders.items() for word in (name, str(path))]
    options += ["--max-download-attempts", "1"]  # it would try a registry of a test's for a minute
    quiet = ["--bridge", "none", "--ip-forward=false", "--default-address-pool", "base=10.213.0.0/16,size=24"]
    log = PLACE / "log"
    for left in (log, PLACE / "pid"):  # of one that was killed
        left.unlink(missing_ok=True)
    with log.open("ab") as out:  # it outlives us where another worker still uses it
        subprocess.run(
            ["setsid", "--fork", "dockerd", "--host", engine.host, *options, *quiet],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=True,
        )
    until = time.monotonic() + START_SECONDS
    while not answers(engine):
        words = log.read_text(errors="replace")
        if "failed to start daemon" in words or time.monotonic() > until:
            pytest.skip(f"a Docker engine cannot run here:\n{words[-1000:]}")
        time.sleep(0.2)


def end(engine: Engine) -> None:
    """Leave no container, network, volume or process; images stay for the next time."""
    if left := engine.run("ps", "-aq").stdout.split():
        engine.run("rm", "--force", "--volumes", *left)
    engine.run("network", "prune", "--force")
    engine.run("volume", "prune", "--force")
    engine.run("image", "prune", "--force")  # what builds leave
    days = ("--filter", "until=72h", "--filter", f"label={LABEL}=ours")
    engine.run("image", "prune", "--all", "--force", *days)  # our own, of programs that were
    stop()


def reboot(engine: Engine) -> None:
    """As the machine's: the engine ends with all containers, and starts again. Only where nobody else is using it."""
    if not engine.own:
        pytest.skip("this machine's own engine is not started anew")
    with open_lock("starting") as starting, open_lock("using") as using:
        fcntl.flock(starting, fcntl.LOCK_EX)
        users = Path("/proc/locks").read_text().count(f":{os.fstat(using.fileno()).st_ino} ")
        if users > 1:
            pytest.skip("other tests are using the engine")
        stop()
        start(engine)


def stop() -> None:
    pid = int((PLACE / "pid").read_text())
    assert PLACE.name in Path(f"/proc/{pid}/cmdline").read_text()
    os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + START_SECONDS
    while runs(pid):
        assert time.monotonic() < until, "dockerd does not end"
        time.sleep(0.1)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@functools.cache
def place_compose() -> None:
    """Compose as a plug-in of our configuration: the machine's own, this user's, or built with Go once."""
    plugin = CACHE / "config/cli-plugins/docker-compose"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "DOCKER_CONFIG": str(CACHE / "config")}
    known = subprocess.run(["docker", "compose", "version"], env=env, capture_output=True, timeout=30)
    if known.returncode == 0:
        return
    with open_lock("compose") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        users = Path("~/.docker/cli-plugins/docker-compose").expanduser()
        if users.exists():
            plugin.unlink(missing_ok=True)
            plugin.symlink_to(users)
        elif not plugin.exists():
            build_compose(plugin)


def build_compose(plugin: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="compose-", dir=CACHE) as name:
        (Path(name) / "go.mod").write_text("module compose\n")
        env = {**os.environ, **go_caches(), "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"}
        for command in (
            ["get", f"{COMPOSE}@{COMPOSE_VERSION}"],
            [
                "build",
                "-trimpath",
                "-ldflags",
                f"-X {NAMED}={COMPOSE_VERSION}",
                "-o",
                "docker-compose",
                COMPOSE,
            ],
        ):
            done = subprocess.run(
                [need("go"), *command], cwd=name, env=env, capture_output=True, text=True, timeout=900
            )
            if done.returncode:
                missing(f"Docker Compose cannot be built: {done.stderr[-500:]}")
        (Path(name) / "docker-compose").rename(plugin)
