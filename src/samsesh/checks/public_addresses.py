"""The address that apps are told for sound and video is still this server's: DNS and DHCP change."""

from samsesh import facts, stranger
from samsesh.diagnosis import Patient, Result, aside
from samsesh.ops import addresses

TITLE = "address of the server"
GROUPS = ("public",)
SECONDS = 20  # for a DNS that does not answer


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    now = await aside(lambda: addresses.find(server.settings, facts.gather()))
    return judged(server.facts.addresses, now)


def judged(planned: tuple[str, ...], now: addresses.Found) -> Result:
    told = ", ".join(now.addresses) or "none"
    if not planned and not now.addresses:
        return Result(
            "failed", "this machine has no address by which others could reach it", advice="see: ip address"
        )
    if planned != now.addresses:
        return Result(
            "failed",
            f"the server's address is {told} now, and apps are told {', '.join(planned) or 'none'}",
            seen="calls and the relay go to the old one",
            advice="take the new one: samsesh up",
        )
    return Result("ok", told if now.own else f"{told}, which is not this machine's own: it is behind NAT")
