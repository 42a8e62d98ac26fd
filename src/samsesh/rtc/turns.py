"""When each job takes its turn, and how many at once: one timer for all of them, and a task only for those at work."""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

log = logging.getLogger(__name__)

PLACES = 16  # jobs at work in a lane: a server that hangs keeps nobody else's leave waiting
SPARE = 8  # of them only for those that go first
EACH = 4  # jobs of one owner at work, of each kind: nobody has all the places
LONGEST = 30.0  # seconds until the clock is looked at again: a machine may sleep, its clock may be set
CLUMSY = 60.0  # seconds until a job whose turn ended in a defect of ours gets another


class Place(NamedTuple):
    """Where a job waits: `lane` is one server's, `first` goes before the others there, `owner` is whose it is."""

    lane: Hashable
    owner: str
    first: bool


@dataclass(slots=True, eq=False)
class Turn:
    """The next turn of a job, and the one that it is taking."""

    due: float = 0.0
    number: int = 0  # counts up when set: older entries in a heap mean nothing; -1: no turn any more
    task: "asyncio.Task[None] | None" = None


J = TypeVar("J", bound=Hashable)


class Entry(NamedTuple, Generic[J]):
    """A turn as it waits in a heap; `order` is never twice the same."""

    due: float
    order: int
    number: int
    turn: Turn
    job: J


class Queue(Generic[J]):
    """The owners one after the other, however many jobs one of them has; of one owner what is due first."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Entry[J]]] = {}
        self._of: dict[str, int] = {}  # how many jobs of that owner are at work
        self.working = 0

    def __bool__(self) -> bool:
        return bool(self._waiting or self.working)

    def push(self, owner: str, entry: Entry[J]) -> None:
        heapq.heappush(self._waiting.setdefault(owner, []), entry)

    def pop(self) -> tuple[str, Entry[J]] | None:
        owner = next((name for name in self._waiting if self._of.get(name, 0) < EACH), None)
        if owner is None:
            return None
        entries = self._waiting.pop(owner)
        entry = heapq.heappop(entries)
        if entries:
            self._waiting[owner] = entries  # at the end
        return owner, entry

    def begun(self, owner: str) -> None:
        self.working += 1
        self._of[owner] = self._of.get(owner, 0) + 1

    def done(self, owner: str) -> None:
        self.working -= 1
        self._of[owner] -= 1
        if not self._of[owner]:
            del self._of[owner]


class Lane(Generic[J]):
    """The jobs that want something of one server."""

    def __init__(self) -> None:
        self.first: Queue[J] = Queue()
        self.others: Queue[J] = Queue()
        self.paused_until = 0.0

    def next(self) -> tuple[Queue[J], str, Entry[J]] | None:
        """What may begin now."""
        if self.first.working + self.others.working >= PLACES:
            return None
        if popped := self.first.pop():
            return self.first, *popped
        if self.others.working < PLACES - SPARE and (popped := self.others.pop()):
            return self.others, *popped
        return None


class Turns(Generic[J]):
    """`place(job)` says where a job waits, `work(job)` is its turn."""

    def __init__(
        self,
        clock: Callable[[], float],
        place: Callable[[J], Place],
        work: Callable[[J], Coroutine[Any, Any, None]],
    ) -> None:
        self._clock = clock
        self._place = place
        self._work = work
        self._turns: dict[J, Turn] = {}
        self._due: list[Entry[J]] = []
        self._order = itertools.count()
        self._lanes: dict[Hashable, Lane[J]] = {}
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def at(self, job: J, when: float) -> None:
        """The next turn of that job, instead of what was set before; after the present one, where it is at work."""
        turn = self._turns.setdefault(job, Turn())
        turn.due = when
        turn.number += 1
        if turn.task is None:
            heapq.heappush(self._due, Entry(when, next(self._order), turn.number, turn, job))
            if self._due[0].turn is turn:
                self._wake.set()

    def drop(self, job: J) -> None:
        """No turn any more; what is at work is broken off."""
        if turn := self._turns.pop(job, None):
            turn.number = -1
            if turn.task is not None and turn.task is not asyncio.current_task():
                turn.task.cancel()

    def pause(self, job: J, until: float) -> None:
        """The server that this job needs wants to be left alone for a while."""
        lane = self._lanes[self._place(job).lane]
        lane.paused_until = max(lane.paused_until, until)

    async def run(self) -> None:
        """Give the turns, until cancelled."""
        while True:
            self._wake.clear()
            now = self._clock()
            while self._due and self._due[0].due <= now:
                entry = heapq.heappop(self._due)
                if entry.number == entry.turn.number:
                    place = self._place(entry.job)
                    lane = self._lanes.setdefault(place.lane, Lane())
                    (lane.first if place.first else lane.others).push(place.owner, entry)
            resumed = [self._start(name, lane, now) for name, lane in list(self._lanes.items())]
            due = [self._due[0].due] if self._due else []
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

    def _start(self, name: Hashable, lane: Lane[J], now: float) -> float | None:
        """Begin what that lane has room for; when it is to be looked at again, if it waits for its server."""
        if lane.paused_until > now:
            return lane.paused_until
        while not self._stopped and (picked := lane.next()):
            queue, owner, entry = picked
            if entry.number == entry.turn.number:
                queue.begun(owner)
                task = entry.turn.task = asyncio.create_task(self._work(entry.job))
                self._tasks.add(task)
                task.add_done_callback(partial(self._done, queue, owner, entry))
        if not lane.first and not lane.others:
            del self._lanes[name]
        return None

    def _done(self, queue: Queue[J], owner: str, entry: Entry[J], task: "asyncio.Task[None]") -> None:
        turn = entry.turn
        self._tasks.discard(task)
        queue.done(owner)
        turn.task = None
        self._wake.set()
        if turn.number < 0:
            return
        if turn.number == entry.number:  # nobody said when the next turn is
            error = None if task.cancelled() else task.exception()
            log.error("delayed leaves: a defect, the job goes on later", exc_info=error)
            turn.due = self._clock() + CLUMSY
        if not self._stopped:
            self.at(entry.job, turn.due)
