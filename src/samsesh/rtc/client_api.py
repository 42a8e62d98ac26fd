"""The client-server API of homeservers, as far as delegated leaves need it: where it is, and posting to it."""

from aiohttp import ClientSession
from yarl import URL

from samsesh.rtc.config import Config
from samsesh.rtc.discovery import Discovery
from samsesh.rtc.fetch import FAILURES, forwarded, read_at_most, socket_path, why
from samsesh.rtc.leave import Answer, retry_after

ANSWER_SIZE = 64 * 1024


class UnreachableError(Exception):
    """The homeserver did not answer. Says no URL: a delayed event's ID is a key to it."""


class ClientApi:
    """`own`: the session for our homeserver, `named`: for those that the operator named in overrides."""

    def __init__(
        self,
        config: Config,
        strangers: ClientSession,
        own: ClientSession,
        named: ClientSession,
        discovery: Discovery,
    ) -> None:
        self._config = config
        self._strangers = strangers
        self._own = own
        self._named = named
        self._discovery = discovery

    async def base(self, server: str) -> str | None:
        """The base URL of this server name's API; None where nobody says."""
        if url := self._config.overrides.get(server):
            return url.rstrip("/")
        if server == self._config.homeserver:
            return self._config.homeserver_url
        return await self._discovery.client(server)

    async def post(self, base: str, path: str, job: str) -> Answer:
        """Post an empty JSON object to `path`, which is escaped already, for a job."""
        root = "http://localhost" if socket_path(base) else base
        try:
            url = URL(root + path, encoded=True)
            headers = forwarded(base, job)
            request = self._session(base).post(url, json={}, headers=headers, allow_redirects=False)
            async with request as answer:
                return Answer(
                    answer.status, retry_after(answer.headers, await read_at_most(answer, ANSWER_SIZE))
                )
        except FAILURES as error:
            raise UnreachableError(why(error)) from None

    def _session(self, base: str) -> ClientSession:
        if base == self._config.homeserver_url:
            return self._own
        if socket_path(base):
            raise ValueError("a socket that is not our homeserver's, or no longer")
        if base in {url.rstrip("/") for url in self._config.overrides.values()}:
            return self._named
        return self._strangers
