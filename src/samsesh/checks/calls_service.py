"""The authorization service behind the gateway: its routes are there, and pages of other origins may read them.

Failure 4: a proxy's prefix or route is missing, or CORS is there twice.
"""

import asyncio

from samsesh import caller
from samsesh.clients import rtc
from samsesh.diagnosis import Patient, Result

TITLE = "call authorization answers"
ROUTES = ("/get_token", "/sfu/get")
ADVICE = (
    "see: samsesh status, samsesh logs rtc-auth, samsesh logs gateway; "
    "a proxy before the server must pass this address on whole and add no CORS headers"
)


async def check(patient: Patient) -> Result:
    if off := caller.calls_off(patient.server):
        return off
    await caller.must_be_started(patient)
    base, page = patient.server.plan.offer.rtc_service.rstrip("/"), await caller.browser(patient)
    try:
        health, *flights = await asyncio.gather(
            page.ask("GET", f"{base}/healthz"), *(page.preflight(base + route) for route in ROUTES)
        )
    except rtc.UnreachableError as error:
        return Result("failed", f"nobody answers at {base}", seen=error.message, advice=ADVICE)
    wrong = [str(health)] if health.status != 200 else []
    wrong += [found for flight in flights if (found := problem(flight))]
    seen = "\n".join(str(answer) for answer in (health, *flights))
    if wrong:
        return Result("failed", wrong[0], seen=seen, advice=ADVICE)
    return Result("ok", f"{base} answers, to web pages too", seen=seen)


def problem(flight: rtc.Answer) -> str:
    """What a browser would stumble over in the answer to its preflight; empty where nothing is."""
    if flight.status // 100 != 2:
        return str(flight)
    if flight.allowed != ("*",):
        found = ", ".join(flight.allowed) or "none"
        return f"{flight.url} has {len(flight.allowed)} {rtc.CORS} ({found}); browsers want exactly one, *"
    return ""
