"""Whether the server comes back after a reboot."""

from samsesh.diagnosis import Patient, Result, aside
from samsesh.ops import service

TITLE = "start with the machine"


async def check(patient: Patient) -> Result:
    home = patient.server.home
    if await aside(lambda: service.reboot_warning(home)):
        return Result(
            "warning", "after a reboot this server stays off", advice="have it start: samsesh install-service"
        )
    return Result("ok", f"it starts with the machine ({service.installed(home)})")
