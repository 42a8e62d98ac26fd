"""What the service does once a request has been read: who is it, what may they, and what LiveKit is told."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from samsesh.rtc.bodies import Asked, RefusedError
from samsesh.rtc.client_api import ClientApi
from samsesh.rtc.config import Config
from samsesh.rtc.fetch import FAILURES, why
from samsesh.rtc.leave import CrowdedError, Leave, Leaves
from samsesh.rtc.livekit import LiveKitError, Rooms
from samsesh.rtc.log import Log
from samsesh.rtc.members import Members, UnansweredError
from samsesh.rtc.metrics import Metrics
from samsesh.rtc.openid import USERINFO, OpenId, UnverifiedError
from samsesh.rtc.proof import Proof
from samsesh.rtc.tokens import Tokens, identity_of, room_of

UNAUTHORIZED = "The request could not be authorised."
NOT_IN_ROOM = "You are not in this room"
ONLY_FULL_ACCESS = "Delegation of delayed events is only supported for full access users"
# Why a session of LiveKit's ended whose participant is still there, by another session (livekit_models.proto).
CAME_BACK = ("DUPLICATE_IDENTITY", "MIGRATION")
PARTICIPANT_EVENTS = ("participant_joined", "participant_left", "participant_connection_aborted")


class Service:
    """As upstream, `members` is None if anybody may join a room's call, `proof` if delegation needs none."""

    def __init__(
        self,
        config: Config,
        openid: OpenId,
        members: Members | None,
        rooms: Rooms,
        tokens: Tokens,
        client_api: ClientApi,
        jobs: Leaves,
        proof: Proof | None,
        log: Log,
    ) -> None:
        self._config = config
        self._openid = openid
        self._members = members
        self._rooms = rooms
        self._tokens = tokens
        self._client_api = client_api
        self._jobs = jobs
        self._proof = proof
        self._log = log
        self.metrics: Metrics | None = None

    @property
    def delegates(self) -> bool:
        """Whether leaves can be delegated: without webhooks they would only fire after an hour."""
        return self._proof is None or self._proof.proven

    async def token(self, asked: Asked) -> str:
        """The JWT for one participant, whose room is made where they may; RefusedError otherwise."""
        user = await self._admit(asked)
        full_access = self._config.has_full_access(asked.server)
        if asked.delay_id and not full_access:
            raise RefusedError(400, "M_BAD_JSON", ONLY_FULL_ACCESS)
        if asked.delay_id and not self.delegates:
            raise RefusedError(400, "M_BAD_JSON", "Delegation of delayed events is not available")
        room, identity = room_of(asked), identity_of(asked, user)
        jwt = self._tokens.join(room, identity, full_access=full_access)
        if full_access:
            leave = await self._leave(asked, user, room, identity) if asked.delay_id else None
            await self._create(room)
            if leave:
                await self._add(leave, 400, "M_BAD_JSON")  # with which clients go on without it
        self._log.info(
            "token", server=asked.server, full_access=full_access, room=room, delegated=bool(asked.delay_id)
        )
        return jwt

    async def delegate(self, asked: Asked) -> None:
        """Takes over the leave of somebody who is in the call already; RefusedError otherwise."""
        user = await self._admit(asked)
        if not self._config.has_full_access(asked.server):
            raise RefusedError(403, "M_FORBIDDEN", ONLY_FULL_ACCESS)
        room, identity = room_of(asked), identity_of(asked, user)
        leave = await self._leave(asked, user, room, identity)
        await self._add(leave, 429, "M_LIMIT_EXCEEDED")
        self._log.info("delegated", server=asked.server, room=room)

    async def _admit(self, asked: Asked) -> str:
        """Who it is; RefusedError if that is not known, or if they are not in the room."""
        user = await self._verify(asked)
        try:
            if self._members and not await self._members.joined(asked.room, user):
                raise RefusedError(403, "M_FORBIDDEN", NOT_IN_ROOM)
        except UnansweredError as error:
            self._log.error("members not known", reason=error.reason)
            raise RefusedError(503, "M_UNKNOWN", "The homeserver does not say who is in this room") from None
        return user

    async def _verify(self, asked: Asked) -> str:
        began = time.perf_counter()
        try:
            user = await self._openid.user(asked.server, asked.token)
            if asked.claimed_user and user != asked.claimed_user:
                raise UnverifiedError("the token is another user's than claimed")
        except UnverifiedError as unverified:
            self._log.warning("unverified", server=asked.server, reason=unverified.reason)
            raise RefusedError(401, "M_UNAUTHORIZED", UNAUTHORIZED) from None
        finally:
            if self.metrics:
                self.metrics.verification(time.perf_counter() - began)
        return user

    async def _leave(self, asked: Asked, user: str, room: str, identity: str) -> Leave:
        base = await self._client_api.base(asked.server)
        if not base:
            self._log.warning("no client-server API", server=asked.server)
            raise RefusedError(400, "M_BAD_JSON", "Unable to resolve client-server API")
        return Leave(room, identity, base, asked.delay_id, asked.delay_timeout / 1000, user)

    async def _add(self, leave: Leave, status: int, errcode: str) -> None:
        try:
            await self._jobs.add(leave)
        except CrowdedError:
            self._log.warning("too many delegated leaves", user=leave.user)
            raise RefusedError(status, errcode, "Too many delegated leaves of this user") from None

    async def _create(self, room: str) -> None:
        try:
            await self._rooms.create(room)
        except LiveKitError as error:
            self._log.error("room not created", room=room, reason=error.reason)
            raise RefusedError(500, "M_UNKNOWN", "Unable to create room on SFU") from None

    async def rejoin(self, token: str) -> bool:
        """Makes the room of a call that is going on, if LiveKit was started anew and forgot it. False: it cannot now."""
        room = self._tokens.room(token)
        if room and self._jobs.going_on(room):
            try:
                await self._rooms.create(room)
            except LiveKitError as error:
                self._log.warning("room not made again", room=room, reason=error.reason)
                return False
        return True

    async def webhook(self, authorization: str, body: bytes) -> None:
        """Takes a webhook; one that LiveKit did not sign is dropped."""
        event = self._tokens.webhook(authorization, body)
        if event is None:
            self._log.warning("webhook not signed by LiveKit, or stale")
            return
        kind, room, identity = (
            _text(event.get("event")),
            _text(_part(event, "room").get("name")),
            _text(_part(event, "participant").get("identity")),
        )
        self._log.debug("webhook", kind=kind, room=room)
        if self._proof and self._proof.event(room):
            return
        if _text(_part(event, "participant").get("disconnectReason")) in CAME_BACK:
            return
        if kind in PARTICIPANT_EVENTS:
            await self._jobs.event(kind, room, identity)

    async def readiness(self) -> dict[str, Any]:
        """Whether LiveKit and our homeserver can be reached, and why not."""
        found: dict[str, Any] = {"livekit": await _checked(self._check_livekit)}
        if self._config.homeserver:
            found["homeserver"] = await _checked(self._check_homeserver)
        if self._members:
            found["members"] = await _checked(self._members.check)
        ready = all(part["ok"] for part in found.values())
        leaves = {"count": self._jobs.count(), "trouble": self._jobs.trouble}
        return {"ready": ready, **found, "delegation": self.delegates, "leaves": leaves}

    async def _check_livekit(self) -> str:
        try:
            await self._rooms.ping()
        except LiveKitError as error:
            return error.reason
        return ""

    async def _check_homeserver(self) -> str:
        try:
            status, _ = await self._openid.ask_own(f"{USERINFO}?access_token=-")
        except FAILURES as error:
            return f"the homeserver cannot be reached: {why(error)}"
        # It does not know this token; 404 would mean that it serves no userinfo there at all.
        return "" if status == 401 else f"the homeserver answered {status} where 401 was right"


async def _checked(check: Callable[[], Awaitable[str]]) -> dict[str, Any]:
    reason = await check()
    return {"ok": False, "reason": reason} if reason else {"ok": True}


def _part(event: dict[str, Any], name: str) -> dict[str, Any]:
    part = event.get(name)
    return part if isinstance(part, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
