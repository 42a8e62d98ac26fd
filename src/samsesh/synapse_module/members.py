"""Answers one question on a unix socket of its own: is a user joined to a room?

The authorization service for calls asks (rtc/members.py). Each line is one message; the first one is the key:

    {"id": 1, "room": "!room:example.org", "user": "@ann:example.org"}  ->  {"id": 1, "joined": true}

`joined` is null if this homeserver cannot say. Of rooms that it is not in, it knows nobody: false. In homeserver.yaml:
`modules: [{module: samsesh.synapse_module.members.MembersModule, config: {socket: PATH, key_path: PATH}}]`.
"""

import hmac
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi

Json = dict[str, Any]
MEMBER = "m.room.member"

logger = logging.getLogger(__name__)


class MembersModule:
    """`socket`: where it listens; `key`: what it is to hear first."""

    def __init__(self, config: Json, api: "ModuleApi") -> None:
        self._api = api
        if api.worker_app is not None:
            return  # workers load the modules, too, and the main process answers
        factory = Factory.forProtocol(lambda: Conversation(config["key"], self._answer))
        # The reactor is not of the public API. `wantPID`: what a killed Synapse left there is replaced.
        api._hs.get_reactor().listenUNIX(config["socket"], factory, mode=0o600, wantPID=True)

    @staticmethod
    def parse_config(config: Json) -> Json:
        """With the key itself in the place of its path."""
        from synapse.module_api.errors import ConfigError

        if config.keys() != {"socket", "key_path"}:
            raise ConfigError("MembersModule takes the paths `socket` and `key_path`")
        try:
            key = Path(config["key_path"]).read_bytes().strip()
        except OSError as error:
            raise ConfigError(f"MembersModule: {config['key_path']}: {error.strerror}") from None
        if not key:
            raise ConfigError(f"MembersModule: the key in {config['key_path']} is empty")
        return {"socket": config["socket"], "key": key}

    def _answer(self, question: bytes, send: Callable[[bytes], None]) -> None:
        async def answer() -> None:
            asked = json.loads(question)
            joined = await self._joined(asked["room"], asked["user"])
            send(json.dumps({"id": asked["id"], "joined": joined}).encode())

        self._api.run_as_background_process("samsesh_members", answer)

    async def _joined(self, room: str, user: str) -> bool | None:
        try:
            state = await self._api.get_room_state(room, [(MEMBER, user)])
        except Exception:  # whatever Synapse raises: without an answer there is no token
            logger.exception("who is in a room could not be looked up")
            return None
        return any(event.content.get("membership") == "join" for event in state.values())


class Conversation(LineOnlyReceiver):  # type: ignore[misc]  # of Any, since Twisted has no types here
    """One connection; whoever does not begin with the key is hung up on."""

    delimiter = b"\n"

    def __init__(self, key: bytes, answer: Callable[[bytes, Callable[[bytes], None]], None]) -> None:
        self._key = key
        self._answer = answer
        self._trusted = False

    def lineReceived(self, line: bytes) -> None:  # noqa: N802 - Twisted's name
        if self._trusted:
            self._answer(line, self.sendLine)
        elif hmac.compare_digest(line, self._key):
            self._trusted = True
        else:
            self.transport.abortConnection()
