"""A call's way to LiveKit as a browser goes it: discovery, OpenID, the authorization service, delayed events.

Every request is made as a web page of another origin makes it: an answer without CORS is none. Specifications: MSC4143
(transports), MSC4195 (LiveKit), MSC4140 (delayed events), and the contract of Element's lk-jwt-service.
"""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2

from samsesh.errors import SamseshError

ORIGIN = "https://app.example.org"  # any other than the server's own
CORS = "Access-Control-Allow-Origin"
CLIENT = "/_matrix/client"
TRANSPORTS = f"{CLIENT}/unstable/org.matrix.msc4143/rtc/transports"
DELAYED = f"{CLIENT}/unstable/org.matrix.msc4140/delayed_events"
DELAY = "org.matrix.msc4140.delay"  # milliseconds
FOCI = "org.matrix.msc4143.rtc_foci"
SECONDS = 8.0
Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a request gave; `body` is {} where it is no JSON object."""

    method: str
    url: str  # without its query, which may hold a token
    status: int
    allowed: tuple[str, ...]  # every Access-Control-Allow-Origin; browsers want exactly one
    body: Mapping[str, Any] = field(repr=False)
    text: str = field(repr=False)
    kind: str  # media type

    @property
    def readable(self) -> bool:
        """Whether a web page may read it."""
        return self.allowed in (("*",), (ORIGIN,))

    @property
    def error(self) -> str:
        words = [str(self.body[key]) for key in ("errcode", "error") if self.body.get(key)]
        return ": ".join(words)

    def __str__(self) -> str:
        told = f"{self.method} {self.url}: {self.status}"
        return f"{told} ({self.error})" if self.error else told


class UnreachableError(SamseshError):
    """No answer at all."""


class Browser:
    """Requests as a page makes them. Raises UnreachableError; every answer is an `Answer`, errors included."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def ask(
        self,
        method: str,
        url: str,
        *,
        token: str = "",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {
            "Origin": ORIGIN,
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **(headers or {}),
        }
        plain = url.partition("?")[0]
        try:
            answer = await self._http.request(method, url, json=body, headers=sent)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"{method} {plain}: no answer ({why})") from None
        return Answer(
            method,
            plain,
            answer.status_code,
            tuple(answer.headers.get_list(CORS)),
            _object(answer.content),
            answer.text,
            answer.headers.get("Content-Type", "").partition(";")[0],
        )

    async def preflight(self, url: str, method: str = "POST") -> Answer:
        """What a browser asks before a request with a JSON body."""
        asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type"}
        return await self.ask("OPTIONS", url, headers=asked)


@asynccontextmanager
async def browser(http: httpx2.AsyncClient | None = None) -> AsyncIterator[Browser]:
    """`http`: of one's own, for sites that are not reached or trusted in the usual way; it is closed, too."""
    async with http or httpx2.AsyncClient(timeout=SECONDS, trust_env=False) as used:
        yield Browser(used)


def behind(path: Path) -> AbstractAsyncContextManager[Browser]:
    """Requests to what listens on a unix socket, as the gateway's come there."""
    return browser(httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=str(path)), timeout=SECONDS))


@dataclass(frozen=True)
class Person:
    """Somebody logged in: the client API's base URL, the user, the device and its access token."""

    browser: Browser
    base: str
    user_id: str
    device_id: str
    token: str = field(repr=False)

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        """A request to the client API. Limited ones are told, not tried again: the doctor's account has no limit."""
        return await self.browser.ask(method, self.base.rstrip("/") + path, token=self.token, body=body)

    async def transports(self) -> Answer:
        return await self.ask("GET", TRANSPORTS)

    async def openid(self) -> Answer:
        return await self.ask(
            "POST", f"{CLIENT}/v3/user/{quote(self.user_id, safe='')}/openid/request_token", {}
        )

    async def put_state(
        self, room: str, kind: str, key: str, content: Json, delay: int | None = None
    ) -> Answer:
        """Send a state event, or schedule it `delay` milliseconds ahead: the answer then has `delay_id`."""
        query = f"?{DELAY}={delay}" if delay is not None else ""
        return await self.ask("PUT", state_path(room, kind, key) + query, content)

    async def state(self, room: str, kind: str, key: str) -> Answer:
        return await self.ask("GET", state_path(room, kind, key))

    async def delayed(self, delay_id: str, action: str) -> Answer:
        """ "restart", "send" or "cancel" a delayed event."""
        return await self.ask("POST", f"{DELAYED}/{quote(delay_id, safe='')}/{action}", {})


def state_path(room: str, kind: str, key: str) -> str:
    parts = [quote(part, safe="") for part in (room, kind, key)]
    return f"{CLIENT}/v3/rooms/{parts[0]}/state/{parts[1]}/{parts[2]}"


async def get_token(service: Browser, url: str, request: Json) -> Answer:
    """Ask the authorization service for LiveKit's URL and a JWT."""
    return await service.ask("POST", f"{url.rstrip('/')}/get_token", body=request)


def token_request(
    room: str, slot: str, openid: Mapping[str, Any], user: str, device: str, member: str
) -> Json:
    """The body of /get_token (MSC4195)."""
    known = ("access_token", "token_type", "matrix_server_name", "expires_in")
    return {
        "room_id": room,
        "slot_id": slot,
        "openid_token": {key: openid[key] for key in known if key in openid},
        "member": {"id": member, "claimed_user_id": user, "claimed_device_id": device},
    }


def claims(jwt: str) -> Json:
    """What a JWT says, unverified. Raises ValueError."""
    parts = jwt.split(".")
    if len(parts) != 3:
        raise ValueError("a JWT has three parts")
    found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    if not isinstance(found, dict):
        raise ValueError("a JWT's claims are an object")
    return found


def advertised(transports: Mapping[str, Any]) -> list[str]:
    """Service URLs in the answer of the transports endpoint."""
    return _services(transports.get("rtc_transports"))


def well_known(document: Mapping[str, Any]) -> list[str]:
    """Service URLs in /.well-known/matrix/client."""
    return _services(document.get(FOCI))


def element_call(config: Mapping[str, Any]) -> list[str]:
    """The service URL in Element Call's config.json."""
    livekit = config.get("livekit")
    url = livekit.get("livekit_service_url") if isinstance(livekit, dict) else None
    return [url] if isinstance(url, str) and url else []


def _services(entries: Any) -> list[str]:
    found = entries if isinstance(entries, list) else []
    urls = [
        entry.get("livekit_service_url")
        for entry in found
        if isinstance(entry, dict) and entry.get("type") == "livekit"
    ]
    return [url for url in urls if isinstance(url, str) and url]


def needed_power(levels: Mapping[str, Any], kind: str, *, state: bool = True) -> int:
    """The power that a room wants for an event (Matrix spec, m.room.power_levels)."""
    events = levels.get("events")
    own = events.get(kind) if isinstance(events, dict) else None
    default = levels.get("state_default", 50) if state else levels.get("events_default", 0)
    return int(default if own is None else own)


def _object(content: bytes) -> Json:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
