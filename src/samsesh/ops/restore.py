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
from samsesh.ops import archive, backup, carried, deploy, foreign
from samsesh.ops.server import Server, engine_of, planned
from samsesh.run import run, undisturbed
from samsesh.write import explained, make_dir

Say = Callable[[str], None]
Trusted = Callable[[Sequence[foreign.Choice]], bool]  # whether to take what chooses what runs here
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
    home: Home, opened: BinaryIO, *, port_offset: int | None, start: bool, trusted: Trusted, say: Say
) -> deploy.Report | None:
    """Put a backup's server into this home; start it unless told not to. What `trusted` refuses is left out."""
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
            server = _restore(home, opened, manifest, port_offset, trusted, say)
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
    port_offset: int | None,
    trusted: Trusted,
    say: Say,
) -> Server:
    _unpack(home, opened, trusted, say)
    settings = load(home, {}, adopt=True).settings
    carried.bring_back(home, settings, manifest.get("files"), home.data_dir / NAMED, say)
    if port_offset is not None:
        save(home, {"ports.offset": port_offset})
    loaded = load(home, {}, adopt=True)
    server = planned(home, loaded, secrets.ensure(home, loaded.given_secrets))
    server.engine.usable()
    backup.check_new(server)
    home.remember(
        unfinished="restore", engine=server.engine.name
    )  # from here on its data there is ours to delete
    _check_key(server)
    server.engine.take_files(server.plan, "synapse", "media", home.data_dir / MEDIA)
    server.engine.take_files(server.plan, "gateway", "", home.data_dir / GATEWAY)
    load_database(server, say, restored=True)
    return server


def _unpack(home: Home, opened: BinaryIO, trusted: Trusted, say: Say) -> None:
    say("unpacking")
    with explained(home.path), tempfile.TemporaryDirectory(prefix=".restore-", dir=home.path) as name:
        new = Path(name)
        archive.extract(opened, new)
        _place(home, new)
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
    with backup.database_running(server, say):
        say("restoring the database")
        options = (
            "--no-owner",
            "--no-privileges",
            "--single-transaction",
            "--exit-on-error",
            "--no-password",
        )
        command, env = server.engine.postgres_tool(server.plan, "pg_restore")
        database = server.plan.offer.database
        assert database is not None  # postgres.py always offers one
        command += [*options, f"--dbname={database.parameters['dbname']}"]
        with dump.open("rb") as content:
            run(command, env=env, stdin=content, timeout=backup.DUMP_SECONDS, what="restoring the database")
        if restored:  # and not moved as it is
            _forget_one_time_keys(server)
    dump.unlink()


def _forget_one_time_keys(server: Server) -> None:
    """Keys that were given out since the backup must not be given out again; clients upload new ones.

    The newest of each device stays, since it is the least likely to be gone, and since some clients take a count of
    zero for none at all, and would upload nothing.
    """
    import psycopg2

    database = server.plan.offer.database
    assert database is not None  # postgres.py always offers one
    to = {**database.parameters, "passfile": str(database.passfile.path)}
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
