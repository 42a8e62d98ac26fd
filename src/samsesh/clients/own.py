"""This server's own sites as its own programs reach them: by which address, and whose certificate counts.

Behind NAT a router may not lead this machine to its own public address ("hairpin"), a name may not be known yet, and a
certificate may be by an authority that only this server's people know. So whoever of us asks our own site connects to an
address of this machine where the usual one does not answer, `Host` and SNI unchanged, and trusts the certificate that the
gateway shows there. What strangers think of that certificate is another question (checks/public_https.py).
"""

import socket
import ssl
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx2

from samsesh.access import LOCAL, Access, Site

SECONDS = 2.0  # one connection
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - to be reached, not to listen


@dataclass(frozen=True)
class Own:
    """The way to our own sites. `route`: host -> address of this machine that is connected to in its place.

    `certificates`: DER, those that the gateway shows; `missing`: hosts for which it has none yet.
    """

    route: Mapping[str, str] = field(default_factory=dict)
    certificates: tuple[bytes, ...] = ()
    missing: tuple[str, ...] = ()

    @cached_property
    def trust(self) -> ssl.SSLContext:
        """The system's authorities, and exactly the gateway's certificates."""
        made = ssl.create_default_context()
        if self.certificates:
            made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        for one in self.certificates:
            made.load_verify_locations(cadata=one)
        return made

    @property
    def told(self) -> str:
        """What was needed, for people; empty where nothing was."""
        hosts = ", ".join(sorted(self.route))
        return (
            f"{hosts}: not reached from this machine by its name, so asked at its own address"
            if hosts
            else ""
        )

    def client(self, seconds: float, **options: Any) -> httpx2.Client:
        return httpx2.Client(
            transport=_Transport(self.route, verify=self.trust, trust_env=False), timeout=seconds, **options
        )

    def async_client(self, seconds: float, **options: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=self.transport(self.trust), timeout=seconds, **options)

    def transport(self, trust: ssl.SSLContext) -> httpx2.AsyncBaseTransport:
        """The same way, for who trusts others."""
        return _AsyncTransport(self.route, verify=trust, trust_env=False)

    def connector(self) -> Any:
        """The same for a client of aiohttp's; made where an event loop runs, closed by the session."""
        import aiohttp
        from aiohttp.abc import AbstractResolver, ResolveResult

        route, usual = self.route, aiohttp.ThreadedResolver()

        class Resolver(AbstractResolver):
            async def resolve(
                self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
            ) -> list[ResolveResult]:
                found = await usual.resolve(route.get(host, host), port, family)
                return [{**one, "hostname": host} for one in found]

            async def close(self) -> None:
                await usual.close()

        return aiohttp.TCPConnector(ssl=self.trust, resolver=Resolver())


def look(access: Access, loopback: tuple[str, ...], more: Iterable[tuple[str, int]] = ()) -> Own:
    """Try the way to every site, and to `more` (host, port). Takes milliseconds, and 2 s where something is silent.

    Blocks. In `local` there is nothing to look for.
    """
    if access.mode == "local":
        return Own()
    sites: dict[str, tuple[Site, tuple[str, ...]]] = {}
    for name, site in access.sites().items():
        if site.host != LOCAL:
            sites.setdefault(site.host, (site, access.bound(name, loopback)))
    others = [(host, port) for host, port in more if host not in sites]
    with ThreadPoolExecutor(8) as pool:
        looked = [] if access.proxied else list(pool.map(lambda one: _look(*one), sites.values()))
        turned = [(host, "" if connects(host, port) else inside(loopback, port)) for host, port in others]
    route = {
        host: inside for host, inside in [*((one.host, one.inside) for one in looked), *turned] if inside
    }
    shown = tuple(dict.fromkeys(one.shown for one in looked if one.shown))
    return Own(route, shown, tuple(one.host for one in looked if one.answers and one.shown is None))


@dataclass(frozen=True)
class _Looked:
    """What was seen of one host: `inside`, the address of this machine to go by, where its name does not lead here."""

    host: str
    inside: str = ""
    answers: bool = False
    shown: bytes | None = None


def _look(site: Site, bound: tuple[str, ...]) -> _Looked:
    address = inside(bound, site.port)
    if not address:
        return _Looked(site.host)
    shown = certificate(address, site.port, site.host)
    # Another certificate is another machine's: what is meant for us must not go there.
    here = shown is not None and certificate(site.host, site.port, site.host) == shown
    return _Looked(site.host, "" if here else address, answers=True, shown=shown)


def connects(host: str, port: int, seconds: float = SECONDS) -> bool:
    """Whether something takes TCP connections there."""
    with suppress(OSError, UnicodeError), socket.create_connection((host, port), seconds):
        return True
    return False


def certificate(address: str, port: int, host: str) -> bytes | None:
    """The certificate (DER) that is shown at an address to who asks for `host`; None where there is none for it.

    Not verified: for addresses of our own.
    """
    asking = ssl.create_default_context()
    asking.check_hostname = False
    asking.verify_mode = ssl.CERT_NONE
    with (
        suppress(OSError, UnicodeError),  # a TLS alert is one, too
        socket.create_connection((address, port), SECONDS) as link,
        asking.wrap_socket(link, server_hostname=host) as session,
    ):
        return session.getpeercert(binary_form=True)
    return None


def inside(bound: Iterable[str], port: int) -> str:
    """The first address of this machine at which something answers; "": none."""
    own = [EVERYWHERE.get(address, address) for address in bound]
    return next((address for address in own if connects(address, port)), "")


class _Transport(httpx2.HTTPTransport):
    """Connects to other addresses than the URL's host leads to. `Host` is set by then; SNI is set here."""

    def __init__(self, route: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._route = route

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        return super().handle_request(_routed(request, self._route))


class _AsyncTransport(httpx2.AsyncHTTPTransport):
    """The same for asyncio."""

    def __init__(self, route: Mapping[str, str], **options: Any) -> None:
        super().__init__(**options)
        self._route = route

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await super().handle_async_request(_routed(request, self._route))


def _routed(request: httpx2.Request, route: Mapping[str, str]) -> httpx2.Request:
    host = request.url.host
    address = route.get(host)
    if address is None:
        return request
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": host},
    )
