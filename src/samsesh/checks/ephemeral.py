"""Ports of this server that the kernel may give to a connection of another program, before we have them."""

from samsesh import ports
from samsesh.diagnosis import Patient, Result, aside
from samsesh.firewall import Opening
from samsesh.ops import outside, reserved

TITLE = "ports that connections take"
GROUPS = ("basics", "preflight")


async def check(patient: Patient) -> Result:
    server = patient.server
    if server.settings.server.access == "local":
        return Result("ok", "this is a trial, for this machine alone")
    openings = await aside(lambda: outside.exposed(server))
    numbers = {(one.protocol, port) for one in openings for port in one.numbers}
    return judged(openings, await aside(lambda: ports.of_others(numbers, server.engine.leftovers())))


def judged(openings: list[Opening], held: list[str]) -> Result:
    """`held`: those that another program has now."""
    if not openings:
        return Result("ok", "the kernel gives none of this server's to others")
    more = f"; {held[0]}" if held else ""
    every = ports.spans(ports.reserved().union(*(one.numbers for one in openings)))
    return Result(
        "warning",
        f"the kernel may give {names(openings)} to connections of other programs{more}",
        seen="\n".join(held),
        advice="reserve them: as root, `samsesh up` on a terminal offers it; "
        f"or by hand: sysctl -w {reserved.KEY}={every}",
    )


def names(openings: list[Opening]) -> str:
    """`49160-49200 (ports.turn_relay)`."""
    return ", ".join(dict.fromkeys(f"{one.ports('-')} (ports.{one.setting})" for one in openings))
