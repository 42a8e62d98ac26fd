"""What people sent, as Synapse's database knows it: a backup is held against that."""

from collections.abc import Container
from typing import TYPE_CHECKING

from samsesh.errors import SamseshError
from samsesh.ops import database

if TYPE_CHECKING:
    from samsesh.ops.server import Server

# Uploads that ended; previews of links are fetched again. (id, server that it is a copy from)
LOCAL = "SELECT media_id, '' FROM local_media_repository WHERE media_length IS NOT NULL AND url_cache IS NULL"
REMOTE = "SELECT filesystem_id, media_origin FROM remote_media_cache"
SHOWN = 5


def known(server: "Server") -> set[str]:
    """Paths below the media store of every file that has a row. Empty where Synapse never ran."""
    import psycopg2

    assert server.plan.offer.database is not None  # postgres.py always offers one
    try:
        with database.connected(server.plan.offer.database, limit="1h") as link, link.cursor() as cursor:
            cursor.execute("SELECT to_regclass('local_media_repository'), to_regclass('remote_media_cache')")
            if None in cursor.fetchone():
                return set()
            cursor.execute(f"{LOCAL} UNION ALL {REMOTE}")
            return {path(media, origin) for media, origin in cursor}
    except psycopg2.Error as error:
        raise SamseshError(
            "the database does not say which files it knows", detail=" ".join(str(error).split())
        ) from None


def path(media: str, origin: str) -> str:
    """Where Synapse keeps a file (its media/filepath.py). `origin`: the server that it is a copy from, or nothing."""
    top = f"remote_content/{origin}" if origin else "local_content"
    return f"{top}/{media[:2]}/{media[2:4]}/{media[4:]}"


def missing(server: "Server", before: set[str], saved: Container[str]) -> str:
    """Which files of `before` (as `known` gave it) were not saved, in one sentence; "" where all were.

    What was deleted meanwhile is none of them.
    """
    lacking = {name for name in before if name not in saved}
    if lacking and server.engine.running():
        lacking &= known(server)
    if not lacking:
        return ""
    shown = ", ".join(sorted(lacking)[:SHOWN]) + (", ..." if len(lacking) > SHOWN else "")
    return (
        f"{len(lacking)} of {len(before)} files that the database knows are not in the media store ({shown}); "
        "if it is on a disk of its own, is that mounted?"
    )
