"""Only those who are in a room get into its call: a stranger with a real OpenID token and a room's ID gets no token."""

import secrets

from samsesh import caller
from samsesh.clients import rtc
from samsesh.diagnosis import Patient, Result

TITLE = "calls are for those in the room"
NEEDS = ("calls-openid",)  # who is in the room gets one


async def check(patient: Patient) -> Result:
    if unable := await caller.unable(patient, "gateway", "synapse", "rtc-auth"):
        return unable
    room = f"!doctor-{secrets.token_hex(8)}:{patient.server.settings.server.name}"
    token = await caller.openid(patient)
    return judged(await caller.ask_token(patient, token, "m.call#doctor", "stranger", room))


def judged(answer: rtc.Answer) -> Result:
    if answer.status == 403 and answer.readable:
        return Result("ok", "who is not in a room gets no token for its call", seen=str(answer))
    if answer.status == 200:
        return Result(
            "failed",
            "whoever knows the ID of a room gets into its call without being in it",
            seen=str(answer),
            advice="give the authorization service its settings: samsesh up; then: samsesh restart synapse rtc-auth",
        )
    return Result(
        "failed", str(answer), seen=str(answer), advice="see: samsesh logs rtc-auth, samsesh logs synapse"
    )
