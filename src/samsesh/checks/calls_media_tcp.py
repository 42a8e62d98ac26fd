"""Sound over TCP, for people whose network lets no UDP through: as over UDP, with nothing else offered."""

from samsesh import caller
from samsesh.clients import participant
from samsesh.diagnosis import Patient, Result

TITLE = "sound over TCP"
SECONDS = 20  # for two calls, the second where the first was late
NEEDS = ("calls-sfu",)


async def check(patient: Patient) -> Result:
    if unable := await caller.unable_to_join(patient):
        return unable
    call = await caller.call(patient, "tcp")
    return await caller.unseen(patient, call) or judged(call, patient.server.settings.ports.of("livekit_tcp"))


def judged(call: participant.Call, port: int) -> Result:
    told = caller.told(call)
    if call.heard is not None:
        return Result("ok", f"heard after {call.heard} s, at {call.pairs[0].remote}", told)
    return Result(
        "failed",
        "no sound over TCP: people whose network blocks UDP are left out",
        told,
        f"open TCP port {port} in the firewall (and at the provider)",
    )
