"""Writes jobs to their store behind the engine's back, so that a slow or dead store stops nothing but the writing."""

import asyncio
import logging
from collections.abc import Callable
from itertools import islice

from samsesh.errors import SamseshError
from samsesh.rtc.store import Store

log = logging.getLogger(__name__)

BATCH = 500  # rows written at a time
SETTLED = 3.0  # seconds that somebody waits for a row to be kept
RETRY = (0.5, 10.0)  # seconds between attempts: the first, the longest


class Kept:
    """`lost(key)` is called for rows that turn out to be another process's."""

    def __init__(self, store: Store, lost: Callable[[str], None]) -> None:
        self._store = store
        self._lost = lost
        self._pending: dict[str, str | None] = {}  # None: to be deleted
        self._fresh: set[str] = set()
        self._wake = asyncio.Event()
        self._attempted = asyncio.Event()  # set at the end of each attempt, and renewed
        self._troubles: dict[str, str] = {}

    @property
    def trouble(self) -> str:
        """Why jobs may be lost, else ""."""
        return next(iter(self._troubles.values()), "")

    def fails(self, what: str) -> bool:
        return what in self._troubles

    def trouble_with(self, what: str, error: SamseshError | None) -> None:
        """Note that loading, writing ... failed, or works again."""
        if error is None:
            if self._troubles.pop(what, None):
                log.info("delayed leaves: %s works again", what)
            return
        if what not in self._troubles:
            log.warning("delayed leaves: %s fails, going on in memory: %s (%s)", what, error, error.hint)
        self._troubles[what] = str(error)

    def put(self, key: str, row: str | None, *, fresh: bool = False) -> None:
        """Keep a row; None deletes it. `fresh`: it replaces another process's."""
        self._pending[key] = row
        if fresh:
            self._fresh.add(key)
        self._wake.set()

    def pending(self, key: str) -> bool:
        """Whether we know better than the store."""
        return key in self._pending

    def fresh(self, key: str) -> bool:
        return key in self._fresh

    async def settled(self, key: str) -> None:
        """Wait until what was put has been written; not for long, and not where writing fails anyway."""
        try:
            async with asyncio.timeout(SETTLED):
                while key in self._pending and "writing" not in self._troubles:
                    await self._attempted.wait()
        except TimeoutError:
            pass

    async def run(self) -> None:
        """Write what comes, until cancelled."""
        pause = RETRY[0]
        while True:
            await self._wake.wait()
            self._wake.clear()
            if await self.attempt():
                pause = RETRY[0]
            else:
                await asyncio.sleep(pause)
                pause = min(pause * 2, RETRY[1])
            if self._pending:
                self._wake.set()

    async def attempt(self) -> bool:
        """Write a batch; whether the store took it."""
        batch = dict(islice(self._pending.items(), BATCH))
        try:
            lost = await self._store.write(batch, self._fresh & batch.keys())
        except SamseshError as error:
            self.trouble_with("writing", error)
            return False
        finally:
            self._attempted.set()
            self._attempted = asyncio.Event()
        self.trouble_with("writing", None)
        for key, row in batch.items():
            if key in self._pending and self._pending[key] == row:
                del self._pending[key]
                self._fresh.discard(key)
                if key in lost:
                    self._lost(key)
        return True

    async def flush(self) -> None:
        """Write what is left, at the end; gives up where the store fails."""
        while self._pending and await self.attempt():
            pass
