"""When each job takes its turn, and how many at once: one timer for all of them, and a task only for those at work."""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

log = logging.getLogger(__name__)

LANE = 16  # jobs at work at one server: one that hangs keeps nobody else's leave waiting
LONGEST = 30.0  # seconds until the clock is looked at again: a machine may sleep, its clock may be set
CLUMSY = 60.0  # seconds until a job whose turn ended in a defect of ours gets another


@dataclass(slots=True, eq=False)
class Turn:
    """What of a job belongs to the timer."""

    due: float = 0.0
    number: int = 0  # counts up when set: older entries in a heap mean nothing; -1: no turn any more
    task: "asyncio.Task[None] | None" = field(default=None, repr=False)


J = TypeVar("J", bound=Turn)


class Lane(Generic[J]):
    """The jobs that want something of one server."""

    def __init__(self) -> None:
        self.waiting: list[tuple[bool, float, int, int, J]] = []
        self.working = 0
        self.paused_until = 0.0


class Turns(Generic[J]):
    """`lane(job)` says which server it needs, `urgent(job)` whether it goes before others, `work(job)` is its turn."""

    def __init__(
        self,
        clock: Callable[[], float],
        lane: Callable[[J], str],
        urgent: Callable[[J], bool],
        work: Callable[[J], Coroutine[Any, Any, None]],
    ) -> None:
        self._clock = clock
        self._lane = lane
        self._urgent = urgent
        self._work = work
        self._due: list[tuple[float, int, int, J]] = []
        self._order = itertools.count()
        self._lanes: dict[str, Lane[J]] = {}
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def at(self, job: J, when: float) -> None:
        """The next turn of that job, instead of what was set before; after the present one, where it is at work."""
        job.due = when
        job.number += 1
        if job.task is None:
            heapq.heappush(self._due, (when, next(self._order), job.number, job))
            if self._due[0][3] is job:
                self._wake.set()

    def drop(self, job: J) -> None:
        """No turn any more; what is at work is broken off."""
        job.number = -1
        if job.task is not None and job.task is not asyncio.current_task():
            job.task.cancel()

    def pause(self, lane: str, until: float) -> None:
        """That server wants to be left alone for a while."""
        self._lanes[lane].paused_until = max(self._lanes[lane].paused_until, until)

    async def run(self) -> None:
        """Give the turns, until cancelled."""
        while True:
            self._wake.clear()
            now = self._clock()
            while self._due and self._due[0][0] <= now:
                when, order, number, job = heapq.heappop(self._due)
                if number == job.number:
                    waiting = self._lanes.setdefault(self._lane(job), Lane()).waiting
                    heapq.heappush(waiting, (not self._urgent(job), when, order, number, job))
            resumed = [self._start(name, lane, now) for name, lane in list(self._lanes.items())]
            due = [self._due[0][0]] if self._due else []
            pause = min([*due, *(when for when in resumed if when)], default=now + LONGEST) - now
            try:
                async with asyncio.timeout(min(max(pause, 0), LONGEST)):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def stop(self, patience: float) -> None:
        """Nothing new; what is at work gets `patience` seconds to end."""
        self._stopped = True
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _start(self, name: str, lane: Lane[J], now: float) -> float | None:
        """Begin what that lane has room for; when it is to be looked at again, if it waits for its server."""
        while lane.waiting and lane.working < LANE and not self._stopped:
            if lane.paused_until > now:
                return lane.paused_until
            *_, number, job = heapq.heappop(lane.waiting)
            if number == job.number:
                lane.working += 1
                job.task = asyncio.create_task(self._work(job))
                self._tasks.add(job.task)
                job.task.add_done_callback(partial(self._done, lane, job, number))
        if not lane.waiting and not lane.working and lane.paused_until <= now:
            del self._lanes[name]
        return None

    def _done(self, lane: Lane[J], job: J, number: int, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        lane.working -= 1
        job.task = None
        self._wake.set()
        if job.number < 0:
            return
        if job.number == number:  # nobody said when the next turn is
            error = None if task.cancelled() else task.exception()
            log.error("delayed leaves: a defect, the job goes on later", exc_info=error)
            job.due = self._clock() + CLUMSY
        if not self._stopped:
            self.at(job, job.due)
