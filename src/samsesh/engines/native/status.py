"""What runs of a plan below supervisord: each unit's state, by its process and its probe; its memory."""

import time
from collections.abc import Mapping
from pathlib import Path

from samsesh.engine import Seen
from samsesh.engines.native import files
from samsesh.engines.native.start import answers
from samsesh.engines.native.supervisor import Program
from samsesh.facts import family
from samsesh.model import Plan, Unit

KB = 1024


def look(plan: Plan, programs: Mapping[str, Program]) -> dict[str, Seen]:
    return {unit.name: _look(unit, programs.get(unit.name)) for unit in plan.units}


def _look(unit: Unit, program: Program | None) -> Seen:
    pid = program.pid if program else 0
    uptime = max(0, int(time.time()) - program.since) if program and pid else None
    state, reason = _state(unit, program, uptime or 0)
    return Seen(state, reason, pid or None, uptime, _memory(pid) if pid else None)


def _state(unit: Unit, program: Program | None, uptime: int) -> tuple[str, str]:
    if program is None:
        return "stopped", "the process manager is not running"
    if not program.pid:
        return (
            ("failing", program.described)
            if program.state in ("BACKOFF", "FATAL")
            else ("stopped", program.described)
        )
    ready, reason = answers(files.probe_data(unit.title, unit.probe))
    if ready:
        return "running", reason
    return ("starting" if uptime < unit.probe.seconds else "failing"), reason


def _memory(pid: int) -> int:
    """Proportional memory of a process and all below it, in bytes; what cannot be read counts nothing."""
    total = 0
    for one in family([pid]):
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) * KB for line in lines if line.startswith("Pss:")), 0)
    return total
