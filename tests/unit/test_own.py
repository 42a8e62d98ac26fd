"""The way to our own sites: by our own address where the usual one does not answer, and to nobody else."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import aiohttp
import httpx2
import pytest
import trustme

from samsesh.access import Access
from samsesh.clients import dns, own
from samsesh.settings import Settings

WEB, API = "chat.example.test", "matrix.example.test"


class Telling(BaseHTTPRequestHandler):
    """Says which host was asked for, and by which name of TLS."""

    def do_GET(self) -> None:
        body = f"{self.headers['Host']} {getattr(self.server, 'asked', '')}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Who looks for a certificate only, hangs up."""


@contextmanager
def site(ca: trustme.CA, *hosts: str, address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A server with a certificate for these hosts and no other; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*hosts).configure_cert(context)
    server = Quiet((address, port), Telling)

    def named(session: Any, host: str | None, _: Any) -> int | None:
        server.asked = host  # type: ignore[attr-defined]
        return None if host in hosts else ssl.ALERT_DESCRIPTION_INTERNAL_ERROR

    context.sni_callback = named
    server.socket = context.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def access(port: int) -> Access:
    data = {
        "server": {"name": "example.test", "access": "domain", "trial": True},
        "hosts": {"single": WEB, "api": API, "delegation": "elsewhere"},
        "ports": {"https": port, "call": port + 1, "federation": port + 2},
    }
    return Access(Settings.model_validate(data))


def test_a_name_that_leads_nowhere() -> None:
    """Host and SNI are as people have them, and the gateway's own certificate counts, whoever signed it."""
    with site(trustme.CA(), WEB, API) as port:
        way = own.look(access(port), ("127.0.0.1",))
        assert way.route == {WEB: "127.0.0.1", API: "127.0.0.1"} and way.missing == ()
        assert WEB in way.told
        with way.client(5) as http:
            assert http.get(f"https://{API}:{port}/").text == f"{API}:{port} {API}"

        async def ask() -> tuple[str, str]:
            async with way.async_client(5) as http, aiohttp.ClientSession(connector=way.connector()) as other:
                first = (await http.get(f"https://{WEB}:{port}/")).text
                async with other.get(f"https://{WEB}:{port}/") as answer:
                    return first, await answer.text()

        assert asyncio.run(ask()) == (f"{WEB}:{port} {WEB}",) * 2


def test_a_host_without_a_certificate_yet() -> None:
    """It is told which; the others go on."""
    with site(trustme.CA(), WEB) as port:
        assert own.look(access(port), ("127.0.0.1",)).missing == (API,)


def test_a_name_that_leads_to_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is meant for us, our passwords among it, does not go there, even where it answers to the name."""
    usual = socket.getaddrinfo

    def lead(host: str, *rest: Any, **more: Any) -> Any:
        return usual("127.0.0.2" if host in (WEB, API) else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lead)
    ca = trustme.CA()
    with site(ca, WEB, API) as port, site(ca, WEB, API, address="127.0.0.2", port=port):
        assert own.look(access(port), ("127.0.0.1",)).route == {WEB: "127.0.0.1", API: "127.0.0.1"}
    with site(ca, WEB, API, address="127.0.0.2") as port:
        way = own.look(access(port), ("127.0.0.1",))
        assert way.route == {} and way.certificates == ()
        with way.client(5) as http, pytest.raises(httpx2.ConnectError):
            http.get(f"https://{API}:{port}/")


def test_local_needs_nothing() -> None:
    """A trial is reached as ever."""
    assert own.look(Access(Settings()), ("127.0.0.1",)) == own.Own()


def test_an_address_is_its_own_answer() -> None:
    """No DNS is asked for it."""
    assert dns.resolve("203.0.113.7") == dns.Resolved("203.0.113.7", ("203.0.113.7",), ("203.0.113.7",))
