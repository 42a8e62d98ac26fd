"""Where a homeserver is, by its server name: the Matrix spec's server discovery (server-server API), and client's.

Every name here comes from a stranger. Nothing is fetched but through the guarded session.
"""

import json
import re
import time
from dataclasses import dataclass
from ipaddress import ip_address
from random import random
from typing import Generic, TypeVar

from aiohttp import ClientSession
from yarl import URL

from samsesh.rtc.fetch import FAILURES, get_following
from samsesh.rtc.resolver import records

WELL_KNOWN_SIZE = 50 * 1024  # bytes; the spec's advice
CACHE_SECONDS = 600
CACHED = 1000  # names
SRV_TARGETS = 4  # that are tried
MATRIX_PORT = 8448
_LABEL = r"[0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?"
_NAME = re.compile(rf"(?P<host>{_LABEL}(\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])(:(?P<port>[0-9]{{1,5}}))?")
LONGEST_NAME = 255

T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """Where to connect and as whom: `host` is dialled, `header` is the Host, `name` is whose certificate it shows."""

    host: str
    port: int
    header: str
    name: str

    def url(self, path: str) -> URL:
        return URL(f"https://{self.host}:{self.port}{path}", encoded=True)


def parse(server: str) -> tuple[str, int | None] | None:
    """Host (IPv6 in brackets) and port of a server name; None where it is none (spec: appendices, "Server Name")."""
    match = _NAME.fullmatch(server)
    if not match or len(server) > LONGEST_NAME:
        return None
    host, port = match["host"], match["port"]
    if port and not 0 < int(port) < 65_536:
        return None
    if host.startswith("[") and not is_literal(host):
        return None
    return host, int(port) if port else None


def is_literal(host: str) -> bool:
    """Whether it is an IP address."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


class Discovery:
    """Finds homeservers and remembers for a while where they were."""

    def __init__(self, http: ClientSession) -> None:
        self._http = http
        self._servers: Cache[tuple[Target, ...]] = Cache()
        self._clients: Cache[str] = Cache()

    async def servers(self, server: str) -> tuple[Target, ...]:
        """Targets of the server-server API, the best first; none where the name is no server name."""
        known = self._servers.get(server)
        if known is None:
            known = await self._find(server)
            self._servers.put(server, known)
        return known

    def forget(self, server: str) -> None:
        """It was not there: look again next time."""
        self._servers.drop(server)

    async def _find(self, server: str) -> tuple[Target, ...]:
        parsed = parse(server)
        if parsed is None:
            return ()
        if direct := _direct(server, *parsed):
            return direct
        host = parsed[0]
        delegated = await self._well_known(host)
        if delegated and (parsed := parse(delegated)):
            if direct := _direct(delegated, *parsed):
                return direct
            host = parsed[0]
        return await self._by_srv(host) or (Target(host, MATRIX_PORT, host, host),)

    async def _well_known(self, host: str) -> str | None:
        url = URL.build(scheme="https", host=host, path="/.well-known/matrix/server")
        try:
            status, body = await get_following(self._http, url, WELL_KNOWN_SIZE)
            found = json.loads(body) if status == 200 else None
        except (*FAILURES, RecursionError):
            return None
        name = found.get("m.server") if isinstance(found, dict) else None
        return name if isinstance(name, str) else None

    async def _by_srv(self, host: str) -> tuple[Target, ...]:
        for service in ("_matrix-fed", "_matrix"):
            targets = await self._srv(f"{service}._tcp.{host}.")
            if targets:
                return tuple(Target(name, port, host, host) for name, port in targets[:SRV_TARGETS])
        return ()

    async def _srv(self, question: str) -> list[tuple[str, int]]:
        try:
            answer = await records(question, "SRV")
        except OSError:
            return []
        # The lowest priority first; within one, heavier ones more often (RFC 2782).
        best = sorted(answer, key=lambda record: (record.priority, -random() * (record.weight + 1)))  # noqa: S311 - no secret
        named = [(record.target.to_text(omit_final_dot=True), record.port) for record in best]
        return [(name, port) for name, port in named if parse(name) and port]

    async def client(self, server: str) -> str | None:
        """Base URL of the client-server API by .well-known/matrix/client; None where there is none."""
        known = self._clients.get(server)
        if known is None:
            known = await self._client_well_known(server)
            if known:
                self._clients.put(server, known)
        return known

    async def _client_well_known(self, server: str) -> str | None:
        if not parse(server):
            return None
        try:
            url = URL(f"https://{server}/.well-known/matrix/client")
            status, body = await get_following(self._http, url, WELL_KNOWN_SIZE)
            found = json.loads(body) if status == 200 else None
            base = found["m.homeserver"]["base_url"] if found else None
            parts = URL(base) if isinstance(base, str) else URL()
        except (*FAILURES, LookupError, TypeError, RecursionError):
            return None
        return str(parts).rstrip("/") if parts.scheme in ("http", "https") and parts.host else None


def _direct(name: str, host: str, port: int | None) -> tuple[Target, ...]:
    """The target of a name that says all itself: an address, or a host with a port."""
    if port is None and not is_literal(host):
        return ()
    return (Target(host, port or MATRIX_PORT, name, host.strip("[]")),)


class Cache(Generic[T]):
    """Values by name for CACHE_SECONDS, at most CACHED of them, the oldest dropped first."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[float, T]] = {}

    def get(self, name: str) -> T | None:
        until, value = self._kept.get(name, (0.0, None))
        return value if time.monotonic() < until else None

    def put(self, name: str, value: T) -> None:
        self.drop(name)
        while len(self._kept) >= CACHED:
            del self._kept[next(iter(self._kept))]
        self._kept[name] = (time.monotonic() + CACHE_SECONDS, value)

    def drop(self, name: str) -> None:
        self._kept.pop(name, None)
