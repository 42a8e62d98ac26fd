"""What the tests of the launcher take from this machine: the checkout, Pythons, programs, another user."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from programs import need

SOURCE = Path(__file__).parents[2]
ROOT = os.geteuid() == 0
NOBODY = 65534


def as_nobody() -> list[str]:
    """What to put before a command so that a user without rights runs it; nothing where we are one."""
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if ROOT else []


def copy_checkout(target: Path, only: list[str] | None = None) -> None:
    """The files of this working tree that git knows or would know, committed or not."""
    listed = subprocess.run(
        [
            need("git"),
            "-c",
            f"safe.directory={SOURCE}",
            "ls-files",
            "-z",
            "-co",
            "--exclude-standard",
            "--",
            *(only or ["."]),
        ],
        cwd=SOURCE,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (SOURCE / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(SOURCE / name, target / name)


def copy_python(target: Path) -> None:
    """The Python of these tests with its standard library, without packages, pip and ensurepip."""
    version = f"python3.{sys.version_info.minor}"
    base = Path(os.path.realpath(getattr(sys, "_base_executable", sys.executable)))
    library = Path(os.__file__).parent
    unwanted = (
        "__pycache__",
        "ensurepip",
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "idlelib",
        "config-*",
    )
    shutil.copytree(library, target / "lib" / version, ignore=shutil.ignore_patterns(*unwanted))
    (target / "bin").mkdir()
    shutil.copy(base, target / "bin" / version)
    (target / "bin/python3").symlink_to(version)
    for shared in base.parents[1].glob("lib/libpython3*.so*"):
        shutil.copy(shared, target / "lib")


def programs() -> dict[str, Path]:
    """The programs of this machine by name, without Python, pip and uv."""
    found = {
        path.name: path
        for folder in ("/bin", "/usr/bin", "/sbin", "/usr/sbin")
        for path in Path(folder).iterdir()
        if not path.name.startswith(("python", "pip", "uv", "py3"))
    }
    return {name: path for name, path in found.items() if os.access(path, os.X_OK)}


def old_pythons() -> list[Path]:
    """Folders with a Python that is too old for Samsesh, of pyenv or the system."""
    folders = [*Path("~/.pyenv/versions").expanduser().glob("3.*/bin"), Path("/usr/bin")]
    return sorted(
        folder for folder in folders if any((folder / f"python3.{minor}").exists() for minor in (8, 9, 10))
    )
