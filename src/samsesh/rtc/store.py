"""Where delegated leaves are kept over a restart: Redis, an SQLite file, or nowhere.

A store knows rows of text by key and nothing of what they say. Whatever goes wrong in one is a SamseshError.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeVar

from samsesh.errors import SamseshError
from samsesh.write import write_file

T = TypeVar("T")
Rows = Mapping[str, str | None]  # by key; None deletes

PATIENCE = 5.0  # seconds that a disk may take


@dataclass(frozen=True)
class Loaded:
    """Rows that became ours. `lapsed`: others may have taken or lost what was ours, write all of it again.

    `news`: what happened to them while nobody had them, as `Store.news` tells it.
    """

    rows: dict[str, str] = field(default_factory=dict)
    lapsed: bool = False
    news: list[tuple[str, str]] = field(default_factory=list)


class Store(Protocol):
    lease: float  # seconds that others leave our rows alone after a `load`; 0: nobody shares this store

    async def load(self) -> Loaded:
        """Take the rows that nobody owns."""

    async def write(self, rows: Rows, fresh: Collection[str]) -> set[str]:
        """Write rows of ours; `fresh` are taken from whoever has them. Returns the keys that are another's."""

    async def mine(self, key: str) -> bool:
        """Whether no other process owns that row."""

    async def tell(self, key: str, what: str) -> None:
        """Pass on what happened to the process that owns that row, if there is one."""

    def news(self) -> AsyncIterator[tuple[str, str]]:
        """What others tell, as (key, what); "replaced" when one of them took that row with `fresh`."""

    async def close(self) -> None:
        """Let others have the rows. They stay kept."""


class MemoryStore:
    """Keeps nothing: the engine has its jobs in memory anyway."""

    lease = 0.0

    async def load(self) -> Loaded:
        return Loaded()

    async def write(self, rows: Rows, fresh: Collection[str]) -> set[str]:
        return set()

    async def mine(self, key: str) -> bool:
        return True

    async def tell(self, key: str, what: str) -> None:
        pass

    async def news(self) -> AsyncIterator[tuple[str, str]]:
        return
        yield  # an iterator, of nothing

    async def close(self) -> None:
        pass


class SqliteStore(MemoryStore):
    """A file for one process, which holds its lock as long as it lives: nothing has to expire after a kill.

    A power failure may take the last moments; the homeserver then sends those leaves itself.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db: sqlite3.Connection | None = None
        self._loaded = False
        self._thread = ThreadPoolExecutor(1, "leaves")  # a slow disk stops nobody else

    async def load(self) -> Loaded:
        if self._loaded:
            return Loaded()
        rows = await self._do(lambda db: db.execute("SELECT key, row FROM leaves").fetchall())
        self._loaded = True
        return Loaded(dict(rows))

    async def write(self, rows: Rows, fresh: Collection[str]) -> set[str]:
        gone = [(key,) for key, row in rows.items() if row is None]
        kept = [(key, row) for key, row in rows.items() if row is not None]

        def save(db: sqlite3.Connection) -> None:
            db.execute("BEGIN IMMEDIATE")
            db.executemany("DELETE FROM leaves WHERE key = ?", gone)
            db.executemany("INSERT OR REPLACE INTO leaves VALUES (?, ?)", kept)
            db.execute("COMMIT")

        await self._do(save)
        return set()

    async def close(self) -> None:
        try:
            await self._in_thread(self._forget)
        finally:
            self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def attempt() -> T:
            try:
                if self._db is None:
                    self._db = self._open()
                return work(self._db)
            except BaseException:
                self._forget()
                raise

        return await self._in_thread(attempt)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.wait_for(asyncio.wrap_future(self._thread.submit(work)), PATIENCE)
        except TimeoutError:
            raise SamseshError(f"{self._path} takes longer than {PATIENCE:.0f} s", "check the disk") from None
        except sqlite3.Error as error:
            raise SamseshError(
                f"cannot use {self._path}: {error}",
                "make room on the disk, stop a second service that uses the file, or delete it if it is broken",
            ) from error

    def _open(self) -> sqlite3.Connection:
        if not self._path.exists():
            write_file(self._path, b"")  # 0600 and its folder 0700; whoever knows a delay ID can use it
        db = sqlite3.connect(self._path, timeout=1, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("CREATE TABLE IF NOT EXISTS leaves (key TEXT PRIMARY KEY, row TEXT NOT NULL)")
        except BaseException:
            db.close()
            raise
        return db

    def _forget(self) -> None:
        if self._db is not None:
            db, self._db = self._db, None
            db.close()


def open_store(redis_url: str = "", path: Path | None = None) -> Store:
    """Redis where it is given, else the SQLite file, else memory. Connects to nothing yet."""
    if redis_url:
        from samsesh.rtc.redis_store import RedisStore  # the package takes a while to load

        return RedisStore(redis_url)
    return SqliteStore(path) if path else MemoryStore()
