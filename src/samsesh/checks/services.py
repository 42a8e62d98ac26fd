"""Every service of the plan runs and answers."""

from functools import partial
from typing import Any

from samsesh.diagnosis import NeedError, Patient, Result, aside
from samsesh.ops import logs, status
from samsesh.ops.server import Server

TITLE = "services"
LOG_LINES = 5


async def check(patient: Patient) -> Result:
    try:
        found = await patient.status()
    except NeedError:
        advice = "end and start everything anew: samsesh down, then samsesh up"
        return Result("failed", "the process manager does not answer", advice=advice)
    bad = [service for service in found["services"] if service["state"] != "running"]
    if not bad:
        return _complete(patient.server, len(found["services"]))
    if all(service["state"] == "stopped" for service in found["services"]):
        return Result("failed", "the server is stopped", advice="start it: samsesh up")
    names = ", ".join(f"{service['name']} is {service['state']}" for service in bad)
    seen = [await aside(partial(_seen, patient, service)) for service in bad]
    return Result("failed", names, seen="\n".join(seen), advice="\n".join(map(_advice, bad)))


def _complete(server: Server, count: int) -> Result:
    """What runs answers; of what is not there, calls have a check of their own that tells."""
    off = [one for one in server.plan.offer.off if one.name != "calls"]
    summary = f"all {count} services answer{status.without(off)}"
    if off:
        return Result("warning", summary, advice="\n".join(dict.fromkeys(one.advice for one in off)))
    return Result("ok", summary)


def _seen(patient: Patient, service: dict[str, Any]) -> str:
    """What the probe says of a service, and the end of its log."""
    name = service["name"]
    told = [f"{name}: {service['reason']}"]
    if name in patient.server.engine.logged():
        told += [f"  {line}" for _, line in logs.lines(patient.server.home, [name], LOG_LINES, None)]
    return "\n".join(told)


def _advice(service: dict[str, Any]) -> str:
    name = service["name"]
    if service["state"] == "starting":
        return f"{name} was started lately: wait a moment; if it stays so, see: samsesh logs {name}"
    if service["state"] == "stopped":
        return f"start it: samsesh up; why it stopped: samsesh logs {name}"
    return f"see why: samsesh logs {name}; then start it again: samsesh restart {name}"
