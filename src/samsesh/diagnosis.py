"""What the doctor's checks look at, what they find as data, and the runner that asks them all at once.

A check is a module in `checks/`: `TITLE` for people, `NEEDS` (ids of checks that must be ok or it is skipped), and
`async def check(patient) -> Result`. Its id is its file's name with `-` for `_`. Its group is the word before the first
`-` ("basics" where there is none), or what its `GROUPS` says. `SECONDS` is the longest that it may take (15); in the
group "long" are those that take longer than anybody wants to wait without having asked for it.
It never blocks the event loop: what waits goes `aside`. A SamseshError that it raises is what it found, a NeedError why
it is skipped.
"""

import asyncio
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

from samsesh import registry
from samsesh.environment import nearest
from samsesh.errors import SamseshError, SettingsError
from samsesh.ops.server import Server
from samsesh.ops.status import status

Status = Literal["ok", "warning", "failed", "skipped"]
T = TypeVar("T")

SECONDS = 15.0  # how long a check may take unless it says otherwise
STATUS_SECONDS = 8.0  # each unit has two to answer
TIDY_SECONDS = 5.0  # how long one that was stopped may take to clean up
LONG = "long"  # the group of checks that are made only if they are named
GOOD = ("ok", "warning")  # what a check may build on


class NeedError(SamseshError):
    """Raised by a check that lacks what it builds on, though no other check is to tell of it: it is skipped."""


@dataclass(frozen=True)
class Result:
    """What one check found: `summary` in one sentence, `seen` what was tried and seen, `advice` what to do."""

    status: Status
    summary: str
    seen: str = ""
    advice: str = ""


@dataclass
class Patient:
    """One server under examination, and what checks learn once for all of them.

    `tidy` is closed after the last check: for connections that several checks share.
    """

    server: Server
    tidy: AsyncExitStack = field(default_factory=AsyncExitStack)
    _learnt: dict[str, "asyncio.Task[Any]"] = field(default_factory=dict)

    async def once(self, key: str, learn: Callable[[], Awaitable[Any]]) -> Any:
        """What `learn` gives, asked once however many checks want it; its error is raised in all of them."""
        if key not in self._learnt:
            self._learnt[key] = asyncio.ensure_future(learn())
        return await asyncio.shield(self._learnt[key])  # one check's end is not the others'

    async def close(self) -> None:
        """After the last check: what is still being learnt is broken off, and what nobody waited for is let go."""
        for task in self._learnt.values():
            task.cancel()
        await asyncio.gather(*self._learnt.values(), return_exceptions=True)
        await self.tidy.aclose()

    async def status(self) -> dict[str, Any]:
        """What `samsesh status --json` says; NeedError where the process manager does not answer."""
        found: dict[str, Any] = await self.once("status", self._status)
        return found

    async def _status(self) -> dict[str, Any]:
        try:
            return await asyncio.wait_for(aside(lambda: status(self.server)), STATUS_SECONDS)
        except (TimeoutError, SamseshError):
            raise NeedError("needs the process manager, which does not answer") from None

    async def need(self, *units: str) -> None:
        """For a check that asks these services: NeedError, so that it is skipped, where one of them does not answer."""
        services = (await self.status())["services"]
        bad = [one["name"] for one in services if one["name"] in units and one["state"] != "running"]
        if bad:
            raise NeedError(f"needs the service {bad[0]}, which does not answer")


@dataclass(frozen=True)
class Check:
    """One module of `checks/`, or what a test makes up."""

    id: str
    title: str
    examine: Callable[[Patient], Awaitable[Result]]
    needs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ("basics",)
    seconds: float = SECONDS


@dataclass(frozen=True)
class Outcome:
    """One check's result and how long it took; 0 where it was skipped without being asked."""

    check: Check
    result: Result
    seconds: float = 0.0

    def data(self) -> dict[str, Any]:
        """One entry of `doctor --json`."""
        found = self.result
        return {
            "id": self.check.id,
            "title": self.check.title,
            "status": found.status,
            "summary": found.summary,
            "seen": found.seen,
            "advice": found.advice,
            "seconds": round(self.seconds, 3),
        }


Told = Callable[[Outcome], None]


def all_checks() -> list[Check]:
    return [check_of(name, module) for name, module in registry.checks().items()]


def check_of(name: str, module: ModuleType) -> Check:
    id_ = name.replace("_", "-")
    word, dash, _ = id_.partition("-")
    return Check(
        id=id_,
        title=module.TITLE,
        examine=module.check,
        needs=tuple(getattr(module, "NEEDS", ())),
        groups=tuple(getattr(module, "GROUPS", (word if dash else "basics",))),
        seconds=float(getattr(module, "SECONDS", SECONDS)),
    )


def choose(checks: Sequence[Check], groups: Iterable[str] = (), ids: Iterable[str] = ()) -> list[Check]:
    """The checks of these groups and ids (none named: all but the long ones) and what they need, by id.

    A group may also be an id. Raises SettingsError for unknown names and for checks that need each other.
    """
    known = {check.id: check for check in checks}
    members = {
        group: [one.id for one in checks if group in one.groups] for one in checks for group in one.groups
    }
    wanted: set[str] = set()
    for name in groups:
        wanted |= set(members.get(name) or [_known(name, known, members, "check or group")])
    wanted |= {_known(name, known, {}, "check") for name in ids}
    waiting = list(wanted or (check.id for check in checks if LONG not in check.groups))
    chosen: dict[str, Check] = {}
    while waiting:
        check = known[waiting.pop()]
        if check.id not in chosen:
            chosen[check.id] = check
            waiting += [_known(need, known, {}, "check") for need in check.needs]
    try:
        TopologicalSorter({id_: check.needs for id_, check in chosen.items()}).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        message = f"checks need each other in a circle: {circle}"
        raise SettingsError(message, "this is a defect; please report it") from None
    return [chosen[id_] for id_ in sorted(chosen)]


def _known(name: str, checks: dict[str, Check], groups: dict[str, list[str]], what: str) -> str:
    if name in checks:
        return name
    names = sorted({*checks, *groups})
    raise SettingsError(
        f"there is no {what} {name!r}", nearest(name, names) or f"there are: {', '.join(names)}"
    )


async def examine(patient: Patient, checks: Sequence[Check], told: Told | None = None) -> list[Outcome]:
    """Run checks (as `choose` gives them) at once, each when what it needs is done; `told` hears of each as it ends."""
    running: dict[str, asyncio.Task[Outcome]] = {}

    async def one(check: Check) -> Outcome:
        missing = [need for need in check.needs if (await running[need]).result.status not in GOOD]
        if missing:
            outcome = Outcome(check, Result("skipped", f"needs {', '.join(missing)}"))
        else:
            began = time.monotonic()
            result = await _bounded(check, patient)
            outcome = Outcome(check, result, time.monotonic() - began)
        if told:
            told(outcome)
        return outcome

    for check in checks:  # none begins before all are in
        running[check.id] = asyncio.ensure_future(one(check))
    try:
        return list(await asyncio.gather(*running.values()))
    finally:
        with suppress(TimeoutError):
            await asyncio.wait_for(patient.close(), TIDY_SECONDS)


async def _bounded(check: Check, patient: Patient) -> Result:
    """The check's result; one that hangs, breaks or gives something else has failed."""
    task = asyncio.ensure_future(check.examine(patient))
    try:
        done, _ = await asyncio.wait({task}, timeout=check.seconds)
        if not done:
            return Result(
                "failed",
                f"this was not done within {check.seconds:g} s",
                advice=f"see whether the machine is very busy, then: samsesh doctor --only {check.id}",
            )
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=TIDY_SECONDS)
    if task.cancelled():
        return _defect(check, "CancelledError")
    error = task.exception()
    if isinstance(error, NeedError):
        return Result("skipped", error.message)
    if isinstance(error, SamseshError):
        return Result("failed", error.message, seen=error.detail, advice=error.hint)
    if error is not None:
        return _defect(check, type(error).__name__, _place(error))
    found: Any = task.result()
    return found if isinstance(found, Result) else _defect(check, type(found).__name__)


def _place(error: BaseException) -> str:
    """Where in our code it happened; never what it says, which may hold secrets."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""


def _defect(check: Check, what: str, where: str = "") -> Result:
    return Result(
        "failed",
        f"this check itself has a defect ({what}), so nothing is known",
        seen=where,
        advice="please report it, with the output of `samsesh version`",
    )


async def aside(work: Callable[[], T]) -> T:
    """Blocking work in a thread that never holds up the end of the program, however long it takes."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type] # there is one where there is no error

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as raised:  # noqa: BLE001 - it is raised where it is waited for
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await answer
