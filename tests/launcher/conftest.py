"""Checkouts of their own, with few packages and a program that tells how it was started."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from launcher.machine import ROOT, SOURCE, as_nobody, copy_checkout, copy_python, programs

TELL = """
import json, os, sys
import samsesh, tomlkit
print(json.dumps({"argv": sys.argv[1:], "python": os.path.realpath(sys.executable), "prefix": sys.prefix,
    "version": sys.version_info[:2], "code": samsesh.__file__, "cached": samsesh.__cached__,
    "umask": os.umask(0), "launcher": os.environ.get("SAMSESH_LAUNCHER"), "stdin": sys.stdin.read()}))
"""


@dataclass
class Checkout:
    """A checkout to start from, in a folder of its own that every user may enter."""

    path: Path
    environments: Path
    home: Path
    env: dict[str, str] = field(default_factory=dict)

    def command(self, *words: str, nobody: bool = False, umask: str = "022") -> list[str]:
        start = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", str(self.path / "samsesh"), *words]
        return [*as_nobody(), *start] if nobody else start

    def start(
        self, *words: str, nobody: bool = False, umask: str = "022", stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run the launcher to its end."""
        return subprocess.run(
            self.command(*words, nobody=nobody, umask=umask),
            input=stdin,
            capture_output=True,
            text=True,
            env=self.env,
            timeout=300,
        )

    def tell(
        self, *words: str, nobody: bool = False, umask: str = "022", stdin: str = ""
    ) -> dict[str, object]:
        """What the program says of its start, which must succeed."""
        done = self.start(*words, nobody=nobody, umask=umask, stdin=stdin)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert isinstance(told, dict)
        return told

    def made(self) -> list[Path]:
        """The finished environments, wherever they are, but for the data folders of users."""
        return sorted(
            stamp.parent
            for top in (self.environments, self.path / ".venv")
            for stamp in top.rglob("complete")
        )

    def give_to_nobody(self) -> None:
        for path in (self.path, self.home):
            subprocess.run(["chown", "-R", "65534:65534", str(path)], check=ROOT)


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
    """A whole Python in a folder of its own, with neither pip nor what `venv` needs."""
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
    copy_checkout(path, ["samsesh", "setup.sh", "scripts", "requirements"])
    code = path / "src/samsesh"
    code.mkdir(parents=True)
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
