"""The services' logs as supervisord keeps them: a file each, rotated."""

import os
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from samsesh.engine import Entry
from samsesh.home import Home

TAIL_BYTES = 256 * 1024
# How lines begin: those of most services, LiveKit's (with a T), the authorization service's (JSON).
STAMP = re.compile(r'(?:\{"time": ")?(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)')
POLL_SECONDS = 0.3


def logged(home: Home) -> list[str]:
    return sorted(path.stem for path in home.logs_dir.glob("*.log"))


def read(home: Home, service: str, count: int, since: datetime | None) -> list[Entry]:
    """The last lines, or all since a moment; a line without a time goes with the one before."""
    found, stamp = [], ""
    for line in _read(home.logs_dir / f"{service}.log", since is not None):
        stamp = stamp_of(line) or stamp
        found.append(_entry(stamp, service, line))
    if since is None:
        return found[-count:] if count else []
    start = since.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    return [entry for entry in found if entry.stamp >= start]


def _entry(stamp: str, service: str, line: str) -> Entry:
    return Entry(stamp, service, line, goes_on=not stamp_of(line))


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
            text.append(file.read().decode(errors="replace"))
    return lines_of("".join(text))


def lines_of(text: str) -> list[str]:
    """At line feeds alone: what else Python takes for the end of a line may stand in a name."""
    return text.removesuffix("\n").split("\n") if text else []


def follow(home: Home, services: list[str]) -> Iterator[Entry]:
    """New lines as they come, across rotation, until interrupted."""
    wanted = [(name, home.logs_dir / f"{name}.log") for name in services]
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
            for line in lines_of(complete.decode(errors="replace")):
                yield _entry(stamp_of(line), name, line)
        time.sleep(POLL_SECONDS)  # until the reader has enough
