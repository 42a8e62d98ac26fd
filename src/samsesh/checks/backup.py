"""How old the newest backup is."""

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
    made = [(path.stat().st_mtime, str(path)) for path in home.backups_dir.glob("*.tar")]
    return judged(max([*made, *_told(home)], default=None), time.time())


def _told(home: Home) -> list[tuple[float, str]]:
    """Backups that the audit log tells of: one that was written elsewhere counts, too."""
    found = []
    for line in _end(home.path / "audit.log"):
        try:
            entry = json.loads(line)
            if entry["action"] == "backup create" and entry["result"] == "ok":
                found.append((datetime.fromisoformat(entry["time"]).timestamp(), str(entry["path"])))
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


def judged(newest: tuple[float, str] | None, now: float) -> Result:
    """`newest`: (Unix time, path)."""
    if newest is None:
        return Result("warning", "there is no backup of this server", advice=ADVICE)
    days = int((now - newest[0]) // DAY)
    if now - newest[0] > OLD:
        return Result("warning", f"the newest backup is {days} days old", seen=newest[1], advice=ADVICE)
    return Result(
        "ok", f"the newest is {days} days old: {newest[1]}" if days > 0 else f"one of today: {newest[1]}"
    )
