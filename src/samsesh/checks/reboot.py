"""Whether the server comes back after a reboot."""

from samsesh.diagnosis import Patient, Result, aside
from samsesh.ops import service

TITLE = "start with the machine"


async def check(patient: Patient) -> Result:
    home = patient.server.home
    if patient.server.engine.name == "compose":
        return Result("ok", "Docker starts the containers again where it starts with the machine")
    kind = await aside(lambda: service.installed(home))
    if kind is None:
        advice = "have it start: samsesh install-service"
        return Result("warning", "after a reboot this server stays off", advice=advice)
    return Result("ok", f"it starts with the machine ({kind})")
