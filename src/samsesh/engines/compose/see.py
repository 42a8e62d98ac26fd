"""What `docker inspect` says of a container, in our words."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from samsesh.engine import Seen
from samsesh.engines.compose.docker import Docker

STATES = {"healthy": "running", "starting": "starting", "unhealthy": "failing"}


def seen(container: Mapping[str, Any]) -> Seen:
    state = container["State"]
    if state["Status"] == "running":
        health = (state.get("Health") or {}).get("Status", "healthy")
        started = datetime.fromisoformat(state["StartedAt"][:19] + "+00:00").timestamp()
        uptime = max(0, int(time.time() - started))
        return Seen(STATES.get(health, "starting"), health_of(container), state["Pid"] or None, uptime)
    if state["Status"] == "restarting":
        return Seen("failing", f"it ends again and again, with code {state['ExitCode']}")
    return Seen("stopped", health_of(container))


def health_of(container: Mapping[str, Any]) -> str:
    """Why a container is not well, as the last look at its health said; or how it ended."""
    state = container["State"]
    if state["Status"] != "running":
        killed = ": it wanted more memory than it may have" if state.get("OOMKilled") else ""
        error = f" ({state['Error']})" if state.get("Error") else ""
        return f"it ended with code {state['ExitCode']}{error}{killed}"
    health = state.get("Health") or {}
    if health.get("Status") == "healthy":
        return "healthy"
    last = (health.get("Log") or [{}])[-1]
    said = " ".join(str(last.get("Output", "")).split())[-300:]
    return said or ("it was not asked yet" if health.get("Status") == "starting" else "it does not answer")


def memory_of(docker: Docker, containers: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """Bytes of memory by service."""
    ids = {one["Id"]: name for name, one in containers.items() if one["State"]["Running"]}
    found = docker.memory(list(ids))
    return {name: found[id_] for id_, name in ids.items() if id_ in found}
