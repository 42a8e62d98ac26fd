"""Containers of a test's own, as restricted as Compose runs them."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from docker.engine import LABEL, Engine

USER = 12345  # nobody in any image
HARDENED = (
    *("--user", f"{USER}:{USER}", "--read-only", "--cap-drop", "ALL"),
    *("--security-opt", "no-new-privileges", "--network", "none", "--label", LABEL),
)
LOW_PORTS = ("--cap-add", "NET_BIND_SERVICE")


@dataclass(frozen=True)
class Container:
    engine: Engine
    name: str

    def exec(self, *command: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
        return self.engine.run("exec", self.name, *command, check=check)

    def logs(self) -> str:
        done = self.engine.run("logs", self.name)
        return done.stdout + done.stderr

    def state(self, what: str) -> str:
        """A field of its state: "Running", "ExitCode"."""
        return self.engine.run("inspect", "--format", f"{{{{.State.{what}}}}}", self.name).stdout.strip()

    def until(self, *command: str, seconds: float = 60) -> str:
        """What a command in it says once it succeeds; it may take so long."""
        end = time.monotonic() + seconds
        while (done := self.exec(*command, check=False)).returncode:
            running = self.state("Running") == "true"
            assert running and time.monotonic() < end, f"{done.stdout}{done.stderr}\n{self.logs()}"
            time.sleep(0.2)
        return done.stdout


@contextmanager
def started(engine: Engine, image: str, *command: str, options: tuple[str, ...] = ()) -> Iterator[Container]:
    """A container in the background, gone afterwards with its volumes."""
    name = f"samsesh-test-{uuid4().hex[:12]}"
    try:
        engine.run("run", "--detach", "--name", name, *HARDENED, *options, image, *command)
        yield Container(engine, name)
    finally:
        engine.run("rm", "--force", "--volumes", name, check=False)


def once(
    engine: Engine, image: str, *command: str, options: tuple[str, ...] = (), check: bool = True
) -> "subprocess.CompletedProcess[str]":
    """Run a command in a container to its end."""
    return engine.run("run", "--rm", *HARDENED, *options, image, *command, check=check)


def tmpfs(*folders: str) -> tuple[str, ...]:
    """Folders in memory for the container's user: without options each would belong to root, with the mode it has."""
    of_user = f"uid={USER},gid={USER},mode=0700"
    return tuple(word for folder in folders for word in ("--tmpfs", f"{folder}:{of_user}"))


def mount(file: Path, target: str, content: str, mode: int = 0o600) -> tuple[str, ...]:
    """A file of the container's user, seen there read-only."""
    file.write_text(content)
    file.chmod(mode)
    if os.geteuid() == 0:
        os.chown(file, USER, USER)
    return ("--volume", f"{file}:{target}:ro")
