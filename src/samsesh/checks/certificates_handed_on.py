"""The agent: whether the relay has the gateway's certificate, and the gateway the operator's newest files."""

import time
from typing import Any

import httpx2

from samsesh.diagnosis import Patient, Result
from samsesh.errors import SamseshError

TITLE = "certificates handed on"
GROUPS = ("public",)
NONE = "there are none to be handed on"
SECONDS = 10.0  # the agent answers one at a time, and a machine may be busy


async def check(patient: Patient) -> Result:
    units = {unit.name: unit for unit in patient.server.plan.units}
    if "agent" not in units:
        return Result("skipped", NONE)
    await patient.need("agent")
    socket = units["agent"].probe.endpoint.socket
    try:
        transport = httpx2.AsyncHTTPTransport(uds=str(socket))
        async with httpx2.AsyncClient(transport=transport, timeout=SECONDS, trust_env=False) as http:
            state: list[dict[str, Any]] = (await http.get("http://localhost/state")).json()
    except (httpx2.HTTPError, ValueError) as error:
        raise SamseshError(
            f"the agent does not say how they are ({type(error).__name__})", "see: samsesh logs agent"
        ) from None
    return judged(state, time.time())


def judged(state: list[dict[str, Any]], now: float) -> Result:
    """What the agent says of its jobs (agent/jobs.Job.state)."""
    if not state:
        return Result("skipped", NONE)
    seen = "\n".join(
        f"{one['name']}: {one['host']}, "
        + (f"until {_utc(one['until'])}, " if one["until"] else "")
        + (f"handed on {_utc(one['handed_on'])}" if one["handed_on"] else "not handed on yet")
        for one in state
    )
    if problems := [one["problem"] for one in state if one["problem"]]:
        return Result("failed", problems[0], seen, "correct that; what happened: samsesh logs agent")
    if waiting := [one for one in state if not one["handed_on"]]:
        names = ", ".join(one["name"] for one in waiting)
        return Result(
            "warning",
            f"{names} waits for the certificate of {waiting[0]['host']}",
            seen,
            "see why there is none: samsesh logs gateway",
        )
    if any(one["until"] < now for one in state):
        return Result("failed", "a certificate has ended", seen, "see: samsesh logs gateway")
    return Result("ok", f"the newest are with {', '.join(one['name'] for one in state)}", seen)


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
