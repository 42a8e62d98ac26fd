"""The authorization service tells real OpenID tokens from bogus ones: it reaches the homeserver, by whatever way.

Failure 2: hairpin NAT, a closed 8448, a private CA, no openid resource.
"""

from samsesh import caller
from samsesh.clients import rtc
from samsesh.diagnosis import Patient, Result

TITLE = "call authorization knows people"
NEEDS = ("calls-service", "calls-room")  # a token is given when the room is there
SLOT = "m.call#doctor"
BOGUS = {"access_token": "doctor-bogus", "token_type": "Bearer", "expires_in": 60}


async def check(patient: Patient) -> Result:
    if unable := await caller.unable(patient, "gateway", "synapse", "rtc-auth"):
        return unable
    name = patient.server.settings.server.name
    bogus = await caller.ask_token(patient, {**BOGUS, "matrix_server_name": name}, SLOT, "bogus")
    if bogus.status != 401:
        return _bogus(bogus)
    real = await caller.ask_token(patient, await caller.openid(patient), SLOT, "doctor")
    seen = f"bogus token: {bogus}\nreal token: {real}"
    if real.status == 200:
        return Result("ok", "a real OpenID token is taken, a bogus one refused", seen=seen)
    parts = await caller.readiness(patient)
    reasons = [
        part["reason"] for name in ("homeserver", "members") if "reason" in (part := parts.get(name, {}))
    ]
    reason = f"; the service on the homeserver: {', '.join(reasons)}" if reasons else ""
    if real.status == 401:
        return Result(
            "failed",
            f"the authorization service does not believe a real OpenID token of {name}",
            seen=seen + reason,
            advice="see: samsesh logs rtc-auth, samsesh logs synapse; then: samsesh restart rtc-auth",
        )
    if not parts.get("members", {}).get("ok", True):
        return Result(
            "failed",
            "nobody gets into a call: the homeserver does not say who is in a room",
            seen=seen + reason,
            advice="see: samsesh logs synapse, samsesh logs rtc-auth; then: samsesh up",
        )
    return Result("failed", str(real), seen=seen + reason, advice="see: samsesh logs rtc-auth")


def _bogus(answer: rtc.Answer) -> Result:
    if answer.status == 200:
        return Result(
            "failed",
            "the authorization service lets anybody in: it took a bogus OpenID token",
            seen=str(answer),
            advice="stop it now: samsesh down; then report this",
        )
    if answer.status == 429:
        return Result(
            "failed", "the authorization service is busy", seen=str(answer), advice="try again in a minute"
        )
    return Result(
        "failed",
        "the authorization service cannot say that a bogus token is bogus",
        seen=str(answer),
        advice="see: samsesh logs rtc-auth",
    )
