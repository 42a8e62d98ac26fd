"""Before the first start in a public mode: what would make it senseless, found before anything is started.

The checks are the doctor's, group "preflight" (`samsesh doctor preflight`); here is when they are asked.
"""

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence

from samsesh import diagnosis
from samsesh.diagnosis import Outcome, Told
from samsesh.errors import SamseshError
from samsesh.ops.server import Server

GROUP = "preflight"
KEPT = "preflight"  # in the home's state: the settings for which it passed
SPARED = frozenset({"disk"})  # what an established server starts without: it is warned of
SECTIONS = ("server", "hosts", "tls", "proxy", "ports", "federation")


def due(server: Server) -> bool:
    """Whether these settings have not passed yet. `local` needs none."""
    return server.settings.server.access != "local" and server.home.state().get(KEPT) != fingerprint(server)


def fingerprint(server: Server) -> str:
    """What a pass goes by: the settings of how the server is reached."""
    data = server.settings.model_dump(mode="json", include=set(SECTIONS))
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def run(server: Server, told: Told | None = None) -> list[Outcome]:
    checks = diagnosis.choose(diagnosis.all_checks(), [GROUP])
    return asyncio.run(diagnosis.examine(diagnosis.Patient(server), checks, told))


def must_pass(server: Server, warn: Callable[[Outcome], None], told: Told | None = None) -> None:
    """Examine where it is due; `warn` hears of what does not stop a start. Raises with what does."""
    if not due(server):
        return
    warnings, failed = weighed(run(server, told), started=server.home.started)
    for outcome in warnings:
        warn(outcome)
    if failed:
        raise refusal(failed)
    passed(server)


def weighed(outcomes: Sequence[Outcome], *, started: bool) -> tuple[list[Outcome], list[Outcome]]:
    """(what to warn of, what stops a start)."""
    grave = [one for one in outcomes if one.result.status == "failed"]
    failed = [one for one in grave if not (started and one.check.id in SPARED)]
    return [
        one for one in outcomes if one.result.status == "warning" or (one in grave and one not in failed)
    ], failed


def passed(server: Server) -> None:
    """Do not examine these settings again."""
    if due(server):
        server.home.remember(**{KEPT: fingerprint(server)})


def refusal(failed: Sequence[Outcome]) -> SamseshError:
    """One sentence each, what to do below it, and the way round."""
    *before, last = [outcome.result for outcome in failed]
    lines = [f"{one.summary}\n  {one.advice}" for one in before]
    return SamseshError(
        "\n".join([*lines, last.summary]),
        f"{last.advice}\nnothing was started; again, with all that was seen: samsesh doctor preflight; "
        "if you know better: samsesh up --skip-preflight",
        detail=last.seen,
    )
