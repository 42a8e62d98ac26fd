"""Preparing volumes, as root of a container with three capabilities: new ones are given away, others left alone."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
USER, OTHER = 61_234, 61_235  # nobody has them
CAPABILITIES = ("setpriv", "--bounding-set", "-all,+chown,+setuid,+setgid")


@pytest.fixture
def volume() -> Iterator[Path]:
    """As deep as in the container, where it is /volumes/NAME."""
    with tempfile.TemporaryDirectory(prefix="samsesh-volume-", dir="/tmp") as name:
        yield Path(name)


def prepare(volume: Path) -> "subprocess.CompletedProcess[str]":
    program = (sys.executable, "-m", "samsesh.engines.compose.volumes")
    command = [*CAPABILITIES, *program, str(USER), str(USER), str(volume / "data/more")]
    return subprocess.run(command, capture_output=True, text=True, cwd="/")


@pytest.mark.parametrize("owner", [0, OTHER, USER])
def test_a_new_one(volume: Path, owner: int) -> None:
    """Root's, or an empty one of a user of the image, is then the services' user's, with its folders; twice is once."""
    os.chown(volume, owner, owner)
    for _ in range(2):
        done = prepare(volume)
        assert done.returncode == 0, done.stderr
    found = [
        (path.stat().st_uid, path.stat().st_gid) for path in (volume, volume / "data", volume / "data/more")
    ]
    assert found == [(USER, USER)] * 3


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o000])
def test_somebodys(volume: Path, mode: int) -> None:
    """What somebody else put something into is theirs, also where root without its rights cannot look into it."""
    (volume / "file").touch()
    os.chown(volume, OTHER, OTHER)
    volume.chmod(mode)
    done = prepare(volume)
    assert done.returncode == 1 and f"belongs to the user {OTHER}" in done.stderr, done.stderr
    assert volume.stat().st_uid == OTHER
