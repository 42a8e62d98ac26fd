"""Files are written whole or not at all, with the mode they are to have, whatever happens in between."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from samsesh import write
from samsesh.errors import SamseshError
from samsesh.write import append_line, make_dir, replacing, write_file

SIZE = 2_000_000
REWRITER = """
import itertools, sys
from pathlib import Path
from samsesh.write import write_file
path = Path(sys.argv[1])
for letter in itertools.cycle(b"abc"):
    write_file(path, bytes([letter]) * int(sys.argv[2]), 0o640)
    print(flush=True)
"""
ON_FULL_DISK = """
import sys
from pathlib import Path
from samsesh.errors import SamseshError
from samsesh.write import append_line, write_file
folder = Path(sys.argv[1])
write_file(folder / "kept", "old")
large = "x" * 2_000_000
for attempt in (lambda: write_file(folder / "kept", large), lambda: append_line(folder / "log", large)):
    try:
        attempt()
    except SamseshError as error:
        print(error.message, "|", error.hint)
assert (folder / "kept").read_text() == "old"
assert {path.name for path in folder.iterdir()} <= {"kept", "log"}, list(folder.iterdir())
"""


@pytest.mark.slow
def test_power_loss_leaves_the_old_or_the_new_file(tmp_path: Path) -> None:
    """A writer killed at any moment: readers see one of the whole contents, before, during and after."""
    path = tmp_path / "file"
    write_file(path, b"a" * SIZE, 0o640)
    seen = set()
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", REWRITER, str(path), str(SIZE)], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout
            child.stdout.readline()
            end = time.monotonic() + random.uniform(0, 0.15)
            while time.monotonic() < end:
                content = path.read_bytes()
                assert len(content) == SIZE and content.count(content[:1]) == SIZE
                seen.add(content[:1])
            child.send_signal(signal.SIGKILL)
        content = path.read_bytes()
        assert len(content) == SIZE and content.count(content[:1]) == SIZE
        assert path.stat().st_mode & 0o777 == 0o640
    assert len(seen) > 1  # it was rewritten under the reader


def test_modes(tmp_path: Path) -> None:
    """Private unless told otherwise, whatever the umask; another mode counts as a change."""
    path = tmp_path / "new" / "file"
    before = os.umask(0)
    try:
        assert write_file(path, "text")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert not write_file(path, "text")
    assert write_file(path, "text", 0o644)
    assert path.stat().st_mode & 0o777 == 0o644
    assert write_file(path, b"texT", 0o644)
    assert [found.name for found in path.parent.iterdir()] == ["file"]


def test_it_is_private_from_the_first_byte_on(tmp_path: Path) -> None:
    """While a secret is being written, nobody else can read what is there of it."""
    before = os.umask(0)
    try:
        with replacing(tmp_path / "file", 0o644) as out:
            out.write(b"secret")
            out.flush()
            (found,) = tmp_path.iterdir()
            assert found.stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(before)


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_in_between_changes_nothing(tmp_path: Path, kind: type[BaseException]) -> None:
    """What was there stays, no temporary file does, and the error goes on."""
    path = tmp_path / "file"
    write_file(path, "old")

    def fail() -> None:
        with replacing(path) as out:
            out.write(b"new")
            raise kind

    with pytest.raises(kind):
        fail()
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    """A symbolic link in the place of a file of ours cannot lead a write elsewhere, even with equal content."""
    other = tmp_path / "other"
    other.write_text("text")
    path = tmp_path / "file"
    path.symlink_to(other)
    assert write_file(path, "text")
    assert not path.is_symlink()
    assert write_file(path, "mine")
    assert other.read_text() == "text"


def test_a_log_that_is_a_link_is_refused(tmp_path: Path) -> None:
    """Lines go to our own file only."""
    other = tmp_path / "other"
    other.write_text("")
    log = tmp_path / "audit.log"
    log.symlink_to(other)
    with pytest.raises(SamseshError, match="cannot write"):
        append_line(log, "line")
    assert not other.read_text()


def test_lines_of_two_programs_do_not_mix(tmp_path: Path) -> None:
    """Each line of the audit log is whole, however many programs write to it."""
    log = tmp_path / "audit.log"
    code = (
        "import sys\nfrom pathlib import Path\nfrom samsesh.write import append_line\n"
        "for _ in range(300): append_line(Path(sys.argv[1]), sys.argv[2] * 300)"
    )
    children = [subprocess.Popen([sys.executable, "-c", code, str(log), letter]) for letter in "ab"]
    assert [child.wait(60) for child in children] == [0, 0]
    lines = log.read_text().splitlines()
    assert sorted(lines) == ["a" * 300] * 300 + ["b" * 300] * 300
    assert log.stat().st_mode & 0o777 == 0o600


def full_disk(*command: str) -> list[str]:
    """Run a command with a disk of 1 MB at its last argument; skips where this user may not mount one."""
    for options in (["-m"], ["-r", "-m"]):
        mount = [
            "unshare",
            *options,
            "sh",
            "-c",
            'mount -t tmpfs -o size=1m none "$0" && exec "$@"',
            command[-1],
        ]
        try:
            if subprocess.run([*mount, "true"], capture_output=True).returncode == 0:
                return [*mount, *command]
        except FileNotFoundError:
            break
    pytest.skip("this user may not mount a small disk here")


def test_a_full_disk(tmp_path: Path) -> None:
    """The old file stays, nothing else does, and the error says that the disk is full."""
    command = full_disk(sys.executable, "-c", ON_FULL_DISK, str(tmp_path))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("No space left on device | the disk is full: make room") == 2


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "who owns")],
)
def test_errors_of_the_disk_say_what_to_do(tmp_path: Path, number: int, words: str) -> None:
    """Every OSError becomes one sentence and a hint that fits it."""

    def fail() -> None:
        with write.explained(tmp_path):
            raise OSError(number, os.strerror(number))

    with pytest.raises(SamseshError, match=os.strerror(number)) as caught:
        fail()
    assert words in caught.value.hint


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the place of a folder is told; a folder that is there keeps its mode."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SamseshError, match="cannot make the folder"):
        make_dir(tmp_path / "file" / "below")
    with pytest.raises(SamseshError, match="cannot"):
        write_file(tmp_path / "file" / "below", "text")
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o755)
    make_dir(there)
    assert there.stat().st_mode & 0o777 == 0o755


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    """It is told, and nothing is left beside it."""
    (tmp_path / "file").mkdir()
    with pytest.raises(SamseshError, match="Is a directory"):
        write_file(tmp_path / "file", "text")
    assert [found.name for found in tmp_path.iterdir()] == ["file"]
