"""What the doctor's checks look at, and what they find, as data.

A check is a module in `checks/`: `TITLE` for people, `NEEDS` (ids of checks that must be ok or it is skipped), and
`async def check(patient) -> Result`. Its id is its file's name with `-` for `_`; the word before the first `-` is its
group.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from samsesh.ops.server import Server

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True)
class Result:
    """What one check found: `summary` in one sentence, `seen` what was tried and seen, `advice` what to do."""

    status: Status
    summary: str
    seen: str = ""
    advice: str = ""


@dataclass
class Patient:
    """One server under examination, and what checks learn once for all of them."""

    server: Server
    _learnt: dict[str, "asyncio.Task[Any]"] = field(default_factory=dict)

    async def once(self, key: str, learn: Callable[[], Awaitable[Any]]) -> Any:
        """What `learn` gives, asked once however many checks want it; its error is raised in all of them."""
        if key not in self._learnt:
            self._learnt[key] = asyncio.ensure_future(learn())
        return await self._learnt[key]
