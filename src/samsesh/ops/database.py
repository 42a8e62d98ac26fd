"""Asking Synapse's database; somebody else's PostgreSQL is asked before anything is started."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from samsesh import names
from samsesh.errors import SamseshError
from samsesh.model import Database

if TYPE_CHECKING:
    from samsesh.ops.server import Server

SECONDS = 10
LOOK_SECONDS = 6
NEEDED = ("UTF8", "C", "C")  # Synapse's manual: Using Postgres
LOCALE = (
    "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database"
    " WHERE datname = current_database()"
)


def check(server: "Server") -> None:
    """Log in to the database of `database.url`, if there is one; raise with what is wrong."""
    url = server.settings.database.url
    if url is None:
        return
    import psycopg2

    wanted = names.postgresql_url(url.get_secret_value())
    place = f"the database {wanted['dbname']} at {wanted['host']}:{wanted['port']} (database.url)"
    try:
        with closing(psycopg2.connect(**{"connect_timeout": SECONDS, **wanted})) as link:
            cursor = link.cursor()
            cursor.execute(LOCALE)
            found = cursor.fetchone()
    except psycopg2.Error as error:
        reason = " ".join(str(error).split())
        raise SamseshError(
            f"{place} cannot be used: {reason}", "start that server, or correct the URL in samsesh.toml"
        ) from None
    if found != NEEDED:
        raise SamseshError(
            f"{place} has the encoding and locale {', '.join(found)}; Synapse needs {', '.join(NEEDED)}",
            f"make it anew: CREATE DATABASE {wanted['dbname']} TEMPLATE template0"
            " ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'",
        )


@contextmanager
def connected(database: Database, *, limit: str = "5s") -> Iterator[Any]:
    """A connection (psycopg2) as Synapse makes it, to look; psycopg2.Error is raised as it is.

    `limit`: how long one statement may take (PostgreSQL's `statement_timeout`).
    """
    import psycopg2

    where = {**database.parameters, "passfile": str(database.passfile.path), "connect_timeout": LOOK_SECONDS}
    with closing(psycopg2.connect(**where, options=f"-c statement_timeout={limit}")) as link:
        yield link
