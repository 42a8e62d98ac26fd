"""Where fetched and built programs are kept, for every home of this user, and the way to look for one.

Homes share what they ask for alike: the name of a folder says what was asked for.
"""

import fcntl
import json
import os
import shutil
import stat
import tarfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from samsesh.compress import beside, can_be, compressed, is_beside
from samsesh.download import Progress, sha256_of
from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.owners import way_changed_by
from samsesh.run import undisturbed
from samsesh.settings import Artifacts
from samsesh.tools import is_own
from samsesh.write import explained, make_dir, replacing, temporary_dir, write_file

MACHINE_CACHE = Path("/var/cache/samsesh")
NEW = ".new-"  # folders that are being filled; one that is left belonged to a command that was killed
HOMES = "homes"  # folder with a file for each home that uses the cache
COMPRESSING = ".compressing-"  # folders of commands that compress; they do not hold the cache meanwhile
WAIT_SECONDS = 1800
OPEN = 0o755  # what is kept is public, and may be shared by several users
READABLE = 0o644


@dataclass(frozen=True)
class Origin:
    """How something was got, for people; `sha256` of the release's file, in hex, where it comes from one.

    `doubt`: why nothing vouches for what was got in another way, empty if something does.
    """

    how: str
    sha256: str = ""
    doubt: str = ""


@dataclass(frozen=True)
class Artifact:
    """A program, or the folder of a web bundle. `how` it comes to be used, for people; `env` that the program needs.

    `origin` of what we got ourselves; None of what is the user's or the machine's own.
    """

    name: str
    path: Path
    version: str
    how: str
    env: Mapping[str, str] = field(default_factory=dict)
    origin: Origin | None = None


@dataclass(frozen=True)
class Search:
    """What a search for artifacts may use, and whom it tells."""

    want: Artifacts
    cache: Path
    machine: str  # as in Facts: "x86_64", "aarch64"
    environ: Mapping[str, str]
    say: Callable[[str], None] = lambda text: None
    progress: Progress = lambda what, done, total: None

    def on_path(self, program: str, *more: str) -> str | None:
        """A program on PATH, or in folders that PATHs of services often lack, which nobody else can change."""
        folders = [*self.environ.get("PATH", os.defpath).split(":"), *more]
        paths = filter(None, (shutil.which(program, path=folder) for folder in folders))
        return next((path for path in paths if is_own(Path(path))), None)

    def must_be_online(self) -> None:
        if self.want.offline:
            raise SamseshError(
                "nothing may be fetched", "to allow it: samsesh config set artifacts.offline no"
            )


Step = Callable[[Search], Artifact]  # raises SamseshError with the reason where it has none


def cache_dir(environ: Mapping[str, str], home: Path) -> Path:
    """SAMSESH_CACHE, else the machine's where we may write, else the user's, else one in the home."""
    if given := environ.get("SAMSESH_CACHE"):
        return Path(given).absolute()
    if os.access(MACHINE_CACHE, os.W_OK) or os.geteuid() == 0:
        return MACHINE_CACHE
    folder = environ.get("XDG_CACHE_HOME")
    person = environ.get("HOME", "")
    if not folder and person and Path(person) != home and os.access(person, os.W_OK):
        folder = f"{person}/.cache"
    return Path(folder).absolute() / "samsesh" if folder else home / "cache"


def note_home(cache: Path, home: Home) -> None:
    """So that nobody removes a cache that a server uses: `homes_of`."""
    with suppress(SamseshError):  # a full disk, which others report
        make_dir(cache, OPEN)
        write_file(cache / HOMES / home.id, str(home.path), READABLE)


def homes_of(cache: Path) -> list[Path]:
    """Homes whose servers use a cache, those that are gone included. Root asks, too: no link and no pipe counts."""
    files = [file for file in (cache / HOMES).glob("*") if stat.S_ISREG(file.lstat().st_mode)]
    return [Path(file.read_text(errors="replace")) for file in files]


def first(search: Search, steps: Sequence[Step], otherwise: SamseshError) -> Artifact:
    """What the first step finds that finds something; else `otherwise`, with the reasons of all as its detail.

    The cache is held meanwhile, so that steps find what another command made.
    """
    reasons = []
    with held(search.cache, search.say):
        for step in steps:
            try:
                return step(search)
            except SamseshError as error:
                reason = "; ".join(filter(None, [error.message, error.hint]))
                # What has no hint was to be expected: not on PATH, not in the cache. The last is told with all.
                if error.hint and step is not steps[-1]:
                    search.say(reason)
                reasons += ["- " + reason, *("    " + line for line in error.detail.splitlines())]
            except OSError as error:  # a full disk, a package without what it should hold: the next may work
                reasons.append(f"- {error}")
    raise SamseshError(otherwise.message, otherwise.hint, detail="\n".join(reasons))


def at_once(search: Search, steps: Sequence[Step]) -> Artifact | None:
    """As `first`, of steps that take no time, and without a word."""
    for step in steps:
        try:
            return step(search)
        except SamseshError:
            continue
    return None


@contextmanager
def held(cache: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the cache: one command fetches or builds at a time, and the next finds what it made."""
    make_dir(cache, OPEN)
    _check_owner(cache)
    with explained(cache):
        descriptor = os.open(cache, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with explained(cache):
            _wait_for(descriptor, cache, say)
        for left in cache.glob(f"{NEW}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(descriptor)


def _check_owner(cache: Path) -> None:
    """Nothing is run from where others may put things: the checksums would be theirs, too."""
    if others := way_changed_by(cache.absolute()):
        raise SamseshError(
            f"the cache {cache} can be changed by {others}",
            "make it yours alone, or choose another with SAMSESH_CACHE",
        )


def _wait_for(descriptor: int, cache: Path, say: Callable[[str], None]) -> None:
    end = time.monotonic() + WAIT_SECONDS
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if not told:
                say(f"another command fetches programs to {cache}; waiting for it")
            told = True
        if time.monotonic() > end:
            raise SamseshError(f"{cache} is still held by another command", "wait for it to end, or end it")
        time.sleep(0.2)


@contextmanager
def working(cache: Path) -> Iterator[Path]:
    """A folder to work in, gone afterwards. Hold the cache first."""
    with temporary_dir(cache, NEW) as folder:
        yield folder


@contextmanager
def keeping(folder: Path, origin: Origin) -> Iterator[Path]:
    """A folder to fill, which is then kept as `folder`: whole or not at all, its checksums and its origin with it."""
    with temporary_dir(folder.parent, NEW) as new:
        yield new
        with undisturbed(), explained(folder):
            for path in [path for path in new.rglob("*") if is_beside(path)]:
                path.unlink()  # what the publisher compressed; we do it ourselves, with a record
            for path in (new, *new.rglob("*")):
                path.chmod(OPEN if path.is_dir() or path.stat().st_mode & 0o100 else READABLE)
            if folder.exists():
                folder.rename(new.with_name(new.name + "-old"))
            _compressed_file(folder).unlink(missing_ok=True)
            write_file(_sums_file(folder), _sums(new), READABLE)
            write_file(_origin_file(folder), json.dumps(asdict(origin)), READABLE)
            new.rename(folder)
            shutil.rmtree(new.with_name(new.name + "-old"), ignore_errors=True)


def check_kept(folder: Path, what: str) -> None:
    """Raises SamseshError where there is no such folder, or it is not as it was when it was kept."""
    if folder.is_dir():
        _check_owner(folder.parent)
    try:
        recorded = _sums_file(folder).read_text()
        same = (
            folder.is_dir()
            and recorded == _sums(folder)
            and _compressed_sums(folder) <= _compressed_record(folder)
        )
    except FileNotFoundError:
        same = False
    except OSError as error:
        raise SamseshError(f"the kept {what} cannot be read: {error}", f"remove {folder}") from None
    if not folder.is_dir():
        raise SamseshError(f"{what} is not in the cache yet ({folder.parent})")
    if not same:
        raise SamseshError(
            f"the kept {what} was changed since it was fetched and is not used",
            f"it is got anew where that is possible; look who writes to {folder}",
        )


def origin_of(folder: Path) -> Origin | None:
    """How a kept folder was got; None where that was not written down."""
    try:
        return Origin(**json.loads(_origin_file(folder).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _sums_file(folder: Path) -> Path:
    return folder.with_name(folder.name + ".sha256")


def _origin_file(folder: Path) -> Path:
    return folder.with_name(folder.name + ".origin")


def _sums(folder: Path) -> str:
    """Checksums of all files below a folder, as `sha256sum` writes them. We keep no links: one makes them differ.

    What `compress_kept` added is left out.
    """
    lines = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if is_beside(path):
            continue
        if path.is_symlink():
            lines.append(f"link  {name}\n")
        elif not path.is_dir():
            lines.append(f"{sha256_of(path)}  {name}\n")
    return "".join(lines)


def is_compressed(folder: Path) -> bool:
    """Whether `compress_kept` was here, and came to its end."""
    names = [line.partition("  ")[2] for line in _compressed_record(folder)]
    return _compressed_file(folder).exists() and all((folder / name).exists() for name in names)


def compress_kept(folder: Path, say: Callable[[str], None]) -> None:
    """Compress the files of a kept folder, beside themselves. It takes a minute, and may be cut off at any time."""
    sums = _sums_file(folder).read_text()
    with temporary_dir(folder.parent, COMPRESSING) as work:
        lines = []
        for path in filter(can_be, sorted(folder.rglob("*"))):
            for ending, data in compressed(path.read_bytes()).items():
                name = beside(path, ending).relative_to(folder)
                write_file(work / name, data, READABLE)
                lines.append(f"{sha256_of(work / name)}  {name}\n")
        with held(folder.parent, say):
            check_kept(folder, folder.name)
            if sums != _sums_file(folder).read_text():
                return  # it was got again meanwhile: the next start compresses that
            write_file(_compressed_file(folder), "".join(lines), READABLE)
            for path in [path for path in work.rglob("*") if path.is_file()]:
                path.rename(folder / path.relative_to(work))


def _compressed_file(folder: Path) -> Path:
    return folder.with_name(folder.name + ".compressed")


def _compressed_record(folder: Path) -> set[str]:
    with suppress(FileNotFoundError):
        return set(_compressed_file(folder).read_text().splitlines())
    return set()


def _compressed_sums(folder: Path) -> set[str]:
    return {f"{sha256_of(path)}  {path.relative_to(folder)}" for path in folder.rglob("*") if is_beside(path)}


def recorded(cache: Path, file: str) -> str:
    """SHA-256 of a published file when it was fetched first, in hex; empty where it never was."""
    record = cache / f"{file}.sha256"
    return record.read_text().split()[0] if record.exists() else ""


def check_recorded(cache: Path, file: str, sha256: str) -> None:
    """Refuse a published file that is not the one which had this name when it was fetched first."""
    if recorded(cache, file) not in ("", sha256):
        raise SamseshError(
            f"{file} is not what it was when it was fetched first, and published files do not change",
            f"find out why; if it is as it should be, remove {cache / f'{file}.sha256'}",
        )


def record(cache: Path, file: str, sha256: str) -> None:
    write_file(cache / f"{file}.sha256", f"{sha256}  {file}\n", READABLE)


def unpack(archive: Path, target: Path, room: int) -> None:
    """The plain files below the one folder at the top of a release of web pages, without maps of their source.

    Raises SamseshError where one would lead out of `target`, all are more than `room` bytes, or the archive is damaged.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                parts = PurePosixPath(member.name).parts[1:]
                if member.isdir() or not parts or parts[-1].endswith(".map"):
                    continue
                content = tar.extractfile(member) if member.isreg() and not member.issparse() else None
                room -= member.size
                if content is None or ".." in parts or member.name.startswith("/") or room < 0:
                    raise SamseshError(f"{archive.name} holds what no release held: {member.name}")
                with replacing(target.joinpath(*parts), READABLE) as out:
                    shutil.copyfileobj(content, out)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise SamseshError(f"{archive.name} cannot be unpacked: {error}") from None
