"""TURN as apps use it: the homeserver's credential opens a relay over UDP and TCP, a wrong one does not. Failure 10."""

import asyncio

from samsesh import caller, names, stranger
from samsesh.clients import rtc, turn
from samsesh.diagnosis import Patient, Result

TITLE = "the relay lets people in"
PATH = f"{rtc.CLIENT}/v3/voip/turnServer"
ADVICE = "see: samsesh logs coturn; then: samsesh restart coturn"


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := caller.turn_off(server):
        return off
    await patient.need("gateway", "synapse")
    assert server.plan.offer.turn is not None  # turn_off has seen it
    answer = await (await caller.person(patient)).ask("GET", PATH)
    given, wanted = answer.body.get("uris"), list(server.plan.offer.turn.uris)
    if answer.status != 200 or given != wanted:
        return Result(
            "failed",
            f"the homeserver tells apps of {given or 'no relay'}, not of {', '.join(wanted)}",
            seen=str(answer),
            advice="write homeserver.yaml anew: samsesh up; extra.synapse must leave turn_uris alone",
        )
    host = turn.parse(wanted[0]).host
    if not names.is_address(host) and (cdn := await stranger.cdn(patient, host)):
        return Result(
            "failed",
            f"apps are sent to {host} for the relay, which leads to {cdn}: that passes web pages on, and no TURN",
            advice=f"make a DNS record that {cdn} does not stand before ('DNS only'), to this server itself, then: "
            "samsesh config set turn.host NAME, samsesh up",
        )
    login = turn.Credential(str(answer.body["username"]), str(answer.body["password"]))
    apart = (server.plan.offer.turn.tls_uri, server.plan.offer.turn.https_uri)  # have checks of their own
    addresses = [turn.parse(uri) for uri in wanted if uri not in apart]
    at = await stranger.way_to_relay(patient, addresses[0].host)
    found = await asyncio.gather(
        *(tried(address, login, at) for address in addresses), wrong(addresses[-1], at)
    )
    if problems := [problem for _, problem in found if problem]:
        return Result("failed", problems[0], seen="\n".join(seen for seen, _ in found if seen), advice=ADVICE)
    return Result(
        "ok", f"open over {' and '.join(a.transport.upper() for a in addresses)}, with the right credential"
    )


async def tried(address: turn.Address, login: turn.Credential, at: str = "") -> tuple[str, str]:
    """(what was seen, what is wrong)"""
    try:
        async with turn.allocation(address, login, at=at) as relay:
            return f"{address}: {relay.relayed}", ""
    except turn.TurnError as error:
        if error.stun_code == 401:
            return (
                error.message,
                "the relay refuses the homeserver's credential: they do not share their secret",
            )
        return error.message, error.message


async def wrong(address: turn.Address, at: str = "") -> tuple[str, str]:
    """A credential that nobody gave must open nothing. (what was seen, what is wrong)"""
    login = turn.Credential("4102444800:doctor", "bogus")
    try:
        async with turn.allocation(address, login, at=at):
            return (
                f"{address}: took a bogus credential",
                "the relay is open to everybody: it took a bogus credential",
            )
    except turn.TurnError as error:
        return ("", "") if error.stun_code == 401 else (error.message, "")
