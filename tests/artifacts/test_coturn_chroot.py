"""coturn on a clean Debian: unpacked by a user without rights, then installed by root."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.chroot import Chroot, unpacked

pytestmark = [
    pytest.mark.slow,
    pytest.mark.chroot,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a chroot"),
    pytest.mark.needs("debootstrap"),
]

# What the code that is tried imports, and what that needs.
NEEDED = (
    *("samsesh", "pydantic", "annotated_", "typing_", "tzdata"),
    *("httpx2", "httpcore2", "anyio", "h11", "idna", "certifi", "truststore"),
)
OBTAIN = """
import os, sys
from pathlib import Path
from samsesh.artifacts import turnserver
from samsesh.artifacts.turnserver import install
from samsesh.cache import Search
from samsesh.errors import SamseshError
from samsesh.settings import Artifacts
search = Search(Artifacts(), Path(sys.argv[1]), os.uname().machine, os.environ, say=print)
try:
    if os.geteuid() == 0:
        install.install(search)
    print(turnserver.obtain(search))
except SamseshError as error:
    sys.exit(error.message + error.detail)
"""


@pytest.fixture
def debian(open_folder: Path) -> Iterator[Chroot]:
    """With our packages beside its own Python, which is the same version as that of these tests."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the tests' Python is not that of the clean Debian")
    for system in unpacked(open_folder):
        site = next(path for path in map(Path, sys.path) if path.name == "site-packages")
        target = system.root / "usr/lib/python3/dist-packages"
        for name in NEEDED:
            for path in site.glob(f"{name}*"):
                copy = shutil.copytree if path.is_dir() else shutil.copy
                copy(path, target / path.name)
        yield system


def test_a_clean_debian(debian: Chroot) -> None:
    """Without lists, for a user without rights, the whole closure is unpacked and runs; root's coturn is left stopped."""
    looking = ("python3", "-c", OBTAIN)
    assert debian.run("useradd", "--create-home", "alice").returncode == 0
    debian.run("sh", "-c", "rm -rf /var/lib/apt/lists/*")
    done = debian.run(*looking, "/home/alice/cache", user="alice")
    assert done.returncode == 0, done.stderr
    assert "path=PosixPath('/home/alice/cache/coturn-" in done.stdout
    assert debian.run("sh", "-c", "ls /var/lib/apt/lists").stdout == ""
    done = debian.run(*looking, "/root/cache")
    assert done.returncode == 0, done.stderr
    assert "how='installed: " in done.stdout
    assert not [line for line in debian.processes().values() if "turnserver" in line]
