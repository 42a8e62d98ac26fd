"""Starting containers in the order of their health, and telling which of them fails, and why."""

import time
from collections.abc import Mapping
from typing import Any

from samsesh.engine import Say
from samsesh.engines.compose import render
from samsesh.engines.compose.docker import START_SECONDS, Docker
from samsesh.engines.compose.logs import read
from samsesh.engines.compose.placement import service
from samsesh.engines.compose.see import health_of, seen
from samsesh.errors import SamseshError
from samsesh.model import Plan, Unit
from samsesh.run import last_lines

POLL_SECONDS = 0.3
HOPELESS = 3  # starts anew, after which it is not waited for

Before = Mapping[str, int]  # container's id -> how often it had been started anew when we began


def start(docker: Docker, plan: Plan, units: list[Unit], say: Say) -> None:
    """`docker compose up`, which waits for health in the order of starts, and says of what."""
    say("waiting for " + ", ".join(unit.title for unit in units))
    command = docker.compose(
        "up",
        "--detach",
        "--no-build",
        "--remove-orphans",
        "--quiet-pull",
        *(service(unit.name) for unit in units),
    )
    before = {one["Id"]: one["RestartCount"] for one in docker.services().values()}

    def meanwhile() -> None:
        """Compose would wait until a program that ends again and again is called unhealthy."""
        there = docker.services()
        for name in (service(unit.name) for unit in plan.units if not unit.spare):
            if name in there and _ends_again_and_again(there[name], before):
                raise SamseshError(f"{name} ends again and again")

    try:
        docker.follow(*command, what="starting the containers", timeout=START_SECONDS, meanwhile=meanwhile)
    except SamseshError as error:
        raise _reason(docker, plan, error, before) from None


def _ends_again_and_again(container: Mapping[str, Any], before: Before) -> bool:
    often: int = container["RestartCount"] - before.get(container["Id"], 0)
    return often >= HOPELESS


def _reason(docker: Docker, plan: Plan, error: SamseshError, before: Before) -> SamseshError:
    """Something failed: which, why, and its last words."""
    there = docker.services()
    prepare = there.get(render.PREPARE)
    if prepare and prepare["State"]["Status"] == "exited" and prepare["State"]["ExitCode"]:
        told = [entry.line for entry in read(docker, render.PREPARE, 5, None)]
        return SamseshError(
            told[-1] if told else "the volumes could not be prepared",
            "see: docker volume ls; docker compose logs volumes",
        )
    for unit in plan.units:
        container = there.get(service(unit.name))
        if (
            unit.spare or not container or container["State"]["Status"] == "created"
        ):  # it waits for what failed
            continue
        if _ends_again_and_again(container, before):
            return _failed(docker, unit, container, "it ends again and again")
        if seen(container).state in ("failing", "stopped"):
            return _failed(docker, unit, container)
    return SamseshError(
        "the containers could not be started", "see: samsesh logs", detail=error.detail or error.message
    )


def _failed(
    docker: Docker, unit: Unit, container: Mapping[str, Any] | None, reason: str = ""
) -> SamseshError:
    reason = reason or (health_of(container) if container else "there is no container of it")
    log = [entry.line for entry in read(docker, service(unit.name), 12, None)] if container else []
    return SamseshError(
        f"the {unit.title} is not ready: {reason}",
        f"the last lines of its log are below; all: samsesh logs {unit.name}",
        detail=last_lines("\n".join(log)),
    )


def wait_ready(docker: Docker, plan: Plan, failed: Mapping[str, SamseshError]) -> dict[str, SamseshError]:
    """Until every container is healthy; what can be spared and is not is given, for the others it raises."""
    found = dict(failed)
    waiting = [unit for unit in plan.units if unit.name not in found]
    began = time.monotonic()
    while waiting:
        there = docker.services()
        for unit in list(waiting):
            container = there.get(service(unit.name))
            state = seen(container).state if container else "stopped"
            late = time.monotonic() - began > unit.probe.seconds + 30
            if state == "running":
                waiting.remove(unit)
            elif state in ("failing", "stopped") or late:
                error = _failed(docker, unit, container)
                if not unit.spare:
                    raise error
                found[unit.name] = error
                waiting.remove(unit)
        if waiting:
            time.sleep(POLL_SECONDS)
    return found
