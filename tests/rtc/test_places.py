"""How many requests to homeservers of strangers are under way at a time."""

import asyncio
import resource
import ssl
import time
from collections.abc import Iterator

import pytest
from aiohttp import ClientSession, ClientTimeout

from samsesh.rtc.config import Config
from samsesh.rtc.fetch import session_for_strangers

CONFIG = Config("key", "secret", "ws://localhost", "http://localhost", ("*",), insecure=True)
SLOW = 1.0  # seconds that an answer takes


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """As the service has it: a connection is a file."""
    usual, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (usual, most))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """`/slow` after a while, `/never` not at all, anything else at once."""
    path = (await reader.readuntil(b"\r\n\r\n")).split()[1]
    if path == b"/never":
        await reader.read()
    elif path == b"/slow":
        await asyncio.sleep(SLOW)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    writer.close()


async def status(session: ClientSession, url: str, seconds: float = 30) -> int:
    async with session.get(url, timeout=ClientTimeout(total=seconds)) as found:
        return found.status


def test_a_slow_homeserver_answers_all_who_ask() -> None:
    """Many people of one homeserver come at the same time, and it is slow: they wait for it, not for each other."""

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", backlog=1000)
        port = server.sockets[0].getsockname()[1]
        async with server, session_for_strangers(CONFIG, ssl.create_default_context()) as session:
            began = time.monotonic()
            asked = [status(session, f"http://127.0.0.1:{port}/slow") for _ in range(400)]
            assert set(await asyncio.gather(*asked)) == {200}
            assert time.monotonic() - began < 4 * SLOW

    asyncio.run(main())


def test_slow_homeservers_leave_others_their_places() -> None:
    """However many requests many homeservers leave hanging, another one is asked at once."""

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", backlog=1000)
        port = server.sockets[0].getsockname()[1]
        servers = [
            await asyncio.start_server(answer, f"127.0.1.{n}", port, backlog=100) for n in range(1, 26)
        ]
        async with session_for_strangers(CONFIG, ssl.create_default_context()) as session:
            hanging = [
                asyncio.create_task(status(session, f"http://127.0.1.{n}:{port}/never"))
                for n in range(1, 26)
                for _ in range(50)
            ]
            await asyncio.sleep(2)
            assert await status(session, f"http://127.0.0.1:{port}/", 5) == 200
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
        for one in (server, *servers):
            one.close()

    asyncio.run(main())
