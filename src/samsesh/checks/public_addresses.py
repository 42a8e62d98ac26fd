"""The address that apps are told for sound and video is still this server's, and others reach it: DNS and DHCP change."""

from samsesh import names, stranger
from samsesh.diagnosis import Patient, Result
from samsesh.ops.addresses import Found, set_address
from samsesh.stranger import Addresses

TITLE = "address of the server"
GROUPS = ("public",)
SECONDS = 20  # for a DNS that does not answer


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    open_to_all = server.settings.server.access != "lan" and not server.settings.server.trial
    now, ours = await stranger.addresses_now(patient), await stranger.addresses(patient)
    return judged(server.facts.addresses, now, ours, open_to_all=open_to_all)


def judged(planned: tuple[str, ...], now: Found, ours: Addresses, *, open_to_all: bool = True) -> Result:
    """`open_to_all`: whether people of the internet are to come."""
    addresses = ", ".join(now.addresses) or "none"
    if not planned and not now.addresses:
        return Result(
            "failed", "this machine has no address by which others could reach it", advice="see: ip address"
        )
    if planned != now.addresses:
        return Result(
            "failed",
            f"the server's address is {addresses} now, and apps are told {', '.join(planned) or 'none'}",
            seen="calls and the relay go to the old one",
            advice="take the new one: samsesh up",
        )
    if ours.doubt:
        return Result("warning", ours.doubt.summary, f"apps are told {addresses}", ours.doubt.advice)
    if open_to_all and not any(map(names.is_public, now.addresses)):
        return Result(
            "warning",
            f"apps are told {addresses}, which only this machine's own network reaches",
            advice=f"name the address by which the internet reaches this server: {set_address('')}",
        )
    return Result(
        "ok", addresses if now.own else f"{addresses}, which is not this machine's own: it is behind NAT"
    )
