"""IPv6: what the names publish is what this machine has."""

from collections.abc import Iterable

from samsesh import stranger
from samsesh.clients.dns import Resolved
from samsesh.diagnosis import Patient, Result
from samsesh.stranger import Addresses

TITLE = "IPv6"
GROUPS = ("public", "preflight")
SECONDS = 20  # for a DNS that does not answer


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    return judged(await stranger.all_resolved(patient), await stranger.addresses(patient))


def judged(found: Iterable[Resolved], ours: Addresses) -> Result:
    found = list(found)
    if found and not any(one.published for one in found):
        return Result("ok", "no name leads anywhere yet")  # `public_names` tells of it
    found = [one for one in found if one.published]
    with_v6 = [one for one in found if one.of(6)]
    own = [address for address in ours.own if ":" in address and address.startswith("2")]
    if with_v6 and not ours.ipv6:
        one = with_v6[0]
        return Result(
            "warning",
            f"{one.host} has the IPv6 address {one.of(6)[0]}, but this machine has no way out over IPv6",
            seen=", ".join(f"{one.host}: {', '.join(one.of(6))}" for one in with_v6),
            advice="people wait for it in vain before they come by IPv4, and Let's Encrypt tries it first: "
            "set up IPv6 on this machine, or remove the AAAA records",
        )
    without = [one.host for one in found if not one.of(6)]
    if own and without:
        return Result(
            "warning",
            f"this machine has IPv6, and {', '.join(without)} is not known by it",
            advice=f"people without IPv4 cannot come; add the record: AAAA {own[0]}",
        )
    if with_v6:
        return Result("ok", "names and machine both have it")
    return Result(
        "ok", "no name has it: people come by IPv4" if found else "people come by an address, not by a name"
    )
