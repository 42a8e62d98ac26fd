"""Sound over UDP: two participants with real tokens, one speaks, the other must hear it. Failure 3."""

from samsesh import caller, stranger
from samsesh.clients import participant
from samsesh.diagnosis import Patient, Result
from samsesh.ops.server import Server

TITLE = "sound over UDP"
SECONDS = 20  # for two calls, the second where the first was late
NEEDS = ("calls-sfu",)


async def check(patient: Patient) -> Result:
    if unable := await caller.unable_to_join(patient):
        return unable
    call = await caller.call(patient, "udp")
    return await caller.unseen(patient, call) or judged(patient.server, call)


def judged(server: Server, call: participant.Call) -> Result:
    ports, told = server.settings.ports, caller.told(call)
    udp, tcp = ports.of("livekit_udp"), ports.of("livekit_tcp")
    if call.heard is not None:
        return _addresses(server, call, told)
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


def _addresses(server: Server, call: participant.Call, told: str) -> Result:
    """Media may only go to addresses that the settings name, else what works here does not work elsewhere."""
    named = set(server.access.addresses)
    if stranger.addresses(server).nat:
        named |= set(stranger.addresses(server).own)
    seen = [pair for pair in call.pairs if pair.remote_host]  # WebRTC hides an address that only answered
    other = {pair.remote_host for pair in seen} - named
    if other:
        return Result(
            "warning",
            f"LiveKit takes media at {', '.join(sorted(other))}, which calls.media_addresses does not name",
            told,
            "start it as it is planned: samsesh up; or name it in calls.media_addresses",
        )
    at = f", at {seen[0].remote}" if seen else ""
    return Result("ok", f"heard after {call.heard} s{at}", told)
