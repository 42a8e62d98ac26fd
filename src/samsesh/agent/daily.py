"""What the agent does once a day: a command, in a process of its own, which writes a file whenever it succeeds."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

from samsesh.agent.jobs import say
from samsesh.run import Process, spawn

DAY, HOUR = 24 * 3600, 3600
FIRST = 600  # seconds after the agent's start: others start then, too
LOG = Path("/dev/stderr")  # the agent's own


@dataclass
class Daily:
    """`name` for people. It is due a day after `stamp` was written last, and an hour after a try that failed."""

    name: str
    command: list[str]
    stamp: Path
    _next: float = field(default_factory=lambda: time.monotonic() + FIRST)
    _process: Process | None = None

    def look(self) -> None:
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._process = None
            if code:
                say(f"{self.name} failed: it is tried again in an hour", "ERROR")
        if time.monotonic() >= self._next and self._age() >= DAY:
            self._next = time.monotonic() + HOUR
            self._process = spawn(self.command, log=LOG)

    def _age(self) -> float:
        try:
            return time.time() - self.stamp.stat().st_mtime
        except OSError:
            return math.inf
