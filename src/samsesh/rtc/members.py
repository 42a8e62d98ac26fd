"""Who is joined to a room: asked of our module in the homeserver (synapse_module/members.py), over one connection."""

import asyncio
import errno
import json
from typing import Any

from samsesh.rtc.fetch import why

SECONDS = 5.0  # for an answer
LONGEST_ROOM = 255  # bytes (Matrix spec, Room IDs)


class UnansweredError(Exception):
    """The homeserver did not say; `reason` is for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Members:
    """Asks at the unix socket `path`. No answer is kept: who was put out of a room is out at once."""

    def __init__(self, path: str, key: str) -> None:
        self._path = path
        self._key = key
        self._link: _Link | None = None
        self._connecting = asyncio.Lock()

    async def joined(self, room: str, user: str) -> bool:
        """Whether the user is joined to the room, of whatever server they are; UnansweredError if nobody knows."""
        if len(room.encode("utf-8", "replace")) > LONGEST_ROOM or "\0" in room:
            return False  # no room's ID
        try:
            async with asyncio.timeout(SECONDS):
                link = self._link
                if link is None or link.closed:
                    link = await self._connect()
                joined = await link.ask(room, user)
        except (OSError, TimeoutError) as error:
            raise UnansweredError(f"who is in a room is not answered: {why(error)}") from None
        if joined is None:
            raise UnansweredError("the homeserver does not know who is in the room")
        return joined

    async def check(self) -> str:
        """Why questions are not answered; nothing if they are."""
        try:
            await self.joined("!nowhere", "@nobody:nowhere")
        except UnansweredError as error:
            return error.reason
        return ""

    async def _connect(self) -> "_Link":
        async with self._connecting:
            if self._link is None or self._link.closed:
                loop = asyncio.get_running_loop()
                _, self._link = await loop.create_unix_connection(lambda: _Link(self._key), self._path)
            return self._link

    def close(self) -> None:
        if self._link:
            self._link.close()


class _Link(asyncio.Protocol):
    """One connection. Questions that come together are sent together; answers come in any order."""

    def __init__(self, key: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._unsent = [key.encode()]
        self._waiting: dict[int, asyncio.Future[bool | None]] = {}
        self._number = 0
        self._rest = b""

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    async def ask(self, room: str, user: str) -> bool | None:
        self._number += 1
        number = self._number
        answer: asyncio.Future[bool | None] = self._loop.create_future()
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(json.dumps({"id": number, "room": room, "user": user}).encode())
        self._waiting[number] = answer
        try:
            return await answer
        finally:
            self._waiting.pop(number, None)

    def _send(self) -> None:
        if self._transport:
            self._transport.write(b"\n".join([*self._unsent, b""]))
            self._unsent.clear()

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: Any) -> None:  # uvloop's are none of asyncio's
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            found = json.loads(line)
            answer = self._waiting.get(found["id"])  # nobody waits for one that comes late
            if answer and not answer.done():
                answer.set_result(found["joined"])

    def connection_lost(self, error: Exception | None) -> None:
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError(errno.ECONNRESET, "the connection ended"))
