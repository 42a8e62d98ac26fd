"""Backup archives: one tar with a manifest of every member's size and SHA-256. An archive read is not trusted."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO

from samsesh import names
from samsesh.errors import SamseshError
from samsesh.facts import opened
from samsesh.text import has_controls
from samsesh.write import explained

FORMAT = 1
MANIFEST = "manifest.json"
CHUNK = 1024 * 1024
LONGEST_MANIFEST = 512 * CHUNK


@dataclass
class Writer:
    """Adds members to an archive and remembers what was written; the manifest is the last member."""

    tar: tarfile.TarFile
    members: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add_file(self, name: str, path: Path) -> None:
        """A file as it is now: one that grows is cut at the size it had, one that vanished is left out."""
        if not (source := opened(path)):
            return
        with source:
            self.add(name, source, os.fstat(source.fileno()).st_size)

    def add(self, name: str, source: IO[bytes], size: int) -> None:
        if has_controls(name):  # no archive with such a name is taken back
            raise SamseshError(
                f"the file {name!r} cannot be in a backup: its name has a line break or another control character",
                "rename it, or delete it where it is not yours, then try again",
            )
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o600
        reader = _Hashing(source, size)
        self.tar.addfile(info, reader)
        self.members[name] = {"size": size, "sha256": reader.digest()}

    def finish(self, facts: dict[str, Any]) -> None:
        manifest = {"format": FORMAT, **facts, "members": self.members}
        data = json.dumps({**manifest, "seal": _seal(manifest)}, indent=1).encode()
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(data), 0o600
        self.tar.addfile(info, io.BytesIO(data))


class _Hashing(io.RawIOBase):
    """Exactly `size` bytes of a file, hashed as they pass; a file that became shorter is filled with zeros."""

    def __init__(self, source: IO[bytes], size: int) -> None:
        self._source, self._left, self._hash = source, size, hashlib.sha256()

    def read(self, count: int = -1) -> bytes:
        wanted = self._left if count < 0 else min(count, self._left)
        data = self._source.read(wanted)
        data += b"\0" * (wanted - len(data))
        self._left -= len(data)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        return self._hash.hexdigest()


def writer(out: BinaryIO) -> Writer:
    return Writer(tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT))


def _seal(manifest: dict[str, Any]) -> str:
    """The manifest vouches for the members; this vouches for the manifest."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def read_manifest(archive: BinaryIO) -> dict[str, Any]:
    """The manifest of an archive whose every member was checked against it. Leaves the archive at its beginning."""
    found: dict[str, dict[str, Any]] = {}
    manifest: dict[str, Any] = {}
    with _reading():
        for info, content in _members(archive):
            if info.name == MANIFEST:
                if info.size > LONGEST_MANIFEST:
                    raise damaged("its manifest is too large")
                manifest = _manifest(content.read())
            else:
                digest = hashlib.sha256()
                while data := content.read(CHUNK):
                    digest.update(data)
                found[info.name] = {"size": info.size, "sha256": digest.hexdigest()}
    if not manifest:
        raise damaged("it has no manifest: it is cut off, or no backup of Samsesh")
    if found != manifest["members"]:
        different = sorted(
            name
            for name in {*found, *manifest["members"]}
            if found.get(name) != manifest["members"].get(name)
        )
        raise damaged(f"these parts are not as they were written: {', '.join(different[:5])}")
    return manifest


def _manifest(data: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(data)
        number, members = manifest["format"], manifest["members"]
        names.server_name(manifest["server_name"])
        if any(has_controls(fact) for fact in manifest.values() if isinstance(fact, str)):
            raise ValueError
        files = manifest.get("files", {})
        if not all(
            isinstance(text, str) for text in [*manifest.get("left_out", []), *files, *files.values()]
        ):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise damaged("its manifest is not readable") from None
    if not isinstance(number, int) or number > FORMAT:
        made = manifest.get("samsesh", "a newer version")
        raise SamseshError(
            f"this backup was made by a newer Samsesh ({made})", "restore it with that version or a newer one"
        )
    seal = manifest.pop("seal", None)
    if not isinstance(members, dict) or seal != _seal(manifest):
        raise damaged("its manifest is not as it was written")
    return dict(manifest)


def extract(archive: BinaryIO, folder: Path) -> None:
    """Unpack a checked archive below `folder`, every file 0600."""
    with _reading():
        for info, content in _members(archive):
            path = folder / info.name
            with explained(path):
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
                with os.fdopen(descriptor, "wb") as out:
                    while data := content.read(CHUNK):
                        out.write(data)


def _members(archive: BinaryIO) -> Iterator[tuple[tarfile.TarInfo, IO[bytes]]]:
    """Plain files with harmless names; anything else means that the archive is not ours."""
    archive.seek(0)
    seen = set()
    try:
        with tarfile.open(fileobj=archive, mode="r:") as tar:
            for info in tar:
                if not _plain(info) or info.name in seen:
                    raise damaged(f"it has a part that no backup of ours has: {info.name!r}")
                seen.add(info.name)
                content = tar.extractfile(info)
                assert content is not None  # a regular file always has content
                yield info, content
    finally:
        archive.seek(0)


def _plain(info: tarfile.TarInfo) -> bool:
    """A regular file, not sparse (a few bytes could claim to be a million gigabytes), with a name that stays inside."""
    name = PurePosixPath(info.name)
    inside = not name.is_absolute() and ".." not in name.parts and str(name) == info.name != "."
    plain = info.type == tarfile.REGTYPE and not info.issparse() and info.size >= 0
    return plain and inside and not has_controls(info.name)


@contextmanager
def _reading() -> Iterator[None]:
    """Whatever a broken or forged archive leads to while it is read, as an error of ours."""
    try:
        yield
    except OSError as error:
        raise SamseshError(
            f"cannot read this backup: {error.strerror or error}", "name a file, or - for standard input"
        ) from None
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        raise damaged(f"it is cut off or no tar archive ({error})") from None


def damaged(why: str) -> SamseshError:
    return SamseshError(
        f"this backup cannot be used: {why}", "nothing was changed; try another: samsesh backup list"
    )
