"""Checkouts, and what is on PATH when they start."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.checkout import TELL, Checkout
from launcher.machine import SOURCE, copy_checkout, copy_python, programs

FETCHER = (
    "src/samsesh/indexes.py",
    "src/samsesh/wheels.py",
)  # what the launcher runs before there is an environment


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="samsesh-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def tools() -> Iterator[Path]:
    """A folder for PATH with this machine's programs, but for every Python and what comes with it."""
    folder = Path(tempfile.mkdtemp(prefix="samsesh-tools-"))
    folder.chmod(0o755)
    for name, path in programs().items():
        (folder / name).symlink_to(path)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def uv_folder() -> Iterator[Path]:
    """A folder for PATH that has uv, so that not every test fetches it."""
    folder = Path(tempfile.mkdtemp(prefix="samsesh-uv-"))
    folder.chmod(0o755)
    known = [shutil.which("uv"), Path(sys.prefix).parent / "uv/bin/uv", Path.home() / ".local/bin/uv"]
    found = next((path for path in known if path and Path(path).exists()), None)
    if found:
        shutil.copy(found, folder / "uv")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def bare_python() -> Iterator[Path]:
    """A whole Python in a folder of its own, with neither pip nor what `venv` needs, as Debian's python3 is."""
    folder = Path(tempfile.mkdtemp(prefix="samsesh-python-"))
    folder.chmod(0o755)
    copy_python(folder)
    if (
        subprocess.run([folder / "bin/python3", "-I", "-c", "import ssl"], capture_output=True).returncode
        != 0
    ):
        pytest.skip("the Python of these tests cannot be moved to another folder")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def checkout(open_folder: Path, uv_folder: Path) -> Checkout:
    """A checkout whose launcher is the real one, and whose program is small and tells how it was started."""
    path = open_folder / "my 'own' check-out"
    copy_checkout(path, ["samsesh", "setup.sh", "scripts", "requirements", *FETCHER])
    code = path / "src/samsesh"
    (code / "__init__.py").write_text("")
    (code / "__main__.py").write_text(TELL)
    lock = (SOURCE / "requirements/base.lock").read_text()
    start = lock.index("tomlkit==")
    for name in ("native", "base"):
        (path / f"requirements/{name}.lock").write_text(lock[start : lock.index("    # via", start)])
    home = open_folder / "home"
    environments = open_folder / "environments"
    home.mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SAMSESH", "PYTHON", "XDG", "UV"))
    }
    kept.pop("VIRTUAL_ENV", None)
    paths = f"{uv_folder}:{os.environ['PATH']}"
    return Checkout(
        path,
        environments,
        home,
        {**kept, "PATH": paths, "HOME": str(home), "SAMSESH_ENV_ROOT": str(environments)},
    )
