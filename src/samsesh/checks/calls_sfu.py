"""LiveKit as browsers reach it: the token of the service is let in, the WebSocket opens, the version is new enough.

Failure 5.
"""

from samsesh import caller, names, stranger
from samsesh.clients import sfu
from samsesh.diagnosis import Patient, Result

TITLE = "LiveKit is reached"
NEEDS = ("calls-openid",)
TOO_OLD = (1, 9, 9)  # livekit-client in Element Call 0.26 wants a newer server
ADVICE = (
    "see: samsesh logs gateway, samsesh logs livekit; a proxy before the server must pass WebSockets on "
    "(Upgrade and Connection headers) and keep idle connections open"
)


async def check(patient: Patient) -> Result:
    if unable := await caller.unable(patient, *caller.REACHED):
        return unable
    url, jwt = await caller.join_token(patient, "m.call#doctor-signal", "doctor")
    wanted = patient.server.plan.offer.addresses["livekit"]
    if url.rstrip("/") != wanted.rstrip("/"):
        return Result(
            "failed",
            f"the authorization service sends people to {url}, but LiveKit is at {wanted}",
            advice="give it the right address: samsesh up; then: samsesh restart rtc-auth",
        )
    way = await stranger.way(patient)
    try:
        await sfu.validate(url, jwt, way.connector())
        version = await sfu.signal(url, jwt, way.connector())
    except sfu.SfuError as error:
        return Result("failed", error.message, advice=ADVICE)
    return judged(url, version)


def judged(url: str, version: str) -> Result:
    try:
        old = names.version(version) <= TOO_OLD
    except ValueError:
        return Result("warning", f"LiveKit at {url} does not tell its version", seen=version)
    if old:
        return Result(
            "failed",
            f"LiveKit {version} is too old for today's apps",
            advice="get a newer one: samsesh up; or name one of your own: samsesh config set artifacts.livekit PATH",
        )
    return Result("ok", f"LiveKit {version} lets people in at {url}")
