"""The splitter's life: listen, lead each client to its program, and end with time for those who are connected.

Configuration (JSON): {"socket": PATH, "listen": [[HOST, PORT]...], "gateway": PATH, "turn": [HOST, PORT]}.
Answers GET on its socket with 200 once it listens.
"""

import asyncio
import errno
import json
import resource
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from samsesh.errors import SamseshError, SettingsError
from samsesh.splitter.links import Client, Places

MOST = 4000  # connections at once, each of two descriptors and 128 KiB in the worst case
SPARE = 64  # descriptors for all else
BACKLOG = 1024
CONNECT_SECONDS = 5.0
FREE_SECONDS = 60.0  # for the port
LEAVING_SECONDS = 5.0  # for who is connected when it ends; the gateway has the same
READY = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nready"


@dataclass(frozen=True)
class Config:
    """Where it listens, and where it leads. `socket`: where it says that it is ready."""

    socket: Path
    listen: tuple[tuple[str, int], ...]
    gateway: Path
    turn: tuple[str, int]


def read(path: Path) -> Config:
    """Raises SettingsError."""
    try:
        data = json.loads(path.read_bytes())
        listen = tuple((str(host), int(port)) for host, port in data["listen"])
        host, port = data["turn"]
        return Config(Path(data["socket"]), listen, Path(data["gateway"]), (str(host), int(port)))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path} does not tell the splitter what to do: {error}", "`samsesh up` writes it anew"
        ) from None


async def serve(config: Config) -> None:
    """Until SIGTERM or SIGINT."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    places = Places(_connections())

    async def connect(kind: str, end: asyncio.Protocol) -> None:
        async with asyncio.timeout(CONNECT_SECONDS):
            if kind == "stun":
                await loop.create_connection(lambda: end, *config.turn)
            else:
                await loop.create_unix_connection(lambda: end, str(config.gateway))

    listening = [await _listen(lambda: Client(places, connect), *place) for place in config.listen]
    config.socket.unlink(missing_ok=True)
    listening.append(await asyncio.start_unix_server(_ready, str(config.socket)))
    say("ready")
    await stop.wait()
    for server in listening:
        server.close()
    end = time.monotonic() + LEAVING_SECONDS
    while places.clients and time.monotonic() < end:
        await asyncio.sleep(0.1)
    for client in list(places.clients):
        if client.transport:
            client.transport.abort()


def _connections() -> int:
    """How many there can be. Containers may begin with few descriptors, and may have more."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MOST + SPARE
    descriptors = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    return (descriptors - SPARE) // 2


async def _listen(make: Callable[[], Client], host: str, port: int) -> asyncio.Server:
    """Where the gateway answers a certificate authority's question, it has the port for a moment."""
    loop, end = asyncio.get_running_loop(), time.monotonic() + FREE_SECONDS
    while True:
        try:
            return await loop.create_server(make, host, port, backlog=BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise SamseshError(
                    f"port {port} at {host} cannot be had: {error.strerror}",
                    f"see who has it: ss -ltnp 'sport = {port}'",
                ) from None
        await asyncio.sleep(0.2)


async def _ready(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await reader.readline()
        writer.write(READY)
        await writer.drain()
    except (OSError, TimeoutError, ValueError):
        pass  # who asked is gone, or asked for something strange
    finally:
        writer.close()


def say(text: str) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    sys.stderr.write(f"{stamp} [splitter] {text}\n")
    sys.stderr.flush()
