"""The clock, by what this machine itself knows of it: no time server is asked.

A certificate authority that the gateway asks anyway is asked for its time, too.

Tokens, certificates and calls go by the clock; other machines must agree with it.
"""

import ctypes
import time
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx2

from samsesh.diagnosis import Patient, Result
from samsesh.services.gateway import tls

TITLE = "clock"
GROUPS = ("basics", "preflight")
TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
STA_UNSYNC = 0x40
STATUS_OFFSET = (
    40  # of `status` in struct timex where long has 8 bytes: modes, offset, freq, maxerror, esterror
)
TIMEX_BYTES = 208
OLDEST = 1_767_225_600  # 2026-01-01: no Samsesh ran before
DRIFT = 60.0  # seconds between both clocks of the machine that are too many
FAR = 3600.0  # seconds off with which certificates and tokens of others no longer count
QUARTER = 900.0  # a hardware clock in local time differs by whole quarters of an hour
SET = "let a service set the clock: `timedatectl set-ntp true`, or install chrony"


@dataclass(frozen=True)
class Clock:
    """Unix time now, the newest moment that the home tells of, what the kernel says (None: nothing), hardware clock.

    `others`: Unix time by somebody else's clock, where one was asked.
    """

    now: float
    newest: float
    synchronized: bool | None
    hardware: float | None
    others: float | None = None


async def check(patient: Patient) -> Result:
    home = patient.server.home
    written = [path.stat().st_mtime for path in (home.state_file, home.path / "audit.log") if path.exists()]
    asked = patient.server.access.certificates == "acme"
    others = await date_of(tls.directory(patient.server.settings.tls)) if asked else None
    return judged(Clock(time.time(), max(written, default=0.0), synchronized(), hardware(), others))


async def date_of(url: str) -> float | None:
    """Unix time by the header Date of an answer. By a wrong clock no certificate counts, so none is asked for."""
    with suppress(httpx2.HTTPError, ValueError):
        async with httpx2.AsyncClient(verify=False, timeout=5, trust_env=False) as http:
            answer = await http.head(url)
        return parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
    return None


def synchronized() -> bool | None:
    """Whether the kernel says that something keeps its clock right; None where it may not be asked."""
    if ctypes.sizeof(ctypes.c_long) != 8:
        return None
    timex = ctypes.create_string_buffer(TIMEX_BYTES)  # modes 0: only to read
    state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    if state < 0:
        return None
    flags = int.from_bytes(timex.raw[STATUS_OFFSET : STATUS_OFFSET + 4], "little")
    return state != TIME_ERROR and not flags & STA_UNSYNC


def hardware() -> float | None:
    """Unix time by the hardware clock, as if that were in UTC."""
    try:
        return float(Path("/sys/class/rtc/rtc0/since_epoch").read_text())
    except (OSError, ValueError):
        return None


def judged(clock: Clock) -> Result:
    told = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(clock.now))
    if clock.now < OLDEST:
        return Result("failed", f"the clock says {told}, which is long past", advice=SET)
    if clock.newest - clock.now > DRIFT:
        ahead = f"something in this home was written {clock.newest - clock.now:.0f} s later than now"
        return Result("failed", f"the clock says {told}, but it was later before", seen=ahead, advice=SET)
    if clock.others is not None and (off := clock.now - clock.others) and abs(off) > DRIFT:
        how = "ahead of" if off > 0 else "behind"
        return Result(
            "failed" if abs(off) > FAR else "warning",
            f"the clock says {told}, {abs(off):.0f} s {how} the certificate authority's",
            advice=SET,
        )
    drift = None if clock.hardware is None else apart(clock.now, clock.hardware)
    seen = "" if drift is None else f"{drift:.0f} s apart from the hardware clock"
    if clock.synchronized is False:
        return Result("warning", f"nothing keeps the clock right; it says {told}", seen=seen, advice=SET)
    if drift is not None and drift > DRIFT:
        right = clock.synchronized is True
        advice = "set the hardware clock by the system's: hwclock --systohc" if right else SET
        return Result(
            "warning", f"the two clocks of this machine are {drift:.0f} s apart", seen=seen, advice=advice
        )
    how = (
        "the kernel says that it is kept right"
        if clock.synchronized
        else "nobody here knows whether it is right"
    )
    return Result("ok", f"{told}; {how}")


def apart(now: float, hardware: float) -> float:
    """Seconds between system and hardware clock; by whole quarters of an hour it may differ: local time."""
    off = (hardware - now) % QUARTER
    return min(off, QUARTER - off)
