"""coturn takes its whole configuration: what it does not know it only logs, and starts without it."""

from samsesh import caller
from samsesh.diagnosis import Patient, Result, aside
from samsesh.ops import logs

TITLE = "the relay's configuration"
LOOKED_AT = 2000  # last lines of the log
STARTED = (
    "Relay ports initialization done"  # when the configuration has been read; 4.5 writes each line twice
)


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := caller.turn_off(server):
        return off
    if "coturn" not in await aside(server.engine.logged):
        return Result("skipped", "coturn has written no log yet")
    lines = await aside(lambda: logs.lines(server.home, ["coturn"], LOOKED_AT, None))
    return judged([line for _, line in lines], server.plan.unit("coturn").bad_words)


def judged(lines: list[str], bad_words: str) -> Result:
    """Of the last start in these lines."""
    starts = [
        number
        for number, line in enumerate(lines)
        if STARTED in line and not (number and STARTED in lines[number - 1])
    ]
    start = starts[-2] if len(starts) > 1 else 0
    if bad := [line for line in lines[start:] if bad_words in line]:
        return Result(
            "failed",
            "coturn does not take its configuration, and runs without a part of it",
            seen="\n".join(bad),
            advice="this version of it is not known yet: report it, with `samsesh version`; "
            "meanwhile: samsesh config set turn.enabled false, samsesh up",
        )
    return Result("ok", "all of it is taken")
