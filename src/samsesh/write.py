"""The only place that writes files: whole or not at all, with the mode they are to have from the first byte on."""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from samsesh.errors import SamseshError

PRIVATE = 0o600
PRIVATE_DIR = 0o700


Owner = tuple[int, int]  # user id, group id


def write_file(path: Path, data: bytes | str, mode: int = PRIVATE, owner: Owner | None = None) -> bool:
    """Put `data` at `path` atomically; True when content, mode or, where it is named, the owner changed.

    Folders on the way are made 0700.
    """
    content = data.encode() if isinstance(data, str) else data
    if _same(path, content, mode, owner):
        return False
    with replacing(path, mode, owner) as out:
        out.write(content)
    return True


@contextmanager
def replacing(path: Path, mode: int = PRIVATE, owner: Owner | None = None) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` at the end, synced; after an error nothing is left of it."""
    with explained(path):
        make_dir(path.parent)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w+b") as out:
                yield out
                out.flush()
                if owner:
                    os.fchown(out.fileno(), *owner)
                os.fchmod(out.fileno(), mode)
                os.fsync(out.fileno())
            Path(temporary).replace(path)
            _sync_dir(path.parent)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


@contextmanager
def growing(path: Path) -> Iterator[BinaryIO]:
    """A file of which more comes later, such as a download: what there is of it stays, and is written on."""
    with explained(path):
        make_dir(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, PRIVATE)
        with os.fdopen(descriptor, "ab") as out:
            yield out


@contextmanager
def temporary_dir(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder in `parent` that is gone afterwards, unless it was renamed."""
    with explained(parent):
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What the disk says against writing `path`, as an error of ours."""
    try:
        yield
    except OSError as error:
        raise SamseshError(f"cannot write {path}: {error.strerror or error}", _advice(error)) from error


def append_line(path: Path, line: str) -> None:
    """Add one line to a log of ours (audit), in a single write, so that lines of two programs never mix."""
    with explained(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, PRIVATE)
        with os.fdopen(descriptor, "ab", buffering=0) as out:
            data = line.rstrip("\n").encode() + b"\n"
            if out.write(data) != len(data):  # the last of the disk's room took a part of it
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def set_kernel(path: Path, value: str) -> None:
    """Give a file below /proc/sys its value, in the single write that the kernel wants."""
    with explained(path), path.open("wb", buffering=0) as out:
        out.write(value.encode() + b"\n")


def make_dir(path: Path, mode: int = PRIVATE_DIR) -> None:
    """Make a folder and those above it; an existing one is left as it is."""
    try:
        if not path.is_dir():
            path.mkdir(mode=mode, parents=True, exist_ok=True)
            path.chmod(mode)
    except OSError as error:
        raise SamseshError(f"cannot make the folder {path}: {error.strerror}", _advice(error)) from error


def make_link(path: Path, target: Path) -> None:
    """A symbolic link; something else that has the name stays, and is an error."""
    with explained(path):
        path.symlink_to(target)


def holds(path: Path, content: bytes) -> bool:
    """Whether a file is there with that content."""
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _same(path: Path, content: bytes, mode: int, owner: Owner | None) -> bool:
    try:
        found = path.lstat()
        return (
            stat.S_ISREG(found.st_mode)
            and stat.S_IMODE(found.st_mode) == mode
            and owner in (None, (found.st_uid, found.st_gid))
            and found.st_size == len(content)
            and path.read_bytes() == content
        )
    except OSError:
        return False


def _sync_dir(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _advice(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full: make room, then run the command again"
    if error.errno == errno.EROFS:
        return "that file system is read-only: choose another folder with --home"
    return "check who owns that folder, or choose another with --home"
