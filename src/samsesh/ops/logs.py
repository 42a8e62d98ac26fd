"""Reading the services' logs: the last lines, those since a time, or on and on."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from samsesh import names
from samsesh.engine import Engine, Entry
from samsesh.errors import SettingsError
from samsesh.home import Home
from samsesh.ops.server import engine_of


def since_time(since: str) -> datetime:
    """`10m` (so long ago) or `2026-01-31 12:00` (UTC) -> a moment."""
    try:
        return datetime.now(UTC) - timedelta(seconds=names.duration(since))
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise SettingsError(
            f"--since {since} is no time", "write it like 10m, 2h or '2026-01-31 12:00'"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def entries(home: Home, services: list[str], count: int, since: datetime | None) -> list[Entry]:
    """Lines in order of time; of several services mixed by their stamps."""
    engine, wanted = _wanted(home, services)
    found = [entry for name in wanted for entry in engine.log(name, count, since)]
    found.sort(key=lambda entry: entry.stamp)  # stable: lines of one moment stay in their log's order
    return found if since is not None else found[len(found) - min(count, len(found)) :]


def lines(home: Home, services: list[str], count: int, since: datetime | None) -> list[tuple[str, str]]:
    """(service, line), as `entries`."""
    return [(entry.service, entry.line) for entry in entries(home, services, count, since)]


def follow(home: Home, services: list[str]) -> Iterator[Entry]:
    """New lines as they come, until interrupted."""
    engine, wanted = _wanted(home, services)
    return engine.follow(wanted)


def _wanted(home: Home, services: list[str]) -> tuple[Engine, list[str]]:
    """Those named, or all that have a log."""
    home.must_be_there()
    engine = engine_of(home)
    there = engine.logged()
    for name in services:
        if name not in there:
            raise SettingsError(
                f"there is no log of {name}",
                f"there are: {', '.join(there) or 'none; start the server first'}",
            )
    return engine, services or there
