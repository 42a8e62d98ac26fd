"""The database, asked as Synapse asks it: the same parameters, the same password."""

from dataclasses import dataclass

from samsesh.diagnosis import Patient, Result, aside
from samsesh.model import Database
from samsesh.ops.database import LOCALE, NEEDED, connected
from samsesh.services.postgres import MAJOR

TITLE = "database"
SECONDS = 12
CROWDED = 0.8
MB = 1024 * 1024
USE = (
    "SELECT current_setting('server_version_num')::int / 10000, pg_database_size(current_database()),"
    " (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
    " current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
)


@dataclass(frozen=True)
class Answer:
    """What the database says of itself. `size` in bytes; `most` connections that Synapse's role can have."""

    locale: tuple[str, ...]
    major: int
    size: int
    connections: int
    most: int


async def check(patient: Patient) -> Result:
    database = patient.server.plan.offer.database
    assert database is not None  # postgres.py always offers one
    if database.unit:
        await patient.need(database.unit)
    import psycopg2

    try:
        answer = await aside(lambda: ask(database))
    except psycopg2.Error as error:
        return _unreachable(database, " ".join(str(error).split()))
    return judged(answer, str(database.parameters["dbname"]), ours=database.unit is not None)


def ask(database: Database) -> Answer:
    with connected(database) as link:
        cursor = link.cursor()
        cursor.execute(LOCALE)
        locale = tuple(cursor.fetchone())
        cursor.execute(USE)
        return Answer(locale, *cursor.fetchone())


def _unreachable(database: Database, reason: str) -> Result:
    if database.unit:
        advice = f"see: samsesh logs {database.unit}; then: samsesh restart {database.unit}"
    else:
        advice = "start that server, or correct its address: samsesh config set database.url URL"
    return Result("failed", "the database cannot be used as Synapse uses it", seen=reason, advice=advice)


def judged(answer: Answer, name: str, *, ours: bool) -> Result:
    used = f"{answer.connections} of {answer.most} connections in use, {answer.size // MB} MB"
    if answer.locale != NEEDED:
        found, needed = ", ".join(answer.locale), ", ".join(NEEDED)
        return Result(
            "failed",
            f"its encoding and locale are {found}; Synapse needs {needed}",
            seen=used,
            advice="take a backup (samsesh backup create) and restore it into a database made by: "
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'",
        )
    if answer.major > int(MAJOR):
        return Result(
            "warning",
            f"it is of PostgreSQL {answer.major}; this Samsesh takes backups of {MAJOR} and earlier",
            advice="take backups there, with its own pg_dump, until a later Samsesh brings that version",
        )
    if answer.connections > answer.most * CROWDED:
        advice = "restart what holds them: samsesh restart synapse" if ours else "raise its max_connections"
        return Result("warning", f"its connections are almost used up: {used}", advice=advice)
    return Result("ok", f"it answers; {', '.join(answer.locale)}; {used}")
