"""Stand-ins for upstream's images, under upstream's names, with their users, entrypoints, ports and writable paths.

What they hold comes from Debian, PyPI and npm, and is fetched by this machine: no build needs a network.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from docker.base import Base, ensure_base
from docker.engine import CACHE, LABEL, Engine, open_lock
from launcher.machine import SOURCE
from programs import missing
from samsesh.engines.compose.images import table

PYTHON = "3.11"  # of the bases


@dataclass(frozen=True)
class StandIn:
    """One image of our table. `fetch` puts what is large into the build context, and `made_of` says what that is."""

    name: str
    base: Base
    dockerfile: str  # without FROM
    files: Mapping[str, str] = field(default_factory=dict)
    fetch: Callable[[Path], None] = lambda context: None
    made_of: tuple[str, ...] = ()

    @property
    def built(self) -> str:
        """The image by its content: checkouts that differ share an engine, and build nothing twice."""
        said = json.dumps([self.base.image, self.dockerfile, self.files, self.made_of], sort_keys=True)
        return f"samsesh-test/{self.name}-image:{hashlib.sha256(said.encode()).hexdigest()[:12]}"

    def ensure(self, engine: Engine) -> str:
        """The image's name, once it is there."""
        base = ensure_base(engine, self.base)
        with open_lock(f"image-{self.name}") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not engine.exists(self.built):
                with tempfile.TemporaryDirectory(prefix="context-", dir=CACHE) as folder:
                    self._build(engine, Path(folder), base)
        name = tagged(engine, self.name)
        engine.run("tag", self.built, name)
        return name

    def _build(self, engine: Engine, context: Path, base: str) -> None:
        for file, text in self.files.items():
            (context / file).write_text(text)
            (context / file).chmod(0o755 if text.startswith("#!") else 0o644)
        self.fetch(context)
        (context / "Dockerfile").write_text(f"FROM {base}\n{self.dockerfile}\nLABEL {LABEL}=image\n")
        engine.run("build", "--network", "none", "--force-rm", "--tag", self.built, context, timeout=900)


def tagged(engine: Engine, name: str) -> str:
    """The image of our table as a stand-in has it: without the digest of upstream's own."""
    row = next(row for row in table() if row.name == name)
    return row.at(engine.registry) if engine.registry else row.default


def locked(package: str) -> str:
    """`NAME==VERSION` of the locked packages."""
    for line in (SOURCE / "requirements/native.lock").read_text().splitlines():
        if line.startswith(f"{package}=="):
            return line.split()[0]
    raise AssertionError(f"{package} is not in native.lock")


def packages(context: Path, *names: str) -> None:
    """Python packages with what they need, of the locked versions, for the Python of the bases: in context/site."""
    machine = os.uname().machine
    command = ["pip", "install", "--quiet", "--target", str(context / "site"), "--python-version", PYTHON]
    wheels = ["--python-platform", f"{machine}-manylinux_2_28", "--only-binary", ":all:"]
    constraints = ["--constraint", str(SOURCE / "requirements/native.lock"), "--link-mode", "copy"]
    done = subprocess.run(
        [uv(), *command, *wheels, *constraints, *names], capture_output=True, text=True, timeout=600, cwd="/"
    )
    assert done.returncode == 0, done.stderr


def uv() -> str:
    """The uv that the launcher uses."""
    known = [shutil.which("uv"), Path(sys.prefix).parent / "uv/bin/uv", Path.home() / ".local/bin/uv"]
    found = next((str(path) for path in known if path and Path(path).exists()), None)
    return found or missing("uv is not installed")
