"""In a new room ordinary members may join a call. Failure 9."""

from collections.abc import Mapping
from typing import Any

from samsesh import caller
from samsesh.clients import rtc
from samsesh.diagnosis import Patient, Result

TITLE = "members may join calls"
ADVICE = (
    "load our module into Synapse anew: samsesh up; extra.synapse must not set default_power_level_content_override "
    "or replace modules; rooms that are there already: samsesh rooms allow-calls"
)


async def check(patient: Patient) -> Result:
    if unable := await caller.unable(patient, "gateway", "synapse"):
        return unable
    doctor, room = await caller.person(patient), await caller.room(patient)
    levels = await doctor.state(room, "m.room.power_levels", "")
    if levels.status != 200:
        return Result("failed", f"the power levels of a new room are not to be had ({levels})", advice=ADVICE)
    return judged(levels.body)


def judged(levels: Mapping[str, Any]) -> Result:
    wanted, have = rtc.needed_power(levels, caller.MEMBER), int(levels.get("users_default", 0))
    seen = f"{caller.MEMBER} wants {wanted}, ordinary members have {have}"
    if wanted > have:
        return Result("failed", "in a new room only moderators may join a call", seen=seen, advice=ADVICE)
    return Result("ok", "ordinary members of a new room may join its calls", seen=seen)
