"""What runs, as data: one verdict, then each service."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from samsesh.engines.native import files
from samsesh.engines.native.start import answers
from samsesh.engines.native.supervisor import Program
from samsesh.model import Unit
from samsesh.ops.server import Server

KB = 1024


def status(server: Server) -> dict[str, Any]:
    """The shape of `status --json`: {"ok", "verdict", "server_name", "engine", "addresses", "services", "off"}."""
    programs = server.engine.supervisor.programs()
    children = _children()
    services = [_service(server, unit, programs.get(unit.name), children) for unit in server.plan.units]
    bad = [service for service in services if service["state"] != "running"]
    return {
        "ok": not bad,
        "verdict": _verdict(services, bad),
        "server_name": server.settings.server.name,
        "engine": "native",
        "addresses": dict(server.plan.offer.addresses),
        "services": services,
        "off": [asdict(off) for off in server.plan.offer.off],
    }


def _verdict(services: list[dict[str, Any]], bad: list[dict[str, Any]]) -> str:
    if not bad:
        return f"All {len(services)} services are running."
    if len(bad) == len(services) and all(service["state"] == "stopped" for service in bad):
        return "The server is stopped. Start it: samsesh up"
    names = ", ".join(f"{service['name']} is {service['state']}" for service in bad)
    return f"Something is wrong: {names}. See: samsesh logs {bad[0]['name']}"


def _service(
    server: Server, unit: Unit, program: Program | None, children: dict[int, list[int]]
) -> dict[str, Any]:
    pid = program.pid if program else 0
    uptime = max(0, int(time.time()) - program.since) if program and pid else None
    state, reason = _state(unit, program, uptime or 0)
    return {
        "name": unit.name,
        "title": unit.title,
        "state": state,
        "reason": reason,
        "pid": pid or None,
        "uptime_seconds": uptime,
        "memory_bytes": _memory(pid, children) if pid else None,
        "address": unit.address,
        "version": unit.version,
    }


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
