"""A world for delegated leaves: LiveKit and a homeserver as their clients see them, and time that passes in no time."""

import asyncio
import selectors
from collections.abc import Collection, Coroutine
from typing import Any, TypeVar

from samsesh.rtc.leave import Answer, Leave, Leaves
from samsesh.rtc.store import Loaded, MemoryStore, Rows, Store

T = TypeVar("T")
BEGIN = 1_800_000_000.0
ROOM = "room"
JOINED, LEFT, ABORTED = "participant_joined", "participant_left", "participant_connection_aborted"


class Jumping(selectors.DefaultSelector):
    """Never waits: time jumps to what is next."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        assert found or timeout is not None, "nothing will ever happen"
        if not found:
            self.now += timeout or 0
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.jumping = Jumping()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now


def virtually(main: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class DictStore(MemoryStore):
    """Outlives an engine, as a file does."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}

    async def load(self) -> Loaded:
        return Loaded(dict(self.rows))

    async def write(self, rows: Rows, fresh: Collection[str]) -> set[str]:
        for key, row in rows.items():
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        return set()


class World:
    """Who is in LiveKit, and a homeserver whose timers run out; everything that is asked of them is noted."""

    def __init__(self, store: Store | None = None) -> None:
        self.store = store or DictStore()
        self.there: set[str] = set()
        self.livekit = True
        self.homeserver = True
        self.slow = 0.0  # seconds that each answer takes
        self.answers: list[Answer] = []  # given before anything else
        self.timers: dict[str, tuple[float, float]] = {}  # delay ID: timeout, when it runs out
        self.said: list[tuple[float, str, str]] = []  # seconds from the beginning; what; delay ID or identity
        self.sent: list[tuple[float, str]] = []  # what the homeserver sent because we said so
        self.fired: list[tuple[float, str]] = []  # what it sent because nobody said anything
        self.interval = 0.0
        self.leaves = self.engine()

    def engine(self) -> Leaves:
        return Leaves(self.store, self.participants, self.post, self.clock, self.interval)

    def clock(self) -> float:
        return BEGIN + asyncio.get_running_loop().time()

    def now(self) -> float:
        return round(self.clock() - BEGIN, 3)

    async def participants(self, room: str, identity: str) -> bool:
        self.said.append((self.now(), "ask", identity))
        await asyncio.sleep(self.slow)
        if not self.livekit:
            raise OSError("LiveKit is away")
        return identity in self.there

    async def post(self, cs_api_url: str, path: str, job: str) -> Answer:
        *_, delay_id, action = path.split("/")
        self.said.append((self.now(), action, delay_id))
        await asyncio.sleep(self.slow)
        if self.answers:
            return self.answers.pop(0)
        if not self.homeserver:
            raise OSError("the homeserver is away")
        self.run_out(delay_id)
        if delay_id not in self.timers:
            return Answer(404, None)
        if action == "send":
            del self.timers[delay_id]
            self.sent.append((self.now(), delay_id))
        else:
            timeout, _ = self.timers[delay_id]
            self.timers[delay_id] = (timeout, self.clock() + timeout)
        return Answer(200, None)

    def run_out(self, *delay_ids: str) -> None:
        """What the homeserver's own timers do meanwhile, all of them or these."""
        for delay_id in delay_ids or list(self.timers):
            _, end = self.timers.get(delay_id, (0, float("inf")))
            if end <= self.clock():
                del self.timers[delay_id]
                self.fired.append((round(end - BEGIN, 3), delay_id))

    async def add(
        self, identity: str = "alice", delay_id: str = "d1", timeout: float = 100, user: str = ""
    ) -> None:
        self.timers[delay_id] = (timeout, self.clock() + timeout)
        leave = Leave(ROOM, identity, "https://hs", delay_id, timeout, user or f"@{identity}:hs")
        await self.leaves.add(leave)

    async def event(self, kind: str, identity: str = "alice") -> None:
        await self.leaves.event(kind, ROOM, identity)
        await asyncio.sleep(0.001)

    async def restart(self) -> None:
        await self.leaves.stop()
        self.leaves = self.engine()
        await self.leaves.start()

    def what(self, *kinds: str) -> list[tuple[float, str]]:
        """(second, kind) of what was asked of the homeserver, or of these kinds."""
        return [(at, kind) for at, kind, _ in self.said if kind in (kinds or ("restart", "send"))]
