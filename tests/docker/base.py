"""What the stand-ins are built from: small Debians by debootstrap, without what images of containers leave out."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from docker.engine import CACHE, LABEL, Engine, open_lock
from launcher.chroot import mirror
from programs import need

LEFT_OUT = (
    *("var/cache/apt/archives/*.deb", "var/cache/apt/*.bin", "var/lib/apt/lists/*", "var/log/*.log"),
    "usr/lib/python3*/**/__pycache__",  # the official image of Python has none either
    *("usr/share/doc/*", "usr/share/man/*", "usr/share/info/*", "usr/share/locale/*", "usr/share/lintian/*"),
)


@dataclass(frozen=True)
class Base:
    """A release of Debian, and what is installed in it besides the least."""

    name: str
    release: str
    packages: tuple[str, ...]

    @property
    def image(self) -> str:
        said = f"{self.release} {self.packages} {LEFT_OUT}"
        return f"samsesh-test/{self.name}:{hashlib.sha256(said.encode()).hexdigest()[:12]}"


PYTHON = Base("python", "bookworm", ("python3", "python3-pip"))
PROGRAMS = Base(
    "programs",
    "bookworm",
    (
        *("python3", "ca-certificates", "curl", "busybox", "nginx-light", "gettext-base"),
        *("libjemalloc2", "libnss-wrapper", "libcap2-bin"),
    ),
)
# The coturn of bookworm is years older than the image.
COTURN = Base("coturn", "forky", ("coturn", "libcap2-bin", "bind9-dnsutils"))


def ensure_base(engine: Engine, base: Base) -> str:
    """The base as an image, made the first time: about a minute."""
    with open_lock(f"base-{base.name}") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not engine.exists(base.image):
            if os.geteuid():
                pytest.skip("the Debian of the stand-in images is not there, and only root makes it")
            need("debootstrap")
            with tempfile.TemporaryDirectory(prefix="base-", dir=CACHE) as folder:
                make(engine, base, Path(folder))
    return base.image


def make(engine: Engine, base: Base, folder: Path) -> None:
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(base.packages)}", base.release]
    scripts = Path("/usr/share/debootstrap/scripts")
    script = [] if (scripts / base.release).exists() else [str(scripts / "sid")]
    root = folder / "root"
    done = subprocess.run(
        [*command, str(root), mirror(), *script], capture_output=True, text=True, timeout=900
    )
    if done.returncode:
        pytest.skip(f"no Debian {base.release} can be made here: {done.stdout[-500:]}")
    for pattern in LEFT_OUT:
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(
            ["docker", "import", "--change", f"LABEL {LABEL}=base", "-", base.image],
            env=engine.env,
            stdin=tar.stdout,
            check=True,
            capture_output=True,
            timeout=300,
        )
    assert tar.returncode == 0
