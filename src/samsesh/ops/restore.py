"""Restoring a backup into an empty home: whole, or the home is empty again."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from samsesh.errors import SamseshError, SettingsError
from samsesh.home import Home
from samsesh.load import save
from samsesh.ops import archive, backup, deploy
from samsesh.ops.server import Server, open_server
from samsesh.run import run
from samsesh.write import make_dir

Say = Callable[[str], None]
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
    home: Home, opened: BinaryIO, *, port_offset: int | None, start: bool, say: Say
) -> deploy.Report | None:
    """Put a backup's server into this home; start it unless told not to."""
    home.prepare()
    if not home.empty:
        raise SamseshError(
            f"{home.path} holds a server already; a backup is restored into an empty home",
            "name another folder with --home, or remove the server there: samsesh destroy",
        )
    with home.lock("restore", say):
        say("checking the backup")
        manifest = archive.read_manifest(opened)
        try:
            _unpack(home, opened, say)
            if port_offset is not None:
                save(home, {"ports.offset": port_offset})
            server = open_server(home, {}, adopt=True)
            _check_key(server)
            _load_database(server, say)
        except BaseException:
            _empty(home, say)
            raise
        known = {name: manifest[name] for name in ("server_name", "first_admin") if manifest.get(name)}
        home.remember(**known, versions=dict(server.facts.versions))
        home.audit("restore", created=str(manifest.get("created", "")))
    return deploy.up(home, {}, say=say) if start else None


def _unpack(home: Home, opened: BinaryIO, say: Say) -> None:
    say("unpacking")
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=home.path) as name:
        new = Path(name)
        archive.extract(opened, new)
        for source, target in (
            (new / "secrets", home.secrets_dir),
            (new / "samsesh.toml", home.settings_file),
            (new / "env", home.env_file),
            (new / "media", home.data_dir / "synapse" / "media"),
            (new / backup.DUMP, home.data_dir / backup.DUMP),
        ):
            if source.exists():
                make_dir(target.parent)
                source.rename(target)
        for source in sorted((new / "files").rglob("*")):
            if source.is_file():
                target = home.path / source.relative_to(new / "files")
                make_dir(target.parent)
                source.rename(target)


def _check_key(server: Server) -> None:
    """A server restored without its signing key is a stranger to every other server."""
    from signedjson.key import read_signing_keys

    try:
        read_signing_keys([server.secrets.signing_key.reveal()])
    except Exception as error:  # noqa: BLE001 - the library raises whatever the broken text leads to
        raise SamseshError(f"the signing key in this backup is not usable: {type(error).__name__}") from None


def _load_database(server: Server, say: Say) -> None:
    """Into the fresh database, as its owner; in one transaction, so that it is all there or nothing is."""
    dump = server.home.data_dir / backup.DUMP
    with backup.database_running(server, say):
        say("restoring the database")
        database = backup.connection(server)["PGDATABASE"]
        options = (
            "--no-owner",
            "--no-privileges",
            "--single-transaction",
            "--exit-on-error",
            "--no-password",
        )
        command = [server.facts.programs["pg_restore"], *options, f"--dbname={database}", str(dump)]
        run(
            command, env=backup.connection(server), timeout=backup.DUMP_SECONDS, what="restoring the database"
        )
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
    link = psycopg2.connect(**database.parameters, passfile=str(database.passfile.path))
    try:
        with link, link.cursor() as cursor:
            cursor.execute(
                "DELETE FROM e2e_one_time_keys_json WHERE ctid NOT IN ("
                "SELECT DISTINCT ON (user_id, device_id, algorithm) ctid FROM e2e_one_time_keys_json "
                "ORDER BY user_id, device_id, algorithm, ts_added_ms DESC, key_id DESC)"
            )
    finally:
        link.close()


def _empty(home: Home, say: Say) -> None:
    """Take back what a failed restore put into an empty home."""
    from samsesh.engines.native import NativeEngine
    from samsesh.facts import gather

    NativeEngine(home, gather()).stop(say)
    remove_all(home)


def remove_all(home: Home) -> None:
    """Delete everything in a home but its backups, audit log and lock."""
    for path in home.path.iterdir():
        if path.name in KEPT:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    runtime = home.runtime_dir()
    if runtime.is_dir() and runtime.stat().st_uid == os.geteuid():
        shutil.rmtree(runtime)
