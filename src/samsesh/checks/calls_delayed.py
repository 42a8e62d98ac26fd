"""Delayed events, with which a call ends for whoever vanishes: scheduled, restarted, sent and left to fire (MSC4140).

Failure 7: ghosts that stay in a call.
"""

import asyncio
import secrets
from contextlib import suppress

from samsesh import caller
from samsesh.clients import rtc
from samsesh.diagnosis import Patient, Result

TITLE = "people who vanish leave the call"
KIND = "net.samsesh.doctor"
LONG, SHORT = 60_000, 500  # milliseconds
PATIENCE = 6.0  # seconds for the short one to fire
ADVICE = (
    "write homeserver.yaml anew: samsesh up; extra.synapse must not change max_event_delay_duration; "
    "see: samsesh logs synapse"
)


class Refused(Exception):  # noqa: N818 - an answer, no defect
    """One step was answered otherwise than with yes."""


async def check(patient: Patient) -> Result:
    if unable := await caller.unable(patient, "gateway", "synapse"):
        return unable
    doctor, room = await caller.person(patient), await caller.room(patient)
    try:
        await _sent(doctor, room)
        await _fires(doctor, room)
    except Refused as refused:
        return Result("failed", str(refused), advice=ADVICE)
    return Result("ok", "a delayed event was restarted and sent; another fired by itself")


async def _scheduled(doctor: rtc.Person, room: str, key: str, nonce: str, delay: int) -> str:
    answer = await doctor.put_state(room, KIND, key, {"nonce": nonce}, delay)
    if answer.status != 200 or "delay_id" not in answer.body:
        raise Refused(f"no event could be scheduled ({answer})")
    return str(answer.body["delay_id"])


async def _sent(doctor: rtc.Person, room: str) -> None:
    """Scheduled far ahead, restarted as a client does all through a call, and sent as it does on leaving."""
    nonce = secrets.token_hex(8)
    delay_id = await _scheduled(doctor, room, "sent", nonce, LONG)
    try:
        for action in ("restart", "send"):
            answer = await doctor.delayed(delay_id, action)
            if answer.status != 200:
                raise Refused(f"a scheduled event could not be told to {action} ({answer})")
    except BaseException:
        with suppress(rtc.UnreachableError):
            await doctor.delayed(delay_id, "cancel")
        raise
    if not await _arrives(doctor, room, "sent", nonce):
        raise Refused("a scheduled event was sent but did not arrive")


async def _fires(doctor: rtc.Person, room: str) -> None:
    nonce = secrets.token_hex(8)
    await _scheduled(doctor, room, "fired", nonce, SHORT)
    if not await _arrives(doctor, room, "fired", nonce):
        raise Refused(f"an event scheduled for {SHORT / 1000:g} s ahead did not come within {PATIENCE:.0f} s")


async def _arrives(doctor: rtc.Person, room: str, key: str, nonce: str) -> bool:
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            while (await doctor.state(room, KIND, key)).body.get("nonce") != nonce:
                await asyncio.sleep(0.1)
            return True
    return False
