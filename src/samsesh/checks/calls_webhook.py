"""LiveKit's webhooks reach the authorization service, so that it may take over leaving for people (delegation).

Failure 8: delegation announced, webhooks not wired: ghosts for an hour.
"""

import asyncio
from contextlib import suppress

from samsesh import caller
from samsesh.clients import rtc
from samsesh.diagnosis import Patient, Result

TITLE = "LiveKit tells who comes and goes"
NEEDS = ("calls-service", "calls-room")
PATIENCE = 6.0  # seconds: the service has just been started, and is at its first tries
ADVICE = "see: samsesh logs rtc-auth, samsesh logs livekit; then: samsesh restart livekit rtc-auth"


async def check(patient: Patient) -> Result:
    if unable := await caller.unable(patient, "gateway", "rtc-auth", "livekit"):
        return unable
    url = f"{patient.server.plan.offer.rtc_service.rstrip('/')}/delegate_delayed_leave"
    proven = await _proven(patient)
    probe = await (await caller.browser(patient)).ask("POST", url)  # as Element Call does, without a body
    return judged(proven, probe)


async def _proven(patient: Patient) -> bool:
    """Whether a webhook about a room that the service made and deleted itself has come, signed by LiveKit."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while not (await caller.readiness(patient)).get("delegation"):
                await asyncio.sleep(0.5)
            return True
    return False


def judged(proven: bool, probe: rtc.Answer) -> Result:
    offered = probe.status != 404 and probe.readable
    if proven and offered:
        return Result("ok", "a webhook of LiveKit's came, so that leaving can be delegated", seen=str(probe))
    if not proven and offered:
        return Result(
            "failed",
            "apps are to delegate leaving, but no webhook of LiveKit's comes: people would stay for an hour",
            seen=str(probe),
            advice=ADVICE,
        )
    if not proven:
        return Result(
            "failed",
            "no webhook of LiveKit's reaches the authorization service",
            seen=f"{probe}; apps see to leaving themselves meanwhile",
            advice=ADVICE,
        )
    return Result(
        "failed",
        "leaving can be delegated, but apps are not told so",
        seen=str(probe),
        advice="see: samsesh logs gateway; a proxy before the server must pass this address on whole",
    )
