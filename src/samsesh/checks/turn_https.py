"""TURN beside https: a relay is given at that port, where the names lead to. The only one that some networks let out."""

import time

from samsesh import caller, stranger
from samsesh.clients import turn
from samsesh.diagnosis import Patient, Result

TITLE = "the relay at the port of https"
NEEDS = ("turn-allocate",)
GOOD_FOR = 60  # seconds that the credential is
LET_OUT = 443  # the port that strict networks let out


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := caller.turn_off(server):
        return off
    offered, wanted = server.plan.offer.turn, server.settings.turn.on_https
    if offered is None or offered.https_port is None:
        reason = "https is not the gateway's own here" if wanted else "turn.on_https is off"
        return Result("skipped", f"TURN is not offered beside https: {reason}")
    await patient.need("coturn", "splitter")
    login = turn.credential(offered.secret.reveal(), "doctor", int(time.time()) + GOOD_FOR)
    address = turn.parse(offered.https_uri)
    at = await stranger.way_to_relay(patient, address.host)
    try:
        async with turn.allocation(address, login, at=at) as relay:
            return judged(address.port, f"{address}: {relay.relayed}")
    except turn.TurnError as error:
        return Result(
            "failed",
            error.message,
            advice=f"TURN's host has to lead to the machine that has port {address.port} of https; "
            "see: samsesh logs splitter",
        )


def judged(port: int, seen: str) -> Result:
    if port == LET_OUT:
        return Result("ok", "a relay is given there, beside https", seen)
    return Result(
        "warning",
        f"a relay is given at port {port}, but networks that let out a single port let out {LET_OUT}",
        seen,
        f"samsesh config set ports.https {LET_OUT}; a router that leads {LET_OUT} to {port} does not help: "
        "clients are told the port that this server has",
    )
