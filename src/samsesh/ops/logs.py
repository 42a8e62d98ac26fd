"""Reading the services' logs: the last lines, those since a time, or on and on."""

import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from samsesh import names
from samsesh.errors import SettingsError
from samsesh.home import Home

TAIL_BYTES = 256 * 1024
# How lines begin: those of most services, LiveKit's (with a T), the authorization service's (JSON).
STAMP = re.compile(r'(?:\{"time": ")?(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)')
POLL_SECONDS = 0.3


def log_files(home: Home, services: list[str]) -> list[tuple[str, Path]]:
    """(service, file) of those named, or of all that there are."""
    home.must_be_there()
    found = {path.stem: path for path in sorted(home.logs_dir.glob("*.log"))}
    for name in services:
        if name not in found:
            raise SettingsError(
                f"there is no log of {name}",
                f"there are: {', '.join(found) or 'none; start the server first'}",
            )
    return [(name, found[name]) for name in services or found]


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


def lines(home: Home, services: list[str], count: int, since: datetime | None) -> list[tuple[str, str]]:
    """(service, line), in order of time; of several services mixed by their stamps."""
    found: list[tuple[str, str, str]] = []
    for name, path in log_files(home, services):
        stamp = ""
        mine = []
        for line in _read(path, since is not None):
            stamp = stamp_of(line) or stamp
            mine.append((stamp, name, line))
        if since is not None:
            start = since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
            mine = [entry for entry in mine if entry[0] >= start]
        found.extend(mine if since is not None else mine[-count:])
    found.sort(key=lambda entry: entry[0])  # stable: lines of one moment stay in their file's order
    return [(name, line) for _, name, line in (found if since is not None else found[-count:])]


def stamp_of(line: str) -> str:
    """When a line was written (UTC), as `2026-01-31 12:00:00`; empty where it does not say."""
    found = STAMP.match(line)
    return f"{found[1]} {found[2]}" if found else ""


def _read(path: Path, whole: bool) -> list[str]:
    """The end of a log; all of it and of the rotated ones where `whole`."""
    older = sorted(path.parent.glob(path.name + ".*"), key=lambda old: -int(old.suffix[1:])) if whole else []
    text = []
    for part in [*older, path]:
        with part.open("rb") as file:
            if not whole:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            text.extend(file.read().decode(errors="replace").splitlines())
    return text


def follow(home: Home, services: list[str]) -> Iterator[tuple[str, str]]:
    """New lines as they come, across rotation, until interrupted."""
    wanted = log_files(home, services)
    places = {name: (path.stat().st_ino, path.stat().st_size) for name, path in wanted}
    while True:
        for name, path in wanted:
            inode, offset = places[name]
            try:
                found = path.stat()
            except OSError:
                continue
            if found.st_ino != inode or found.st_size < offset:
                offset = 0
            with path.open("rb") as file:
                file.seek(offset)
                new = file.read()
            complete = new[: new.rfind(b"\n") + 1]
            places[name] = (found.st_ino, offset + len(complete))
            for line in complete.decode(errors="replace").splitlines():
                yield name, line
        time.sleep(POLL_SECONDS)  # until the reader has enough
