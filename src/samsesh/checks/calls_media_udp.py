"""Sound over UDP: two participants with real tokens, one speaks, the other must hear it. Failure 3."""

from samsesh import caller, names, stranger
from samsesh.access import Access
from samsesh.clients import participant
from samsesh.diagnosis import Patient, Result
from samsesh.stranger import Addresses

TITLE = "sound over UDP"
SECONDS = 20  # for two calls, the second where the first was late
NEEDS = ("calls-sfu",)


async def check(patient: Patient) -> Result:
    if unable := await caller.unable_to_join(patient):
        return unable
    call = await caller.call(patient, "udp")
    return await caller.unseen(patient, call) or judged(
        patient.server.access, stranger.planned(patient.server), call
    )


def judged(access: Access, ours: Addresses, call: participant.Call) -> Result:
    ports, told = access.settings.ports, caller.told(call)
    udp, tcp = ports.of("livekit_udp"), ports.of("livekit_tcp")
    if call.heard is not None:
        return _addresses(access, ours, call, told)
    if call.joined is None or not call.pairs:
        return Result(
            "failed",
            "two participants got into the call, but no sound through it",
            told,
            f"open UDP port {udp} and TCP port {tcp} in the firewall (and at the provider); "
            "calls.media_addresses must be addresses of this machine that people reach",
        )
    if {pair.transport for pair in call.pairs} != {"udp"}:
        return Result(
            "failed",
            "sound goes over TCP, not over UDP: calls work, but stutter on bad lines",
            told,
            f"open UDP port {udp} in the firewall (and at the provider)",
        )
    return Result("failed", "nothing is heard over UDP", told, "see: samsesh logs livekit")


def _addresses(access: Access, ours: Addresses, call: participant.Call, told: str) -> Result:
    """Media may only go to addresses that others are told, else what works here does not work elsewhere."""
    seen = [pair for pair in call.pairs if pair.remote_host]  # WebRTC hides an address that nobody was told
    at = {pair.remote_host for pair in seen}
    if other := at - {*access.addresses, *(ours.own if ours.nat else ())}:
        return Result(
            "warning",
            f"LiveKit takes media at {', '.join(sorted(other))}, which calls.media_addresses does not name",
            told,
            "start it as it is planned: samsesh up; or name it in calls.media_addresses",
        )
    inner = at - _published(access)
    if inner or (not seen and _open_to_all(access)):
        return Result(
            "warning",
            f"sound went by {', '.join(sorted(inner)) or 'an address that nobody is told'}, which the internet "
            "does not reach: whether it gets through from there only shows from outside",
            told,
            "try a call with a phone without Wi-Fi; what others are told: samsesh doctor --only public-addresses",
        )
    where = f", at {seen[0].remote}" if seen else ""
    return Result("ok", f"heard after {call.heard} s{where}", told)


def _open_to_all(access: Access) -> bool:
    return access.mode in ("ip", "domain") and not access.settings.server.trial


def _published(access: Access) -> set[str]:
    """Addresses that others are told, and can come to: they are public, or the settings name them."""
    if not _open_to_all(access):
        return set(access.addresses)
    given = (access.settings.server.address, *access.settings.calls.media_addresses)
    return {address for address in access.addresses if names.is_public(address) or address in given}
