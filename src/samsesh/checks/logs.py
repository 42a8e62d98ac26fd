"""Errors that services wrote into their logs lately."""

import re
import time
from collections.abc import Iterable

from samsesh.diagnosis import Patient, Result, aside
from samsesh.engine import Entry
from samsesh.ops import logs

TITLE = "errors in the logs"
MINUTES = 10
LOOKED_AT = 2000  # last lines of each log
SHOWN = 5
# The level, where Synapse (" - ERROR - "), PostgreSQL ("] ERROR:"), Caddy and LiveKit (tabs) and we (JSON) write it.
ERROR = re.compile(
    r'(?:\t| - |\] )(?:ERROR|CRITICAL|FATAL|PANIC)(?:\t| - |:)|^\{"time": "[^"]+", "level": "(?:error|critical)"'
)
# What every start and stop writes, and what Synapse takes for a reason to try again, though nothing is wrong.
HARMLESS = re.compile(
    r"the database system is (?:starting up|shutting down)|terminating connection due to administrator command"
    r"|could not serialize access due to concurrent (?:update|delete)"
    r"|Metric named \S+ already registered"
)


async def check(patient: Patient) -> Result:
    home = patient.server.home
    if not await aside(patient.server.engine.logged):
        return Result("ok", "there are no logs yet")
    lines = await aside(lambda: logs.entries(home, [], LOOKED_AT, None))
    return judged(errors(lines, time.time()))


def errors(lines: Iterable[Entry], now: float) -> list[tuple[str, str]]:
    """(service, line) of those that tell of an error in the last minutes."""
    start = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now - MINUTES * 60))
    return [
        (entry.service, entry.line)
        for entry in lines
        if entry.stamp >= start and ERROR.search(entry.line[:400]) and not HARMLESS.search(entry.line)
    ]


def judged(found: list[tuple[str, str]]) -> Result:
    if not found:
        return Result("ok", f"none in the last {MINUTES} minutes")
    names = sorted({name for name, _ in found})
    return Result(
        "warning",
        f"{len(found)} in the last {MINUTES} minutes, by {', '.join(names)}",
        seen="\n".join(f"{name}: {line}" for name, line in found[-SHOWN:]),
        advice=f"see: samsesh logs {names[0]} --since {MINUTES}m",
    )
