"""The containers' logs, as Docker keeps them: every line with its time."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from samsesh.engine import Entry
from samsesh.engines.compose.docker import Docker
from samsesh.engines.compose.placement import SERVICES
from samsesh.run import piped

LINE = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)\S* ?(.*)", re.DOTALL)
NAMED = re.compile(r"(\S+?)(?:-\d+)?\s*\| ?(.*)", re.DOTALL)
UNITS = {service: unit for unit, service in SERVICES.items()}


def read(docker: Docker, service: str, count: int, since: datetime | None) -> list[Entry]:
    """The last lines, or all since a moment."""
    which = ["--since", since.astimezone(UTC).isoformat()] if since else ["--tail", str(count)]
    command = docker.compose("logs", "--no-color", "--no-log-prefix", "--timestamps", *which, service)
    done = docker.run(*command, what="reading the log", ok=(0, 1))
    return [_entry(service, line) for line in done.out.decode(errors="replace").split("\n") if line]


def follow(docker: Docker, services: list[str]) -> Iterator[Entry]:
    """New lines as they come, until nobody reads on."""
    command = docker.compose("logs", "--no-color", "--timestamps", "--follow", "--tail", "0", *services)
    with piped(["docker", *command], env=docker.env, what="reading the logs") as stream:
        for data in stream:
            line = data.decode(errors="replace").rstrip("\n")
            if found := NAMED.match(line):
                yield _entry(UNITS.get(found[1], found[1]), found[2])


def _entry(service: str, line: str) -> Entry:
    found = LINE.match(line)
    if not found:
        return Entry("", service, line, goes_on=True)
    return Entry(f"{found[1]} {found[2]}", service, found[3], goes_on=found[3][:1].isspace())
