"""The relay that was unpacked from the distribution's packages: from when it is, and whether it is today's."""

import time

from samsesh import caller
from samsesh.artifacts.turnserver.unpacked import DAY, Comparison, comparison
from samsesh.diagnosis import Patient, Result, aside
from samsesh.ops import relay

TITLE = "age of the relay"
LATE = 3 * DAY  # the agent compares it daily, and tries again each hour if it cannot
ADVICE = "compare it now, and read what is in the way: samsesh renew-relay; or install coturn"


async def check(patient: Patient) -> Result:
    if off := caller.turn_off(patient.server):
        return off
    if patient.server.engine.name == "compose":
        return Result("skipped", "it comes with its image")
    folder = await aside(lambda: relay.unpacked(patient.server))
    if folder is None:
        return Result("ok", "it is this machine's own, which whoever installed it keeps up to date")
    return judged(comparison(folder), time.time())


def judged(record: Comparison | None, now: float) -> Result:
    if record is None:
        return Result("warning", "nobody knows how old the unpacked relay is", advice=ADVICE)
    seen = ", ".join(f"{name} {version}" for name, version in record.packages.items())
    age = f"unpacked {_days(now - record.unpacked)}"
    if now - record.compared > LATE:
        late = f"last compared with the distribution's {_days(now - record.compared)}: updates may be missing"
        return Result("warning", f"{age}, {late}", seen, ADVICE)
    return Result("ok", f"{age}, compared with the distribution's {_days(now - record.compared)}", seen)


def _days(seconds: float) -> str:
    days = round(seconds // DAY)
    return "today" if days < 1 else "yesterday" if days == 1 else f"{days} days ago"
