"""What runs of a plan below supervisord: each unit's state, by its process and its probe; its memory."""

import time
from collections.abc import Mapping
from pathlib import Path

from samsesh.engine import Seen
from samsesh.engines.native import files
from samsesh.engines.native.start import answers
from samsesh.engines.native.supervisor import Program
from samsesh.model import Plan, Unit

KB = 1024


def look(plan: Plan, programs: Mapping[str, Program]) -> dict[str, Seen]:
    children = _children()
    return {unit.name: _look(unit, programs.get(unit.name), children) for unit in plan.units}


def _look(unit: Unit, program: Program | None, children: dict[int, list[int]]) -> Seen:
    pid = program.pid if program else 0
    uptime = max(0, int(time.time()) - program.since) if program and pid else None
    state, reason = _state(unit, program, uptime or 0)
    return Seen(state, reason, pid or None, uptime, _memory(pid, children) if pid else None)


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


def _children() -> dict[int, list[int]]:
    """Every process's children, in one look."""
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
            found.setdefault(parent, []).append(int(entry.name))
    return found


def _memory(pid: int, children: dict[int, list[int]]) -> int:
    """Proportional memory of a process and all below it, in bytes; what cannot be read counts nothing."""
    total = 0
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        waiting.extend(children.get(current, []))
        try:
            lines = Path(f"/proc/{current}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) * KB for line in lines if line.startswith("Pss:")), 0)
    return total
