"""HTTP as a client: sessions for strangers (guarded) and for our own servers, and reading that knows when to stop."""

import os
import ssl
from collections.abc import Mapping
from hashlib import sha256
from ipaddress import IPv6Network

import aiohttp
from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, UnixConnector
from yarl import URL

from samsesh.rtc.config import Config
from samsesh.rtc.guard import PRIVATE, Guard
from samsesh.rtc.resolver import StrangersResolver

TOTAL_SECONDS = 30
DIAL_SECONDS = 5
KEEP_SECONDS = 60
OURS = 50  # connections to one of our own servers at a time
EACH = 500  # and to one that strangers named: it may take seconds for an answer, and many may ask
REDIRECTS = 5
NOBODYS = IPv6Network("100::/64")
# Not compressed: a small answer could unfold to a huge one.
HEADERS = {"User-Agent": "samsesh-rtc-auth", "Accept-Encoding": "identity"}
# Everything by which a request to a server of strangers ends badly.
FAILURES = (aiohttp.ClientError, OSError, TimeoutError, ValueError)


def why(error: BaseException) -> str:
    """One of FAILURES for people. Never its own words, which may quote a URL with a token in it."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorError) and PRIVATE in str(error.os_error):
        return PRIVATE
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its name is not known"
    if isinstance(error, aiohttp.ClientSSLError):
        return "its certificate is not right"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return type(error).__name__


def tls(config: Config) -> ssl.SSLContext | bool:
    """Certificates are checked, unless upstream's variable says otherwise. As aiohttp takes it: True is its own context.

    It makes that at import, and reading all authorities once more would take longer than the rest of our start.
    """
    if config.insecure or not config.ca:
        return not config.insecure
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=config.ca)
    return context


def session_for_strangers(config: Config, context: ssl.SSLContext | bool) -> ClientSession:
    """For servers that somebody named in a request: only where the guard lets us."""
    guard = Guard(config)
    connector = TCPConnector(
        resolver=StrangersResolver(guard),
        socket_factory=guard.open_socket,
        ssl=context,
        limit=0,  # in all: slow homeservers would use up the places of others
        limit_per_host=EACH,
        keepalive_timeout=KEEP_SECONDS,
        ttl_dns_cache=KEEP_SECONDS,
    )
    return _session(connector)


def own_session(context: ssl.SSLContext | bool, socket_path: str = "") -> ClientSession:
    """For servers that the operator named: LiveKit, our homeserver, perhaps on a unix socket."""
    if socket_path:
        return _session(UnixConnector(socket_path, limit=OURS, keepalive_timeout=KEEP_SECONDS))
    return _session(TCPConnector(ssl=context, limit=0, limit_per_host=OURS, keepalive_timeout=KEEP_SECONDS))


def _session(connector: aiohttp.BaseConnector) -> ClientSession:
    return ClientSession(
        connector=connector,
        timeout=ClientTimeout(total=TOTAL_SECONDS, sock_connect=DIAL_SECONDS),
        headers=HEADERS,
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
    )


async def read_at_most(answer: aiohttp.ClientResponse, size: int) -> bytes:
    """The body; ValueError where it is larger than `size` bytes."""
    parts, total = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        total += len(part)
        if total > size:
            answer.close()  # the connection, too: nobody reads the rest
            raise ValueError("too large")
    return b"".join(parts)


async def get_following(session: ClientSession, url: URL, size: int) -> tuple[int, bytes]:
    """Status and body, a few redirects followed, each over https; one of FAILURES otherwise."""
    for _ in range(REDIRECTS + 1):
        async with session.get(url, allow_redirects=False) as answer:
            location = answer.headers.get("Location")
            if answer.status not in (301, 302, 303, 307, 308) or location is None:
                return answer.status, await read_at_most(answer, size)
            url = url.join(URL(location))
            if url.scheme != "https":
                raise ValueError("redirected away from https")
    raise ValueError("too many redirects")


def forwarded(url: str, job: str = "") -> Mapping[str, str]:
    """What a homeserver wants to hear on its unix socket, where it expects a reverse proxy.

    Requests of a `job` come from an address of its own: Synapse counts those without a token by address, and one job
    must not use up what another needs. Of 100::/64 (RFC 6666), from which nobody else comes.
    """
    if not socket_path(url):
        return {}
    return {"X-Forwarded-For": _address_of(job) if job else "127.0.0.1", "X-Forwarded-Proto": "http"}


def _address_of(job: str) -> str:
    return str(NOBODYS[int.from_bytes(sha256(job.encode()).digest()[:8])])


def socket_path(url: str) -> str:
    """`/path` of `unix:/path`; empty for other URLs."""
    return url.removeprefix("unix:") if url.startswith("unix:") else ""
