"""Errors that services wrote into their logs lately."""

import re
import time
from collections.abc import Iterable

from samsesh.diagnosis import Patient, Result, aside
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
    if not any(home.logs_dir.glob("*.log")):
        return Result("ok", "there are no logs yet")
    lines = await aside(lambda: logs.lines(home, [], LOOKED_AT, None))
    return judged(errors(lines, time.time()))


def errors(lines: Iterable[tuple[str, str]], now: float) -> list[tuple[str, str]]:
    """(service, line) of those that tell of an error in the last minutes."""
    start = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now - MINUTES * 60))
    return [
        (name, line)
        for name, line in lines
        if logs.stamp_of(line) >= start and ERROR.search(line[:400]) and not HARMLESS.search(line)
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
