"""LiveKit takes the key of the authorization service: a room is made and deleted with it; both clocks agree.

Failure 6: "Unable to create room on SFU".
"""

import secrets

from samsesh import caller
from samsesh.clients import sfu
from samsesh.diagnosis import NeedError, Patient, Result

TITLE = "call rooms can be made"
MOST_SKEW = 30.0  # seconds; tokens are good from their first second on
KEY_ADVICE = "give both the same key: samsesh up; then: samsesh restart livekit rtc-auth"


async def check(patient: Patient) -> Result:
    if off := caller.calls_off(patient.server):
        return off
    await caller.must_be_started(patient)
    server = patient.server
    url, key = caller.livekit_api(server), caller.livekit_key(server)
    try:
        async with sfu.room(url, *key, f"samsesh-doctor-{secrets.token_hex(8)}"):
            pass
    except sfu.SfuError as error:
        return _refused(error)
    if result := await _service(patient):
        return result
    ahead = await _ahead(url)
    if abs(ahead) > MOST_SKEW:
        return Result(
            "failed",
            f"LiveKit's clock is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}; its tokens do not count",
            advice="let a service set both clocks: `timedatectl set-ntp true`, or install chrony",
        )
    return Result(
        "ok", "a room was made and deleted", seen=f"LiveKit at {url}, clocks {abs(ahead):.0f} s apart"
    )


def _refused(error: sfu.SfuError) -> Result:
    if error.status == 401:
        return Result("failed", "LiveKit runs with another key than this server's", error.message, KEY_ADVICE)
    return Result("failed", error.message, advice="see: samsesh logs livekit; then: samsesh restart livekit")


async def _service(patient: Patient) -> Result | None:
    """What the authorization service itself meets at LiveKit; None where all is well, or where nobody can say."""
    try:
        await patient.need("rtc-auth")
    except NeedError:
        return None
    told = (await caller.readiness(patient))["livekit"]
    if told.get("ok"):
        return None
    reason = str(told.get("reason", ""))
    return Result("failed", "the authorization service cannot make rooms on LiveKit", reason, KEY_ADVICE)


async def _ahead(url: str) -> float:
    """Seconds that LiveKit's clock is ahead: it tells the time to whoever it does not let in."""
    try:
        return await sfu.validate(url, "none")
    except sfu.SfuError as error:
        return error.skew
