"""Connections in pairs: a client, and the program that it came for. Each gets what the other sends, as it can take it."""

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from samsesh.splitter.first_bytes import kind, proxy_line

FIRST_SECONDS = 5.0  # for the first bytes of a client; any program that means it sends them at once
CHUNK = 64 * 1024  # bytes read at once
WAITING = 64 * 1024  # bytes that may wait for a slow receiver; a chunk more, and its sender has to wait
REST_SECONDS = 30.0  # for a receiver to take what waits for it when its sender is gone
# A client that disappeared without a word is found out within 2 minutes: the programs behind us see us, not it.
KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))

Connect = Callable[[str, asyncio.Protocol], Awaitable[None]]


class End(asyncio.Protocol):
    """One end of a pair. Without an `other`, it is not connected yet, or not any more."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: End | None = None
        self.ended = False  # it has sent all that it will

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.max_size = CHUNK  # type: ignore[attr-defined]  # of asyncio's own transports
        transport.set_write_buffer_limits(WAITING)

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        """Half of the connection goes on until the other end has said all, too."""
        self.ended = True
        if not (self.other and self.other.transport) or self.other.ended:
            return False
        self.other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        other, self.other = self.other, None
        if other and other.transport:
            if error:
                other.transport.abort()
                return
            other.transport.close()  # what waits for it is sent first
            if other.transport.get_write_buffer_size():
                asyncio.get_running_loop().call_later(REST_SECONDS, other.transport.abort)


@dataclass
class Places:
    """Who is connected. `most`: so many at once, of which one address has a quarter at most."""

    most: int
    clients: "set[Client]" = field(default_factory=set)
    of_address: Counter[str] = field(default_factory=Counter)

    def take(self, client: "Client") -> bool:
        if len(self.clients) >= self.most or self.of_address[client.address] >= self.most // 4:
            return False
        self.clients.add(client)
        self.of_address[client.address] += 1
        return True

    def give_back(self, client: "Client") -> None:
        if client in self.clients:
            self.clients.remove(client)
            self.of_address[client.address] -= 1
            if not self.of_address[client.address]:
                del self.of_address[client.address]


class Client(End):
    """Who connected. `connect`: leads an end to the program for a kind."""

    def __init__(self, places: Places, connect: Connect) -> None:
        super().__init__()
        self.places, self.connect = places, connect
        self.address = ""
        self.head = b""
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport
        link = transport.get_extra_info("socket")
        self.address = str((transport.get_extra_info("peername") or ("",))[0])  # none: it is gone already
        if not self.address or not self.places.take(self):
            self.transport.abort()
            return
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            link.setsockopt(socket.IPPROTO_TCP, option, value)
        self.timer = asyncio.get_running_loop().call_later(FIRST_SECONDS, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        if self.other:
            super().data_received(data)
            return
        self.head += data
        if (found := kind(self.head)) and self.transport and self.timer:
            self.timer.cancel()
            self.transport.pause_reading()
            self.task = asyncio.ensure_future(self.lead(found))

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.places.give_back(self)
        if self.timer:
            self.timer.cancel()
        if self.task:
            self.task.cancel()

    async def lead(self, found: str) -> None:
        """To the program for what it speaks. Where that is not there, the connection ends as if nobody listened."""
        end = End()
        try:
            await self.connect(found, end)
        except OSError:
            if self.transport:
                self.transport.abort()
            return
        if not self.transport or not end.transport:
            if end.transport:
                end.transport.abort()
            return
        self.other, end.other = end, self
        if found != "stun":
            peer, own = (self.transport.get_extra_info(name)[:2] for name in ("peername", "sockname"))
            end.transport.write(proxy_line(peer, own))
        end.transport.write(self.head)
        self.head = b""
        self.transport.resume_reading()
