"""Whom an OpenID token belongs to: asked of the homeserver that it names (server-server API, "OpenID")."""

import asyncio
import json
from urllib.parse import quote

from aiohttp import ClientSession
from yarl import URL

from samsesh.rtc.config import Config
from samsesh.rtc.discovery import Discovery, Target
from samsesh.rtc.fetch import FAILURES, TOTAL_SECONDS, forwarded, read_at_most, socket_path, why

USERINFO = "/_matrix/federation/v1/openid/userinfo"
ANSWER_SIZE = 64 * 1024
Answer = tuple[int, bytes]


class UnverifiedError(Exception):
    """The token was not confirmed; `reason` is for our log, never with anything secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class OpenId:
    """Verifies tokens. `own`: the session for our own homeserver, which is asked directly."""

    def __init__(
        self, config: Config, strangers: ClientSession, own: ClientSession, discovery: Discovery
    ) -> None:
        self._config = config
        self._strangers = strangers
        self._own = own
        self._discovery = discovery

    async def user(self, server: str, token: str) -> str:
        """The user ID that `server` says has this token; UnverifiedError otherwise."""
        if not self._config.takes(server):
            raise UnverifiedError("the settings do not let users of this homeserver come")
        path = f"{USERINFO}?access_token={quote(token, safe='')}"
        try:
            async with asyncio.timeout(TOTAL_SECONDS):
                status, body = await self._ask(server, path)
        except FAILURES as error:
            raise UnverifiedError(f"the homeserver cannot be reached: {why(error)}") from None
        if status != 200:
            raise UnverifiedError(f"the homeserver answered {status}")
        return _subject(body, server)

    async def _ask(self, server: str, path: str) -> Answer:
        if server == self._config.homeserver:
            return await self.ask_own(path)
        targets = await self._discovery.servers(server)
        if not targets:
            raise UnverifiedError("no server name")
        for target in targets[:-1]:
            try:
                return await self._ask_target(target, path)
            except FAILURES:
                continue  # the next SRV record
        try:
            return await self._ask_target(targets[-1], path)
        except FAILURES:
            self._discovery.forget(server)
            raise

    async def ask_own(self, path: str) -> Answer:
        """Status and body of our own homeserver's answer; one of FAILURES."""
        url = self._config.homeserver_url
        base = "http://localhost" if socket_path(url) else url
        request = self._own.get(URL(base + path, encoded=True), headers=forwarded(url), allow_redirects=False)
        async with request as answer:
            return answer.status, await read_at_most(answer, ANSWER_SIZE)

    async def _ask_target(self, target: Target, path: str) -> Answer:
        request = self._strangers.get(
            target.url(path),
            headers={"Host": target.header},
            server_hostname=target.name,
            allow_redirects=False,
        )
        async with request as answer:
            return answer.status, await read_at_most(answer, ANSWER_SIZE)


def _subject(body: bytes, server: str) -> str:
    """`sub` of the answer. A server speaks for its own users only: else anybody's could claim full access."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise UnverifiedError("the homeserver's answer is no JSON") from None
    user = found.get("sub") if isinstance(found, dict) else None
    if not isinstance(user, str) or not user.startswith("@"):
        raise UnverifiedError("the homeserver named no user")
    if user.partition(":")[2] != server:
        raise UnverifiedError("the homeserver named a user of another one")
    if not user.isprintable() or len(user) > 255:
        raise UnverifiedError("the homeserver named no proper user")
    return user
