"""LiveKit's room service over Twirp (JSON): the four calls that we need. Source: LiveKit's server API."""

import json
from typing import Any

from aiohttp import ClientSession, ClientTimeout

from samsesh.rtc.config import Config
from samsesh.rtc.fetch import DIAL_SECONDS, FAILURES, read_at_most, why
from samsesh.rtc.tokens import Tokens

TIMEOUT = ClientTimeout(total=10, sock_connect=DIAL_SECONDS)
ANSWER_SIZE = 1024 * 1024
EMPTY_SECONDS = 300  # a room stays this long when nobody comes
DEPARTURE_SECONDS = 20  # and this long after the last one left


class LiveKitError(Exception):
    """LiveKit did not do it: `code` is Twirp's, or "unreachable"."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Rooms:
    """The rooms of one LiveKit; every method may raise LiveKitError."""

    def __init__(self, config: Config, http: ClientSession, tokens: Tokens) -> None:
        self._base = config.api_url + "/twirp/livekit.RoomService/"
        self._http = http
        self._tokens = tokens

    async def create(self, room: str) -> None:
        """Make a room; one that is there stays as it is."""
        body = {
            "name": room,
            "empty_timeout": EMPTY_SECONDS,
            "departure_timeout": DEPARTURE_SECONDS,
            "max_participants": 0,
        }
        await self._call("CreateRoom", body, roomCreate=True)

    async def delete(self, room: str) -> None:
        await self._call("DeleteRoom", {"room": room}, roomCreate=True)

    async def ping(self) -> None:
        """Returns where LiveKit answers and takes our key."""
        await self._call("ListRooms", {"names": ["-"]}, roomList=True)

    async def has(self, room: str, identity: str) -> bool:
        """Whether this participant is in the room."""
        try:
            await self._call(
                "GetParticipant", {"room": room, "identity": identity}, roomAdmin=True, room=room
            )
        except LiveKitError as error:
            if error.code == "not_found":
                return False
            raise
        return True

    async def _call(self, method: str, body: dict[str, Any], **video: Any) -> None:
        headers = {
            "Authorization": f"Bearer {self._tokens.service(**video)}",
            "Content-Type": "application/json",
        }
        try:
            request = self._http.post(
                self._base + method,
                data=json.dumps(body),
                headers=headers,
                timeout=TIMEOUT,
                allow_redirects=False,
            )
            async with request as answer:
                status, found = answer.status, await read_at_most(answer, ANSWER_SIZE)
        except FAILURES as error:
            raise LiveKitError("unreachable", f"LiveKit cannot be reached: {why(error)}") from None
        if status == 401:  # said by what stands before Twirp, in plain text
            raise LiveKitError("unauthenticated", "LiveKit does not take our key and secret")
        if status != 200:
            raise LiveKitError(_code(found), f"LiveKit answered {status} ({_code(found)})")


def _code(body: bytes) -> str:
    try:
        found = json.loads(body)
        return str(found.get("code", "unknown")) if isinstance(found, dict) else "unknown"
    except (ValueError, RecursionError):
        return "unknown"
