"""What every engine can do: make reality match a plan, and tell of it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol

from samsesh.errors import SamseshError
from samsesh.judging import Judged
from samsesh.model import Judge, Plan, Unit
from samsesh.run import Process

Say = Callable[[str], None]


@dataclass(frozen=True)
class Applied:
    """What came of applying a plan: units that failed and can be spared, and the process manager if in the foreground."""

    failed: Mapping[str, SamseshError] = field(default_factory=dict)
    manager: Process | None = None


@dataclass(frozen=True)
class Change:
    """What applying a plan will do to one unit: "start", "restart", "stop" or "keep", and why."""

    unit: str
    action: str
    why: str = ""


@dataclass(frozen=True)
class Seen:
    """One unit as it is: `state` is "running", "starting", "failing" or "stopped". Bytes and seconds; None: unknown."""

    state: str
    reason: str = ""
    pid: int | None = None
    uptime: int | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Entry:
    """One line of a service's log; `stamp` is when (UTC, `2026-01-31 12:00:00`), empty where it does not say.

    `goes_on`: it belongs to the record before it.
    """

    stamp: str
    service: str
    line: str
    goes_on: bool = False


# Path, size and content of one file; content None: something that is there, and could not be followed or read.
KeptFile = tuple[str, int, IO[bytes] | None]


class Engine(Protocol):
    """An engine of one home."""

    @property
    def name(self) -> str: ...
    def usable(self) -> None: ...  # raises with what is wrong where it cannot be used here
    def changes(self, plan: Plan) -> list[Change]: ...  # what `apply` would do
    def changed_files(self, plan: Plan) -> list[Path]: ...  # which files it would write
    # of a plan whose files are to be judged
    def judge(self, plan: Plan, unit: Unit, judge: Judge, say: Say) -> Judged: ...
    def apply(self, plan: Plan, say: Say, *, foreground: bool = False) -> Applied: ...
    def stop(self, say: Say) -> None: ...  # afterwards nothing of this home runs
    def erase(self, say: Say) -> None: ...  # stop, and delete what is kept outside the home
    def running(self) -> bool: ...
    def leftovers(self) -> list[int]: ...  # pids of this home
    def published(
        self,
    ) -> list[tuple[str, str, int]] | None: ...  # (protocol, address, port); None: by its processes
    def disks(self) -> list[Path]: ...  # where data is beside the home
    def restart(self, plan: Plan, names: list[str], say: Say) -> None: ...
    def look(self, plan: Plan) -> dict[str, Seen]: ...  # every unit as it is
    def on_host(self, path: Path) -> Path: ...  # where this program finds a file or socket of the plan
    def reach(self, plan: Plan, unit: str) -> str: ...  # `host:port` at which this program finds a unit
    def logged(self) -> list[str]: ...  # services that have a log
    def log(self, service: str, count: int, since: datetime | None) -> list[Entry]: ...
    def follow(self, services: list[str]) -> Iterator[Entry]: ...
    def postgres_tool(
        self, plan: Plan, tool: str
    ) -> tuple[list[str], dict[str, str]]: ...  # command, environment
    def read_kept(self, unit: str, path: Path) -> bytes | None: ...  # a file below a unit's data folder
    def databases(self) -> dict[str, str] | None: ...  # folder -> PostgreSQL that made it; None: who knows
    # every file of a folder below a unit's data
    def files_of(
        self, plan: Plan, unit: str, below: str = ""
    ) -> AbstractContextManager[Iterator[KeptFile]]: ...
    def take_files(
        self, plan: Plan, unit: str, below: str, folder: Path
    ) -> None: ...  # of `folder`, which goes
    def discard(self, say: Say) -> None: ...  # stop, and delete the services' data
    def sizes(self) -> tuple[int, int]: ...  # bytes of media and of the database
    # image -> the digest that it was pulled as; empty where it was not
    def image_digests(self, plan: Plan) -> dict[str, str]: ...
