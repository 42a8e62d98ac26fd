"""LiveKit's own doors: rooms with the key, `/rtc/validate` and the signalling WebSocket with a token, its version."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import aiohttp

from samsesh.errors import SamseshError

if TYPE_CHECKING:
    from livekit.api.room_service import RoomService

SECONDS = 6.0


class SfuError(SamseshError):
    """LiveKit or the way to it refuses.

    `status` is HTTP's, 0 where nothing answered; `skew` how many seconds LiveKit's clock is ahead, where told.
    """

    def __init__(self, message: str, status: int = 0, skew: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.skew = skew


def http_url(url: str) -> str:
    """ws://host/path as http://host/path, wss as https."""
    return "http" + url.removeprefix("ws") if url.startswith("ws") else url


@asynccontextmanager
async def room(url: str, key: str, secret: str, name: str) -> AsyncIterator[None]:
    """A LiveKit room for as long as the block lasts. Raises SfuError."""
    await make_room(url, key, secret, name)
    try:
        yield
    finally:
        await delete_room(url, key, secret, name)


async def make_room(url: str, key: str, secret: str, name: str) -> None:
    from livekit import api

    async with _rooms(url, key, secret) as rooms:
        await rooms.create_room(api.CreateRoomRequest(name=name, empty_timeout=30, departure_timeout=5))


async def delete_room(url: str, key: str, secret: str, name: str) -> None:
    """Gone afterwards, with whoever is in it; one that is not there is no error."""
    from livekit import api

    with suppress(MissingRoomError):
        async with _rooms(url, key, secret) as rooms:
            await rooms.delete_room(api.DeleteRoomRequest(room=name))


class MissingRoomError(SfuError):
    """No such room."""


@asynccontextmanager
async def _rooms(url: str, key: str, secret: str) -> "AsyncIterator[RoomService]":
    from livekit import api

    try:
        async with (
            asyncio.timeout(SECONDS),  # its own is for each of several tries
            api.LiveKitAPI(http_url(url), key, secret, failover=False) as livekit,
        ):
            yield livekit.room
    except api.TwirpError as error:
        kind = MissingRoomError if error.status == 404 else SfuError
        raise kind(f"LiveKit refused ({error.status} {error.message})", error.status) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SfuError(f"LiveKit did not answer at {url} ({type(error).__name__})") from None


async def validate(url: str, jwt: str, connector: aiohttp.BaseConnector | None = None) -> float:
    """Ask whether a token would be let in, as clients do when a join fails; how far LiveKit's clock is ahead of ours.

    `connector`: for a LiveKit that is not reached or trusted in the usual way. Raises SfuError with LiveKit's words.
    """
    asked = f"{http_url(url).rstrip('/')}/rtc/validate"
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=SECONDS)) as http,
            http.get(asked, params={"access_token": jwt}) as answer,
        ):
            words = (await answer.text(errors="replace")).strip()[:200]
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SfuError(f"{asked} did not answer ({type(error).__name__})") from None
    ahead = skew(answer.headers.get("Date", ""), time.time())
    if answer.status != 200:
        raise SfuError(f"{asked} answered {answer.status} ({words})", answer.status, ahead)
    return ahead


def skew(date: str, now: float) -> float:
    """Seconds that an HTTP date is ahead of `now`, in whole seconds as it is; 0 where it is none."""
    try:
        return round(parsedate_to_datetime(date).timestamp() - now)
    except ValueError:
        return 0.0


async def signal(url: str, jwt: str, connector: aiohttp.BaseConnector | None = None) -> str:
    """Open the signalling WebSocket with a token, hear the welcome, leave; LiveKit's version. SfuError without a 101."""
    from livekit.protocol import rtc as protocol

    asked = f"{url.rstrip('/')}/rtc"
    query = {"access_token": jwt, "protocol": "15", "sdk": "python", "auto_subscribe": "0"}
    try:
        async with (
            asyncio.timeout(SECONDS),
            aiohttp.ClientSession(connector=connector) as http,
            http.ws_connect(http_url(asked), params=query) as socket,
        ):
            first = await socket.receive()
            if first.type is not aiohttp.WSMsgType.BINARY:
                raise SfuError(f"{asked} opened and closed again ({first.type.name})")
            welcome = protocol.SignalResponse.FromString(first.data)
            leave = protocol.SignalRequest(leave=protocol.LeaveRequest())
            await socket.send_bytes(leave.SerializeToString())
    except aiohttp.WSServerHandshakeError as error:
        raise SfuError(f"{asked} answered {error.status}, not 101", error.status) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SfuError(f"{asked} did not answer ({type(error).__name__})") from None
    return welcome.join.server_info.version or welcome.join.server_version
