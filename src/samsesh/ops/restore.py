"""Restoring a backup into an empty home: whole, or the home is empty again."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO

from samsesh import secrets
from samsesh.errors import SamseshError, SettingsError
from samsesh.home import Home
from samsesh.load import load, save
from samsesh.ops import archive, backup, carried, database, deploy, foreign
from samsesh.ops.server import Server, engine_of, planned
from samsesh.run import run, undisturbed
from samsesh.write import explained, make_dir, replacing

Say = Callable[[str], None]
Trusted = Callable[[Sequence[foreign.Choice]], bool]  # whether to take what chooses what runs here
NOT_OURS = ("--no-owner", "--no-privileges")
KNOWS_EVERY_SETTING = 17  # the PostgreSQL that does, of those that pg_restore sets first
UNKNOWN_BEFORE = b"SET transaction_timeout = 0;"
LONGEST_BEGINNING = 8192  # bytes in which it does so
MEDIA, GATEWAY = "restored-media", "restored-gateway"  # until the engine takes them
NAMED = "restored-files"  # until they are below `files/`
KEPT = frozenset({"backups", "lock", "audit.log", "run"})


def open_archive(path: Path) -> BinaryIO:
    """The file, seekable."""
    try:
        return path.open("rb")
    except OSError as error:
        raise SettingsError(
            f"cannot read {path}: {error.strerror}", "name a file that `samsesh backup create` made"
        ) from None


def restore(
    home: Home, opened: BinaryIO, *, given: Mapping[str, Any], start: bool, trusted: Trusted, say: Say
) -> deploy.Report | None:
    """Put a backup's server into this home; start it unless told not to. What `trusted` refuses is left out.

    `given`: settings that count in place of the backup's; None is the default of one.
    """
    home.make_folder()
    with home.lock("restore", say):
        if home.state().get("unfinished") == "restore":
            say("taking away what a restore left that was cut off")
            _empty(home, say)
        if not home.empty:
            raise SamseshError(
                f"{home.path} holds a server already; a backup is restored into an empty home",
                "name another folder with --home, or remove the server there: samsesh destroy",
            )
        say("checking the backup")
        manifest = archive.read_manifest(opened)
        for what in manifest.get("left_out", []):
            say(f"this backup was made without: {what}")
        try:
            home.remember(unfinished="restore")
            server = _restore(home, opened, manifest, given, trusted, say)
            known = {name: manifest[name] for name in ("server_name", "first_admin") if manifest.get(name)}
            home.remember(**known, versions=dict(server.facts.versions))
        except BaseException:
            _empty(home, say)
            raise
        home.audit("restore", created=str(manifest.get("created", "")))
    if not start:
        return None
    say("the backup is restored; starting the server")
    return deploy.up(home, {}, say=say)


def _restore(
    home: Home,
    opened: BinaryIO,
    manifest: Mapping[str, Any],
    given: Mapping[str, Any],
    trusted: Trusted,
    say: Say,
) -> Server:
    _unpack(home, opened, given, trusted, say)
    if named := {name: value for name, value in given.items() if value is not None}:
        save(home, named)
    settings = load(home, {}, adopt=True).settings
    carried.bring_back(home, settings, manifest.get("files"), home.data_dir / NAMED, say, given=named)
    loaded = load(home, {}, adopt=True)
    server = planned(home, loaded, secrets.ensure(home, loaded.given_secrets))
    server.engine.usable()
    backup.check_new(server)
    home.remember(
        unfinished="restore", engine=server.engine.name
    )  # from here on its data there is ours to delete
    _check_key(server)
    database.check(server, new=True)
    server.engine.take_files(server.plan, "synapse", "media", home.data_dir / MEDIA)
    server.engine.take_files(server.plan, "gateway", "", home.data_dir / GATEWAY)
    load_database(server, say, restored=True)
    return server


def _unpack(home: Home, opened: BinaryIO, given: Mapping[str, Any], trusted: Trusted, say: Say) -> None:
    say("unpacking")
    with explained(home.path), tempfile.TemporaryDirectory(prefix=".restore-", dir=home.path) as name:
        new = Path(name)
        archive.extract(opened, new)
        _place(home, new)
        foreign.leave_out(home, [foreign.Choice(name, value) for name, value in given.items()])
        choices = foreign.settings(home)
        if choices and not trusted(choices):
            foreign.leave_out(home, choices)


def _place(home: Home, new: Path) -> None:
    """What every backup has, where it belongs."""
    kept = [Path("gateway", folder) for folder in backup.CERTIFICATES]
    for source, target in (
        (new / "secrets", home.secrets_dir),
        (new / "samsesh.toml", home.settings_file),
        (new / "env", home.env_file),
        (new / "media", home.data_dir / MEDIA),
        (new / carried.FOLDER, home.data_dir / NAMED),
        *((new / path, home.data_dir / GATEWAY / path.name) for path in kept),
        (new / backup.DUMP, home.data_dir / backup.DUMP),
    ):
        if source.exists():
            make_dir(target.parent)
            source.rename(target)


def _check_key(server: Server) -> None:
    """A server restored without its signing key is a stranger to every other server."""
    from signedjson.key import read_signing_keys

    try:
        read_signing_keys([server.secrets.signing_key.reveal()])
    except Exception as error:  # noqa: BLE001 - the library raises whatever the broken text leads to
        raise SamseshError(f"the signing key in this backup is not usable: {type(error).__name__}") from None


def load_database(server: Server, say: Say, *, restored: bool) -> None:
    """Into the fresh database, as its owner; in one transaction, so that it is all there or nothing is."""
    dump = server.home.data_dir / backup.DUMP
    where = server.plan.offer.database
    assert where is not None  # postgres.py always offers one
    with backup.database_running(server, say):
        say("restoring the database")
        with dump.open("rb") as content:
            if where.unit is None and database.major(where) < KNOWS_EVERY_SETTING:
                _load_as_text(server, content)
            else:
                to = f"--dbname={where.parameters['dbname']}"
                _tool(
                    server,
                    "pg_restore",
                    *NOT_OURS,
                    "--single-transaction",
                    "--exit-on-error",
                    to,
                    stdin=content,
                )
        if restored:  # and not moved as it is
            _forget_one_time_keys(server)
    dump.unlink()


def _load_as_text(server: Server, dump: BinaryIO) -> None:
    """For an older PostgreSQL, which does not know a setting that our pg_restore begins with. It can be left out of
    text only, which is whole before any of it is loaded: at its end psql would commit what there is.
    """
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=server.home.data_dir) as folder:
        path = Path(folder, "database.sql")
        with replacing(path) as out:
            _tool(server, "pg_restore", *NOT_OURS, "--file=-", stdin=dump, stdout=out)
        with path.open("r+b", buffering=0) as text:  # opened again, since pg_restore has made `out` append
            if (at := text.read(LONGEST_BEGINNING).find(UNKNOWN_BEFORE)) >= 0:
                text.seek(at)
                text.write(b" " * len(UNKNOWN_BEFORE))
            text.seek(0)
            quiet = ("--no-psqlrc", "--quiet", "--output=/dev/null", "--set=ON_ERROR_STOP=1")
            _tool(server, "psql", *quiet, "--single-transaction", stdin=text)


def _tool(server: Server, tool: str, *options: str, stdin: BinaryIO, stdout: BinaryIO | None = None) -> None:
    command, env = server.engine.postgres_tool(server.plan, tool)
    run(
        [*command, "--no-password", *options],
        env=env,
        stdin=stdin,
        stdout=stdout,
        timeout=backup.DUMP_SECONDS,
        what="restoring the database",
    )


def _forget_one_time_keys(server: Server) -> None:
    """Keys that were given out since the backup must not be given out again; clients upload new ones.

    The newest of each device stays, since it is the least likely to be gone, and since some clients take a count of
    zero for none at all, and would upload nothing.
    """
    import psycopg2

    where = server.plan.offer.database
    assert where is not None  # postgres.py always offers one
    to = {**where.parameters, "passfile": str(where.passfile.path)}
    try:
        with closing(psycopg2.connect(**to)) as link, link, link.cursor() as cursor:
            cursor.execute("SELECT to_regclass('e2e_one_time_keys_json')")
            if cursor.fetchone()[0]:  # not there where Synapse never ran
                cursor.execute(
                    "DELETE FROM e2e_one_time_keys_json WHERE ctid NOT IN ("
                    "SELECT DISTINCT ON (user_id, device_id, algorithm) ctid FROM e2e_one_time_keys_json "
                    "ORDER BY user_id, device_id, algorithm, ts_added_ms DESC, key_id DESC)"
                )
    except psycopg2.Error as error:
        raise SamseshError("restoring the database failed", detail=str(error).strip()) from None


def _empty(home: Home, say: Say) -> None:
    """Take back what a failed restore put into an empty home."""
    with undisturbed():
        engine_of(home).erase(say)
        remove_all(home)


def remove_all(home: Home) -> None:
    """Delete everything in a home but its backups, audit log and lock; last what is remembered of it."""
    for path in sorted(home.path.iterdir(), key=lambda path: path == home.state_file):
        if path.name in KEPT:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    runtime = home.runtime_dir()
    if runtime.is_dir() and runtime.stat().st_uid == os.geteuid():
        shutil.rmtree(runtime)
