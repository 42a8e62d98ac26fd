"""People with Matrix clients: registered by an invitation, and matrix-nio with encryption for those who talk."""

import io
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
from nio import AsyncClient, AsyncClientConfig, ErrorResponse, MegolmEvent, RoomMessage
from nio.crypto import decrypt_attachment

PASSWORD = "long enough for all"
API = "/_matrix/client/v3"
HEARD_SECONDS = 60


@dataclass(frozen=True)
class Device:
    """What a client remembers of its log-in."""

    user_id: str
    device_id: str
    access_token: str

    @classmethod
    def of(cls, answer: httpx2.Response) -> Self:
        assert answer.status_code == 200, answer.text
        return cls(**{name: answer.json()[name] for name in cls.__dataclass_fields__})


async def register(http: httpx2.AsyncClient, name: str, invitation: str) -> Device:
    """A new account, stage by stage as the server asks for; without an invitation there is no way."""
    wanted = {"username": name, "password": PASSWORD}
    answer = await http.post(f"{API}/register", json=wanted)
    flows = [flow["stages"] for flow in answer.json()["flows"]]
    assert flows == [["m.login.registration_token", "m.login.dummy"]], answer.text
    for stage in flows[0]:
        assert answer.status_code == 401, answer.text
        proof = {"type": stage, "token": invitation, "session": answer.json()["session"]}
        answer = await http.post(f"{API}/register", json={**wanted, "auth": proof})
    return Device.of(answer)


async def log_in(http: httpx2.AsyncClient, user_id: str) -> Device:
    """One more device of somebody."""
    who = {"type": "m.id.user", "user": user_id}
    wanted = {"type": "m.login.password", "identifier": who, "password": PASSWORD}
    return Device.of(await http.post(f"{API}/login", json=wanted))


class Person:
    """Somebody at a device whose keys and place in the history are in files of `folder`."""

    def __init__(self, url: str, device: Device, folder: Path, trust: ssl.SSLContext | None = None) -> None:
        config = AsyncClientConfig(
            store_sync_tokens=True, max_limit_exceeded=20, max_timeouts=3, request_timeout=30
        )
        self.name = device.user_id
        self.heard: list[str] = []
        self.nio = AsyncClient(url, device.user_id, device.device_id, str(folder), config, ssl=trust)
        self.nio.restore_login(device.user_id, device.device_id, device.access_token)
        self.nio.add_event_callback(self._hear, RoomMessage)

    async def __aenter__(self) -> Self:
        good(await self.nio.sync(full_state=True))
        await self._keys()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.nio.close()
        self.nio.store.database.close()

    def _hear(self, room: Any, event: Any) -> None:
        self.heard.append(text(event))

    async def _keys(self) -> None:
        """What a client does about keys after each sync."""
        nio = self.nio
        if nio.should_upload_keys:
            good(await nio.keys_upload())
        if nio.should_query_keys:
            good(await nio.keys_query())
        if nio.should_claim_keys:
            good(await nio.keys_claim(nio.get_users_for_key_claiming()))
        for answer in await nio.send_to_device_messages():
            good(answer)

    async def sync_until(self, true: Callable[[], object], what: str) -> None:
        end = time.monotonic() + HEARD_SECONDS
        while not true():
            assert time.monotonic() < end, f"{self.name} waited in vain: {what}"
            good(await self.nio.sync(timeout=2000))
            await self._keys()

    async def enters(self, room: str) -> None:
        await self.sync_until(lambda: room in self.nio.rooms, "the room")

    async def hears(self, words: str) -> None:
        """It arrives by itself, and can be read."""
        await self.sync_until(lambda: words in self.heard, words)

    async def say(self, room: str, words: str, **more: Any) -> str:
        """Send a message; gives the event's id."""
        content = {"msgtype": "m.text", "body": words, **more}
        answer = await self.nio.room_send(room, "m.room.message", content, ignore_unverified_devices=True)
        return str(good(answer).event_id)

    async def edit(self, room: str, event_id: str, words: str) -> None:
        target = {"rel_type": "m.replace", "event_id": event_id}
        new = {"msgtype": "m.text", "body": words}
        await self.say(room, f"* {words}", **{"m.new_content": new, "m.relates_to": target})

    async def give(self, room: str, name: str, content: bytes) -> None:
        """Send an encrypted file."""
        answer, keys = await self.nio.upload(
            io.BytesIO(content), filename=name, encrypt=True, filesize=len(content)
        )
        file = {**keys, "url": good(answer).content_uri}
        await self.say(room, name, msgtype="m.file", file=file, info={"size": len(content)})

    async def take(self, room: str, name: str) -> bytes:
        """Find a file in the history, download and decrypt it."""
        event = next(event for event in await self._events(room) if text(event) == name)
        answer = good(await self.nio.download(mxc=event.url))
        content: bytes = decrypt_attachment(answer.body, event.key["k"], event.hashes["sha256"], event.iv)
        return content

    async def history(self, room: str) -> list[tuple[str, str]]:
        """Who said what, as a person sees it: the edits done, and what cannot be read named so."""
        return seen(await self._events(room))

    async def _events(self, room: str) -> list[Any]:
        """The messages of a short room, oldest first."""
        answer = good(await self.nio.room_messages(room, limit=100))
        return [event for event in reversed(answer.chunk) if isinstance(event, RoomMessage | MegolmEvent)]


def seen(events: Iterable[Any]) -> list[tuple[str, str]]:
    lines: dict[str, tuple[str, str]] = {}
    for event in events:
        relation = event.source["content"].get("m.relates_to", {})
        edited = relation["event_id"] if relation.get("rel_type") == "m.replace" else event.event_id
        lines[edited] = (event.sender, text(event))
    return list(lines.values())


def text(event: Any) -> str:
    if isinstance(event, MegolmEvent):
        return "not decrypted"
    content = event.source["content"]
    return str(content.get("m.new_content", content)["body"])


def good(answer: Any) -> Any:
    """The answer, unless the server refused."""
    assert not isinstance(answer, ErrorResponse), answer
    return answer
