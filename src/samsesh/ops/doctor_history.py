"""What the doctor found last time, and what is different now. Only whole examinations are kept."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from samsesh.home import Home
from samsesh.write import write_file

SEVERITY = {"ok": 0, "warning": 1, "failed": 2}  # what was skipped says nothing


@dataclass(frozen=True)
class Last:
    """The last whole examination: when (UTC), and the status of each check, of an earlier one where it was skipped."""

    time: datetime
    checks: Mapping[str, str]


@dataclass(frozen=True)
class Changes:
    """Ids of checks that found something worse or better than last time."""

    since: datetime
    worse: tuple[str, ...]
    better: tuple[str, ...]

    def data(self) -> dict[str, Any]:
        since = self.since.isoformat(timespec="seconds")
        return {"since": since, "worse": list(self.worse), "better": list(self.better)}


def _file(home: Home) -> Path:
    return home.path / "doctor.json"


def last(home: Home) -> Last | None:
    """None where there was none, or none that can be read: it is only a convenience."""
    try:
        found = json.loads(_file(home).read_bytes())
        moment = datetime.fromisoformat(found["time"]).astimezone(UTC)
        checks = {str(id_): str(status) for id_, status in found["checks"].items() if status in SEVERITY}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Last(moment, checks)


def compare(before: Last, now: Mapping[str, str]) -> Changes:
    """`now`: status by id, of a whole examination or a part of one. What was not judged both times is no change.

    A new check that finds something is worse.
    """
    steps = {
        id_: SEVERITY[status] - SEVERITY[before.checks.get(id_, "ok")]
        for id_, status in now.items()
        if status in SEVERITY
    }
    worse = tuple(sorted(id_ for id_, step in steps.items() if step > 0))
    better = tuple(sorted(id_ for id_, step in steps.items() if step < 0))
    return Changes(before.time, worse, better)


def keep(home: Home, now: Mapping[str, str]) -> None:
    """Remember a whole examination. A check that was skipped keeps what it found before."""
    before = last(home)
    known = {id_: status for id_, status in (before.checks if before else {}).items() if id_ in now}
    judged = {id_: status for id_, status in now.items() if status in SEVERITY}
    moment = datetime.now(UTC).isoformat(timespec="seconds")
    write_file(_file(home), json.dumps({"time": moment, "checks": {**known, **judged}}, indent=1) + "\n")
