"""Files that Docker follows. Its engine, as root, follows every link on the way to what it mounts: where root runs it,
all folders are therefore root's, and a file that the services read is theirs to read and nobody's to replace.

As a program, which root runs: `place FOLDER UID GID TIDY...` takes a tar on standard input, `remove FOLDER`.
"""

import io
import os
import shutil
import sys
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from samsesh.run import keeps_root, run
from samsesh.write import PRIVATE, PRIVATE_DIR, Owner, make_dir, write_file

OPEN_DIR = 0o755  # of root's, whose names are no secret: the services' user goes through


@dataclass(frozen=True)
class Placed:
    """A file, or without content a folder that the services write to; `name` is below the folder of all."""

    name: str
    content: bytes | None = None
    mode: int = PRIVATE
    roots: bool = False  # where root places it: its own, since it is followed and not mounted


def place(folder: Path, things: Sequence[Placed], tidy: Sequence[str] = ()) -> list[Path]:
    """Write them, as root's where root's rights were kept; gives the files that changed.

    `tidy`: folders below it in which nothing stays that is not placed.
    """
    if not keeps_root():
        return [folder / name for name in _put(folder, things, tidy, None)]
    command = [*_ourselves("place"), str(folder), str(os.geteuid()), str(os.getegid()), *tidy]
    done = run(command, stdin=_packed(things), as_root=True, what=f"writing {folder}")
    return [folder / os.fsdecode(name) for name in done.out.split(b"\0") if name]


def remove(folder: Path) -> None:
    """Delete one of root's folders, where root's rights were kept."""
    if keeps_root():
        run([*_ourselves("remove"), str(folder)], as_root=True, what=f"deleting {folder}")


def _ourselves(word: str) -> list[str]:
    return [sys.executable, "-I", "-m", "samsesh.placing", word]


def _packed(things: Iterable[Placed]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for thing in things:
            info = tarfile.TarInfo(thing.name)
            info.mode, info.uid = thing.mode, 0 if thing.roots else 1
            info.type = tarfile.REGTYPE if thing.content is not None else tarfile.DIRTYPE
            info.size = len(thing.content or b"")
            tar.addfile(info, io.BytesIO(thing.content or b""))
    return out.getvalue()


def _unpacked(data: bytes) -> Iterator[Placed]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        for info in tar:
            content = tar.extractfile(info)
            yield Placed(info.name, content.read() if content else None, info.mode, info.uid == 0)


def _put(folder: Path, things: Sequence[Placed], tidy: Sequence[str], owner: Owner | None) -> list[str]:
    """Names of the files that changed. `owner`: of what the services read and write; everything else is root's then."""
    dirs = OPEN_DIR if owner else PRIVATE_DIR
    changed = []
    for thing in things:
        path = folder / thing.name
        _make_dirs(path.parent, dirs)
        if thing.content is None:
            _make_dirs(path, PRIVATE_DIR)
            if owner:
                os.chown(path, *owner, follow_symlinks=False)
        elif write_file(path, thing.content, thing.mode, (0, 0) if owner and thing.roots else owner):
            changed.append(thing.name)
    names = {thing.name for thing in things}
    return changed + [name for top in tidy for name in _tidied(folder, top, names)]


def _make_dirs(path: Path, mode: int) -> None:
    for above in reversed((path, *path.parents)):
        make_dir(above, mode)


def _tidied(folder: Path, top: str, names: set[str]) -> list[str]:
    """Delete what is below `top` and not named."""
    found = [path for path in (folder / top).rglob("*") if path.is_symlink() or not path.is_dir()]
    gone = {str(path.relative_to(folder)): path for path in found}
    for name in gone.keys() - names:
        gone[name].unlink()
    return sorted(gone.keys() - names)


def main(word: str, folder: str, *more: str) -> None:
    os.umask(0o022)
    if word == "remove":
        shutil.rmtree(folder, ignore_errors=True)
        return
    uid, gid, *tidy = more
    things = list(_unpacked(sys.stdin.buffer.read()))
    changed = _put(Path(folder), things, tidy, (int(uid), int(gid)))
    sys.stdout.buffer.write(b"\0".join(os.fsencode(name) for name in changed))


if __name__ == "__main__":
    main(*sys.argv[1:])
