"""Sound through the TURN server alone, as LiveKit hands it out to people behind strict firewalls."""

from samsesh import caller
from samsesh.clients import participant
from samsesh.diagnosis import Patient, Result

TITLE = "sound through the relay"
SECONDS = 20  # for two calls, the second where the first was late
NEEDS = ("calls-sfu", "turn-allocate")


async def check(patient: Patient) -> Result:
    turn = patient.server.plan.offer.turn
    if turn is not None and not turn.relays_media:
        return Result("skipped", "LiveKit listens on loopback, where no relay may lead")
    if unable := await caller.unable_to_join(patient):
        return unable
    call = await caller.call(patient, "relay")
    return await caller.unseen(patient, call) or judged(call, patient.server.settings.ports.relay())


def judged(call: participant.Call, relay: tuple[int, int]) -> Result:
    told = caller.told(call)
    if call.heard is not None:
        return Result("ok", f"heard after {call.heard} s, by {call.pairs[0].local}", told)
    return Result(
        "failed",
        "no sound through the relay: people behind strict firewalls are left out",
        told,
        f"open UDP ports {relay[0]} to {relay[1]} in the firewall; see: samsesh logs coturn",
    )
