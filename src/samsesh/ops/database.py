"""Asking Synapse's database; somebody else's PostgreSQL is asked before anything is started."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from samsesh import database_url
from samsesh.errors import SamseshError
from samsesh.model import Database

if TYPE_CHECKING:
    from samsesh.ops.server import Server

SECONDS = 10
LOOK_SECONDS = 6
OLDEST = 14  # that Synapse takes (synapse/storage/engines/postgres.py)
NEEDED = ("UTF8", "C", "C")  # Synapse's manual: Using Postgres
LOCALE = (
    "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database"
    " WHERE datname = current_database()"
)


def check(server: "Server", *, new: bool) -> None:
    """Log in to the database of `database.url`, if there is one; raise with what is wrong.

    `new`: the server is to begin in it, or to be restored into it, so another one's data must not be there. An
    established one's data has to be there: it never goes on with an empty database.
    """
    url, database = server.settings.database.url, server.plan.offer.database
    if url is None or database is None:
        return
    import psycopg2

    wanted = database_url.parameters(url.get_secret_value()) | dict(database.parameters)
    where = f"{place(database)} (database.url)"
    try:
        with closing(psycopg2.connect(**{"connect_timeout": SECONDS, **wanted})) as link:
            cursor = link.cursor()
            cursor.execute(LOCALE)
            locale = cursor.fetchone()
            cursor.execute("SELECT to_regclass('schema_version') IS NOT NULL")
            (used,) = cursor.fetchone()
            major = link.server_version // 10_000
    except psycopg2.Error as error:
        reason = " ".join(str(error).split())
        raise SamseshError(
            f"{where} cannot be used: {reason}", "start that server, or correct the URL in samsesh.toml"
        ) from None
    remake = f"make it again: DROP DATABASE {wanted['dbname']}; CREATE DATABASE {wanted['dbname']} OWNER {wanted['user']}"
    remake += " TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
    if major < OLDEST:
        raise SamseshError(f"{where} is of PostgreSQL {major}", f"Synapse needs PostgreSQL {OLDEST} or later")
    if locale != NEEDED:
        raise SamseshError(
            f"{where} has the encoding and locale {', '.join(locale)}; Synapse needs {', '.join(NEEDED)}",
            remake,
        )
    if new and used:
        raise SamseshError(
            f"{where} already has the data of a Matrix server, and nothing is overwritten",
            f"name an empty one; or, if nobody needs that data, {remake}",
        )
    if not used and server.home.started:
        raise SamseshError(
            f"{where} has none of the data of this server",
            "name the one that has it, or go back to our own: samsesh config unset database.url; to move: "
            "samsesh backup create, then restore it with the variable SAMSESH_DATABASE_URL",
        )


def place(database: Database) -> str:
    """Where somebody else's database is, for people."""
    where = database.parameters
    return f"the database {where['dbname']} at {where['host']}:{where['port']}"


def major(database: Database) -> int:
    """The version of somebody else's PostgreSQL."""
    with _asked(database) as link:
        return int(link.server_version) // 10_000


def size(database: Database) -> int:
    """Bytes of the database."""
    with _asked(database) as link, link.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


@contextmanager
def _asked(database: Database) -> Iterator[Any]:
    """As `connected`; what is wrong with it is an error of ours."""
    import psycopg2

    try:
        with connected(database) as link:
            yield link
    except psycopg2.Error as error:
        reason = " ".join(str(error).split())
        raise SamseshError(
            f"{place(database)} cannot be used: {reason}", "see: samsesh doctor database"
        ) from None


@contextmanager
def connected(database: Database, *, limit: str = "5s") -> Iterator[Any]:
    """A connection (psycopg2) as Synapse makes it, to look; psycopg2.Error is raised as it is.

    `limit`: how long one statement may take (PostgreSQL's `statement_timeout`).
    """
    import psycopg2

    where = {**database.parameters, "passfile": str(database.passfile.path), "connect_timeout": LOOK_SECONDS}
    with closing(psycopg2.connect(**where, options=f"-c statement_timeout={limit}")) as link:
        yield link
