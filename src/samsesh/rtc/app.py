"""The HTTP side: routes, CORS, errors. Plain ASGI, since every request goes through here and time counts."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from samsesh.rtc.bodies import RefusedError, not_json, read_current, read_delegation, read_legacy
from samsesh.rtc.config import Config
from samsesh.rtc.limits import Limits, client_of
from samsesh.rtc.log import Log, failure
from samsesh.rtc.metrics import Metrics
from samsesh.rtc.service import Service

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

LARGEST_BODY = 64 * 1024
LARGEST_WEBHOOK = 1024 * 1024  # they describe whole participants
BODY_SECONDS = 10  # for a whole body
CORS: Headers = [
    (b"content-type", b"application/json"),
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"Accept, Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token"),
]
JSON: Headers = [(b"content-type", b"application/json")]
TEXT: Headers = [(b"content-type", b"text/plain; charset=utf-8")]
PROMETHEUS: Headers = [(b"content-type", b"text/plain; version=0.0.4; charset=utf-8")]
CLOSE = (b"connection", b"close")
NOT_FOUND = b"404 page not found\n"
READERS = {
    "/get_token": read_current,
    "/sfu/get": read_legacy,
    "/delegate_delayed_leave": read_delegation,
}
DELEGATION = "/delegate_delayed_leave"
ENDING = (503, "M_UNKNOWN", "Service is shutting down")


class GoneError(Exception):
    """The client hung up before its request was whole."""


class UnreadError(Exception):
    """The body is too large or too slow; the connection is of no more use."""


class App:
    """The ASGI application. `closing`: no new work is begun."""

    def __init__(self, config: Config, service: Service, log: Log, metrics: Metrics | None) -> None:
        self._config = config
        self._service = service
        self._log = log
        self._metrics = metrics
        self._limits = Limits() if config.strict else None
        port = config.webhook_bind.rpartition(":")[2]
        self._webhook_port = int(port) if port else 0
        self._under_way: set[asyncio.Timeout] = set()
        self.closing = False

    def end(self, seconds: float) -> None:
        """What is still under way then is answered that the service ends."""
        for limit in self._under_way:
            limit.reschedule(asyncio.get_running_loop().time() + seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        try:
            if self._webhook_port and scope["server"][1] == self._webhook_port and path != "/sfu_webhook":
                status = await answer(send, 404, TEXT, NOT_FOUND)
            elif path in READERS:
                status = await self._post_route(path, scope, receive, send)
            else:
                status = await self._other_route(path, scope, receive, send)
        except GoneError:
            return
        if self._metrics:
            known = path in READERS or path in ("/healthz", "/sfu_webhook", "/metrics", "/readyz")
            self._metrics.request(path if known else "other", status)

    async def _post_route(self, path: str, scope: Scope, receive: Receive, send: Send) -> int:
        """OPTIONS, 405 and every answer carry CORS: a browser tells its page of no other."""
        method = scope["method"]
        if method == "OPTIONS":
            return await answer(send, 200, CORS)
        if method != "POST":
            return await answer(send, 405, CORS)
        extra: Headers = []
        try:
            found = await self._answer_in_time(path, scope, receive)
            status = 200
        except UnreadError:
            refused, extra = not_json(), [CLOSE]
            status, found = refused.status, self._error(path, refused)
        except RefusedError as refused:
            status, found = refused.status, self._error(path, refused)
        except GoneError:
            raise
        except Exception as error:  # noqa: BLE001 - a defect of ours must still be an answer that a page can read
            self._log.error("defect", route=path, failure=failure(error))
            status, found = 500, {"errcode": "M_UNKNOWN", "error": "Internal Server Error"}
        return await answer(send, status, CORS + extra, encode(found))

    async def _answer_in_time(self, path: str, scope: Scope, receive: Receive) -> Mapping[str, Any]:
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._under_way.add(limit)
                return await self._answer(path, scope, receive)
        except TimeoutError:
            if not limit.expired():
                raise
            raise RefusedError(*ENDING) from None
        finally:
            self._under_way.discard(limit)

    async def _answer(self, path: str, scope: Scope, receive: Receive) -> Mapping[str, Any]:
        if self._limits and (wait := self._limits.wait(client_of(scope))):
            raise LimitedError(wait)
        if path == DELEGATION and not self._service.delegates:
            raise RefusedError(404, "M_UNRECOGNIZED", "Delegation of delayed events is not available")
        body = await read_body(scope, receive, LARGEST_BODY)
        if self.closing:
            raise RefusedError(*ENDING)
        asked = READERS[path](body)
        if path == DELEGATION:
            await self._service.delegate(asked)
            return {}
        return {"url": self._config.url, "jwt": await self._service.token(asked)}

    def _error(self, path: str, refused: RefusedError) -> dict[str, Any]:
        self._log.info("refused", route=path, status=refused.status, error=refused.error)
        found: dict[str, Any] = {"errcode": refused.errcode, "error": refused.error}
        if isinstance(refused, LimitedError):
            found["retry_after_ms"] = refused.milliseconds
        return found

    async def _other_route(self, path: str, scope: Scope, receive: Receive, send: Send) -> int:
        method = scope["method"]
        if path == "/healthz":
            return await answer(send, 200 if method in ("GET", "HEAD") else 405)
        if path == "/sfu_webhook":
            return await self._webhook(scope, receive, send)
        if self._metrics and path == "/metrics" and method == "GET":
            return await answer(send, 200, PROMETHEUS, self._metrics.page())
        if self._config.strict and path == "/rejoin" and method == "GET":  # the gateway, before LiveKit
            return await answer(send, 200 if await self._service.rejoin(bearer(scope)) else 503)
        if self._metrics and path == "/readyz" and method == "GET":
            ready = await self._service.readiness()
            return await answer(send, 200 if ready["ready"] else 503, JSON, encode(ready))
        return await answer(send, 404, TEXT, NOT_FOUND)

    async def _webhook(self, scope: Scope, receive: Receive, send: Send) -> int:
        """Always 200, as upstream: LiveKit would only try again."""
        try:
            body = await read_body(scope, receive, LARGEST_WEBHOOK)
        except UnreadError:
            return await answer(send, 200, [CLOSE])
        try:
            await self._service.webhook(authorization(scope), body)
        except Exception as error:  # noqa: BLE001 - LiveKit can do nothing about it
            self._log.error("defect", route="/sfu_webhook", failure=failure(error))
        return await answer(send, 200)


class LimitedError(RefusedError):
    """Too many requests: the client may ask again after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(429, "M_LIMIT_EXCEEDED", "Too many requests")
        self.milliseconds = int(seconds * 1000) + 1


def bearer(scope: Scope) -> str:
    """The token as LiveKit takes it: from the address, as browsers send it, or the header."""
    given = parse_qs(scope["query_string"].decode("latin-1")).get("access_token", [""])[0]
    return given or authorization(scope).removeprefix("Bearer ")


def authorization(scope: Scope) -> str:
    """That header as it is; LiveKit's webhooks put a bare token there."""
    sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
    return str(sent.decode("latin-1"))


def encode(found: Mapping[str, Any]) -> bytes:
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"


async def read_body(scope: Scope, receive: Receive, largest: int) -> bytes:
    """The whole body; UnreadError where it is too large or takes too long, GoneError where the client hung up."""
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > largest:  # digits: the server's parser saw to that
            raise UnreadError
    body, more = b"", True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise GoneError
                body += message.get("body", b"")
                if len(body) > largest:
                    raise UnreadError
                more = message.get("more_body", False)
    except TimeoutError:
        raise UnreadError from None
    return body


async def answer(send: Send, status: int, headers: Headers | None = None, body: bytes = b"") -> int:
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*(headers or ()), length]})
    await send({"type": "http.response.body", "body": body})
    return status
