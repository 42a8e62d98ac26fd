"""Backup archives: whole or refused. Nothing that an archive holds is believed before it was checked."""

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samsesh.engines.compose import kept as volumes
from samsesh.engines.native import kept
from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.ops import archive, backup, switch

FACTS = {"samsesh": "0.1", "server_name": "a.test", "created": "2026-01-01T00:00:00+00:00"}
LONG = "media/" + "ä" * 70 + "/" + "b" * 120  # needs tar's extended headers


def made(files: Mapping[str, bytes], facts: Mapping[str, Any] = FACTS) -> bytes:
    """An archive as the program makes them."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory() as name:
        writer = archive.writer(out)
        with writer.tar:
            for number, (member, content) in enumerate(files.items()):
                path = Path(name, str(number))
                path.write_bytes(content)
                writer.add_file(member, path)
            writer.finish(dict(facts))
    return out.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FILES = {
    "database.dump": b"PGDMP" + bytes(range(256)) * 9,
    "media/a/b": b"",
    "secrets/key": b"s" * 512,
    LONG: b"x",
}
WHOLE = made(FILES)
MANIFEST = archive.read_manifest(io.BytesIO(WHOLE))


def extracted(data: bytes) -> dict[str, bytes]:
    """What a restore would find, after the same check."""
    opened = io.BytesIO(data)
    archive.read_manifest(opened)
    with tempfile.TemporaryDirectory() as name:
        archive.extract(opened, Path(name))
        return contents(Path(name))


def test_round_trip(tmp_path: Path) -> None:
    """What goes in comes out, in files that nobody else can read, below the folder named."""
    opened = io.BytesIO(WHOLE)
    assert archive.read_manifest(opened)["server_name"] == "a.test"
    archive.extract(opened, tmp_path)
    found = contents(tmp_path)
    del found[archive.MANIFEST]
    assert found == FILES
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()} == {0o600}


def test_a_tree_with_odd_names(tmp_path: Path) -> None:
    """Names that are no UTF-8 and spaces survive; links and pipes are left out."""
    tree = tmp_path / "tree"
    odd = tree / os.fsdecode(b"caf\xe9") / "a b"
    odd.parent.mkdir(parents=True)
    odd.write_bytes(b"odd")
    (disk := tmp_path / "disk").mkdir()
    (disk / "photo").write_bytes(b"photo")
    (tree / "other disk").symlink_to(disk)
    (disk / "and back").symlink_to(tree)
    (tree / "nowhere").symlink_to(tmp_path / "unmounted")
    os.mkfifo(tree / "pipe")
    lost = []
    out = io.BytesIO()
    writer = archive.writer(out)
    with writer.tar:
        for name, size, content in kept.files(tree):
            if content is None:
                lost.append(name)
            else:
                writer.add(f"media/{name}", content, size)
        writer.finish(FACTS)
    found = extracted(out.getvalue())
    del found[archive.MANIFEST]
    assert found == {
        str(Path("media") / odd.relative_to(tree)): b"odd",
        "media/other disk/photo": b"photo",
    }
    assert lost == ["nowhere", "pipe"]


def test_a_file_that_changes_while_it_is_packed(tmp_path: Path) -> None:
    """One that vanished is left out, one that shrank is filled up, and the archive is whole."""
    path = tmp_path / "log"
    path.write_bytes(b"x" * 100)
    out = io.BytesIO()
    writer = archive.writer(out)
    with writer.tar, path.open("rb") as source:
        writer.add_file("gone", tmp_path / "gone")
        os.truncate(path, 10)
        writer.add("log", source, 100)
        writer.finish(FACTS)
    assert extracted(out.getvalue())["log"] == b"x" * 10 + b"\0" * 90


@given(bit=st.integers(0, len(WHOLE) * 8 - 1))
def test_a_flipped_bit_is_found(bit: int) -> None:
    """One bit wrong anywhere is found, or it is in tar's padding, and everything is as it was written."""
    data = bytearray(WHOLE)
    data[bit // 8] ^= 1 << bit % 8
    try:
        found = extracted(bytes(data))
    except SamseshError:
        return
    assert found == extracted(WHOLE)
    assert archive.read_manifest(io.BytesIO(bytes(data))) == MANIFEST


@pytest.mark.parametrize("name", [*FILES, archive.MANIFEST])
def test_every_flipped_bit_of_content_is_found(name: str) -> None:
    """In a member no bit can change unseen, nor in the manifest's values."""
    with tarfile.open(fileobj=io.BytesIO(WHOLE)) as tar:
        member = tar.getmember(name)
    for place in range(member.offset_data, member.offset_data + member.size):
        data = bytearray(WHOLE)
        data[place] ^= 1 << random.randrange(8)
        try:
            found = archive.read_manifest(io.BytesIO(data))
        except SamseshError:
            continue
        assert name == archive.MANIFEST and found == MANIFEST  # JSON can write one text in two ways


def test_a_cut_is_found_wherever_it_is() -> None:
    """An archive that ends too early is refused."""
    with tarfile.open(fileobj=io.BytesIO(WHOLE)) as tar:
        last = tar.getmember(archive.MANIFEST)
    for end in [*range(0, last.offset_data + last.size, 61), last.offset_data + last.size - 1]:
        with pytest.raises(SamseshError, match="cannot be used"):
            archive.read_manifest(io.BytesIO(WHOLE[:end]))


@pytest.mark.parametrize(
    "data", [b"", b"\0" * 10240, b"hello\n", b"\x1f\x8b" + b"z" * 2000, os.urandom(4096)]
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    """Empty files, zeros, texts, compressed and random bytes: one sentence, and nothing was changed."""
    with pytest.raises(SamseshError, match="cannot be used") as caught:
        archive.read_manifest(io.BytesIO(data))
    assert "nothing was changed" in caught.value.hint


def crafted(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive of an attacker, whose manifest and seal fit."""
    out = io.BytesIO()
    writer = archive.writer(out)
    with writer.tar:
        for info, content in members:
            writer.tar.addfile(info, io.BytesIO(content))
            digest = hashlib.sha256(content).hexdigest()
            writer.members[info.name] = {"size": info.size, "sha256": digest}
        writer.finish(FACTS)
    return out.getvalue()


def part(
    name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **more: Any
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


@pytest.mark.parametrize(
    "members",
    [
        [part("../out", content=b"x")],
        [part("a/../../out", content=b"x")],
        [part("/tmp/out", content=b"x")],
        [part("./a", content=b"x")],
        [part("a//b", content=b"x")],
        [part(".", content=b"x")],
        [part("", content=b"x")],
        [part("twice", content=b"x"), part("twice", content=b"y")],
        [part("link", tarfile.SYMTYPE, linkname="/etc"), part("link/passwd", content=b"x")],
        [part("a", content=b"x"), part("hard", tarfile.LNKTYPE, linkname="a")],
        [part("hard", tarfile.LNKTYPE, linkname="/etc/passwd")],
        [part("pipe", tarfile.FIFOTYPE)],
        [part("disk", tarfile.BLKTYPE, devmajor=8, devminor=0)],
        [part("null", tarfile.CHRTYPE, devmajor=1, devminor=3)],
        [part("folder", tarfile.DIRTYPE)],
        [
            part(
                "huge",
                pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"},
                content=b"no number\n" * 60,
            )
        ],
        [part("huge", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**60)}, content=b"x")],
        [part("huge", pax_headers={"size": "-1024"}, content=b"x")],
        [part("huge", pax_headers={"size": str(2**62)}, content=b"x")],
        [part("nul", pax_headers={"path": "a\0b"}, content=b"x")],
        [part("media/two\nlines", content=b"x")],
        [part("media/\x1b[2J", content=b"x")],
        [part("media/\x9b2J", content=b"x")],
        [part("media/\u202egnp.exe", content=b"x")],
    ],
    ids=lambda members: members[-1][0].name or "empty",
)
def test_crafted_members_are_refused(members: list[tuple[tarfile.TarInfo, bytes]], tmp_path: Path) -> None:
    """Neither the check nor unpacking follows, makes or fills what no backup of ours has."""
    data = crafted(*members)
    with pytest.raises(SamseshError):
        extracted(data)
    with pytest.raises(SamseshError):  # without the check before, too
        archive.extract(io.BytesIO(data), tmp_path / "in")
    assert {path.name for path in tmp_path.iterdir()} <= {"in"}
    assert not any(path.is_symlink() or path.is_fifo() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("name", ["media/two\nlines", "media/\x1b]8;;x", "files/\u202egnp"])
def test_what_would_not_be_taken_back_is_not_packed(name: str) -> None:
    """A backup that a restore would refuse for a name in it is not made: the file is named, and its name is shown
    without what would steer a terminal."""
    writer = archive.writer(io.BytesIO())
    with pytest.raises(SamseshError, match="control character") as caught:
        writer.add(name, io.BytesIO(b"x"), 1)
    assert repr(name) in caught.value.message


@pytest.mark.parametrize("name", ["created", "reason", "samsesh", "server_name", "first_admin"])
@pytest.mark.parametrize("text", ["a.test\nall is well", "a\x1b[2J", "a\u202eb"])
def test_a_manifest_has_no_control_characters(name: str, text: str) -> None:
    """What a foreign manifest says is printed and kept: one with line breaks or escapes is refused."""
    with pytest.raises(SamseshError, match="manifest is not readable"):
        archive.read_manifest(io.BytesIO(made({"a": b"x"}, {**FACTS, name: text})))


def test_a_file_that_is_a_folder_elsewhere(tmp_path: Path) -> None:
    """Members that contradict each other are an error with a sentence."""
    data = crafted(part("a", content=b"x"), part("a/b", content=b"y"))
    with pytest.raises(SamseshError, match="cannot write"):
        archive.extract(io.BytesIO(data), tmp_path)


def with_manifest(text: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(*((found := part(archive.MANIFEST, content=text))[0], io.BytesIO(found[1])))
    return out.getvalue()


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b'{"format": 1}', b'{"format": "1"}',
     b'{"format": 1, "server_name": "a", "members": []}', b'{"format": 1, "server_name": "a", "members": {}}',
     b'{"format": 1, "server_name": "a", "members": {}, "seal": "0"}'],
    ids=range(11),
)  # fmt: skip
def test_a_broken_manifest_is_refused(text: bytes) -> None:
    """Whatever stands in the manifest's place, the answer is one sentence."""
    with pytest.raises(SamseshError):
        archive.read_manifest(io.BytesIO(with_manifest(text)))


def test_a_newer_format_is_refused_with_a_hint() -> None:
    """A backup of a later program says which one, though its seal may be made in another way."""
    newer = {"format": archive.FORMAT + 1, "samsesh": "9.1", "server_name": "a", "members": {}}
    with pytest.raises(SamseshError, match=r"newer Samsesh \(9.1\)") as caught:
        archive.read_manifest(io.BytesIO(with_manifest(json.dumps(newer).encode())))
    assert "that version or a newer one" in caught.value.hint


def test_what_cannot_be_read_at_will_is_refused() -> None:
    """A pipe in the place of a file is an error with what to do."""
    reader, writer = os.pipe()
    os.close(writer)
    with os.fdopen(reader, "rb") as opened, pytest.raises(SamseshError, match="cannot read") as caught:
        archive.read_manifest(opened)
    assert "standard input" in caught.value.hint


SLOW_WRITER = """
import sys
from pathlib import Path
from samsesh.ops import archive
from samsesh.write import replacing
path, source = Path(sys.argv[1]), Path(sys.argv[2])
with replacing(path) as out:
    writer = archive.writer(out)
    with writer.tar:
        for number in range(100_000):
            writer.add_file(f"media/{number}", source)
            if number == 20:
                print("writing", flush=True)
        writer.finish({"server_name": "a"})
"""


def test_a_killed_writer_leaves_no_archive(tmp_path: Path) -> None:
    """`kill -9` in the middle of writing: nothing that `backup list` takes for a backup."""
    home = Home(tmp_path / "home")
    source = tmp_path / "source"
    source.write_bytes(os.urandom(100_000))
    command = [sys.executable, "-c", SLOW_WRITER, str(home.backups_dir / "samsesh-a-1.tar"), str(source)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"writing\n"
        child.send_signal(signal.SIGKILL)
    assert backup.listed(home) == []
    left = list(home.backups_dir.iterdir())
    assert [path.stat().st_mode & 0o777 for path in left] == [0o600]
    backup._remove_stale(home)
    assert not list(home.backups_dir.iterdir())


def test_the_list_goes_on_past_what_it_cannot_read(tmp_path: Path) -> None:
    """One broken backup, a folder of such a name or a dangling link do not hide the others."""
    home = Home(tmp_path)
    home.backups_dir.mkdir()
    makers: dict[str, Callable[[Path], object]] = {
        "1.tar": lambda path: path.write_bytes(WHOLE),
        "2.tar": lambda path: path.write_bytes(WHOLE[:3000]),
        "3.tar": lambda path: path.mkdir(),
        "4.tar": lambda path: path.symlink_to("nowhere"),
        "5.txt": lambda path: path.write_bytes(WHOLE),
    }
    for name, make in makers.items():
        make(home.backups_dir / name)
    found = {entry.path.name: entry for entry in backup.listed(home)}
    assert list(found) == ["4.tar", "3.tar", "2.tar", "1.tar"]
    assert not found["1.tar"].problem
    assert found["1.tar"].data()["size"] == len(WHOLE)
    assert "members" not in found["1.tar"].data()
    assert all(found[name].problem for name in ("2.tar", "3.tar", "4.tar"))


def test_a_volume_with_links(tmp_path: Path) -> None:
    """Docker gives a link in a volume as it is: what is behind it is named, never silently left out; and where the data
    is to move to another engine, nothing moves.
    """
    volume = tmp_path / "media"
    (volume / "local_content").mkdir(parents=True)
    (volume / "local_content/file").write_bytes(b"x")
    (volume / "remote_content").symlink_to("/mnt/disk")
    with tarfile.open(tmp_path / "volume.tar", "w") as tar:
        tar.add(volume, "media")
    with (tmp_path / "volume.tar").open("rb") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        found = [(name, content and content.read()) for name, _, content in volumes._members(tar)]
    assert sorted(found) == [("local_content/file", b"x"), ("remote_content", None)]

    @contextmanager
    def files_of(plan: Any, unit: str) -> Iterator[Any]:
        yield iter([("a link", 0, None)])

    server: Any = SimpleNamespace(engine=SimpleNamespace(files_of=files_of), plan=None)
    with pytest.raises(SamseshError, match="a link of gateway is a link or cannot be read"):
        switch._copy(server, "gateway", tmp_path / "new")
