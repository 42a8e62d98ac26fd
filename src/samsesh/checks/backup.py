"""How old the newest backup is, and whether it has everything."""

import json
import time
from datetime import datetime
from pathlib import Path

from samsesh.diagnosis import Patient, Result
from samsesh.home import Home

TITLE = "backup"
DAY = 86_400
OLD = 7 * DAY  # seconds
TAIL_BYTES = 1024 * 1024
ADVICE = "take one: samsesh backup create, and keep a copy on another machine"


async def check(patient: Patient) -> Result:
    home = patient.server.home
    if not home.started:
        return Result("ok", "there is nothing to save yet")
    there = [(path.stat().st_mtime, str(path)) for path in home.backups_dir.glob("*.tar")]
    elsewhere = logged(home)
    newest = max([*there, *((moment, path) for moment, path, _ in elsewhere)], default=None)
    lacking = {path: left_out for _, path, left_out in elsewhere}
    return judged(newest, time.time(), lacking.get(newest[1], 0) if newest else 0)


def logged(home: Home) -> list[tuple[float, str, int]]:
    """(Unix time, path, number of things left out) of backups in the audit log: one that was written elsewhere counts."""
    found = []
    for line in _end(home.path / "audit.log"):
        try:
            entry = json.loads(line)
            if entry["action"] == "backup create" and entry["result"] == "ok":
                moment = datetime.fromisoformat(entry["time"]).timestamp()
                found.append((moment, str(entry["path"]), int(entry.get("left_out", 0))))
        except (ValueError, KeyError, TypeError):
            continue
    return found


def _end(path: Path) -> list[str]:
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return log.read().decode(errors="replace").splitlines()
    except OSError:
        return []


def judged(newest: tuple[float, str] | None, now: float, lacking: int = 0) -> Result:
    """`newest`: (Unix time, path); `lacking`: how many things it should have, and does not."""
    if newest is None:
        return Result("warning", "there is no backup of this server", advice=ADVICE)
    days = int((now - newest[0]) // DAY)
    if now - newest[0] > OLD:
        return Result("warning", f"the newest backup is {days} days old", seen=newest[1], advice=ADVICE)
    if lacking:
        number = f"{lacking} thing{'s' * (lacking > 1)}"
        return Result(
            "warning",
            f"the newest backup is without {number} that it should have",
            seen=newest[1],
            advice="see which, correct that, and take another: samsesh backup verify FILE, samsesh backup create",
        )
    return Result(
        "ok", f"the newest is {days} days old: {newest[1]}" if days > 0 else f"one of today: {newest[1]}"
    )
