"""The documents of the server name as those ask who will come, at a real https server."""

import asyncio
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme

from samsesh.checks import public_delegation
from samsesh.clients.own import Own

HOST, OTHER = "example.test", "www.example.test"
CLIENT = {"m.homeserver": {"base_url": "https://matrix.example.test"}}
WANTED: dict[str, dict[str, Any]] = {"client": CLIENT, "server": {"m.server": "matrix.example.test:443"}}
ANY = {"Access-Control-Allow-Origin": "*"}
Answer = tuple[int, dict[str, str], Any]


@dataclass
class Web:
    """An https server under two names. `answer` gets host, path and the request's headers."""

    answer: Callable[[str, str, Any], Answer]
    heard: list[tuple[str, str, str]] = field(default_factory=list)  # document, User-Agent, TLS
    way: Own = field(default_factory=Own)
    port: int = 0
    tls: ssl.SSLContext = field(default_factory=lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    def problems(self) -> list[str]:
        return asyncio.run(public_delegation.examine(self.way, f"https://{HOST}:{self.port}", WANTED))


def documents(_: str, path: str, __: Any) -> Answer:
    return 200, ANY, WANTED[path.rpartition("/")[2]]


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web(documents)

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            assert isinstance(self.connection, ssl.SSLSocket)
            agent, name = self.headers["User-Agent"], self.path.rpartition("/")[2]
            web.heard.append((name, agent, str(self.connection.version())))
            status, headers, body = web.answer(self.headers["Host"].split(":")[0], self.path, self.headers)
            text = json.dumps(body).encode()
            self.send_response(status)
            for header, value in {**headers, "Content-Length": str(len(text))}.items():
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(text)

    authority = trustme.CA()
    authority.issue_cert(HOST, OTHER).configure_cert(web.tls)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = web.tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = ssl.PEM_cert_to_DER_cert(authority.cert_pem.bytes().decode())
    web.way, web.port = Own({HOST: "127.0.0.1", OTHER: "127.0.0.1"}, (root,)), server.server_port
    yield web
    server.shutdown()
    server.server_close()


def test_all_is_well(web: Web) -> None:
    """Web apps, apps, old ones and other servers each find what they look for, by their own words."""
    assert web.problems() == []
    asked = {(name, agent.partition("/")[0]) for name, agent, _ in web.heard}
    assert asked == {("client", "Mozilla"), ("client", "okhttp"), ("server", "Synapse")}
    assert {tls for _, _, tls in web.heard} == {"TLSv1.2", "TLSv1.3"}


def test_who_refuses_servers(web: Web) -> None:
    """A filter against robots that lets browsers through, and no homeserver."""
    web.answer = lambda host, path, headers: (
        (403, ANY, {}) if "Synapse" in headers["User-Agent"] else documents(host, path, headers)
    )
    (problem,) = web.problems()
    assert "HTTP status 403" in problem and problem.endswith("(seen by other servers)")


def test_only_new_tls(web: Web) -> None:
    """Who has TLS 1.2 only is named as the one that is kept out."""
    web.tls.minimum_version = ssl.TLSVersion.TLSv1_3
    (problem,) = web.problems()
    assert "no answer" in problem and problem.endswith("(seen by apps with TLS 1.2)")


def test_each_hop(web: Web) -> None:
    """A redirect that no page may read ends the way of web apps, however good the document behind it is."""

    def led(headers: dict[str, str]) -> Callable[[str, str, Any], Answer]:
        target = f"https://{OTHER}:{web.port}"
        return lambda host, path, asked: (
            (302, {**headers, "Location": target + path}, {})
            if host == HOST
            else documents(host, path, asked)
        )

    web.answer = led(ANY)
    assert web.problems() == []
    web.answer = led({})
    (problem,) = web.problems()
    assert "0 times" in problem and problem.endswith("(seen by web apps)")


def test_an_origin_that_is_echoed(web: Web) -> None:
    """Readable for the page that asks; not so behind a second host, where browsers say another origin."""

    def echo(host: str, path: str, headers: Any) -> Answer:
        allowed = {"Access-Control-Allow-Origin": "https://app.example.net"} if headers["Origin"] else {}
        return 200, allowed, WANTED[path.rpartition("/")[2]]

    def led(host: str, path: str, headers: Any) -> Answer:
        status, allowed, document = echo(host, path, headers)
        place = {"Location": f"https://{OTHER}:{web.port}{path}"}
        return (302, {**allowed, **place}, {}) if host == HOST else (status, allowed, document)

    web.answer = echo
    assert web.problems() == []
    web.answer = led
    (problem,) = web.problems()
    assert OTHER in problem and "web apps" in problem


def test_ways_that_end_nowhere(web: Web) -> None:
    """Plain http and circles: nobody goes on there."""
    web.answer = lambda host, path, headers: (301, {**ANY, "Location": f"http://{OTHER}{path}"}, {})
    assert all("without https" in problem for problem in web.problems())
    web.answer = lambda host, path, headers: (301, {**ANY, "Location": path}, {})
    assert all("on and on" in problem for problem in web.problems())


@pytest.mark.parametrize(
    ("found", "same"),
    [
        ("https://matrix.example.test/", True),
        ("https://matrix.example.test:443", True),
        ("https://Matrix.Example.Test:443/", True),
        ("https://matrix.example.test:8448", False),
        ("http://matrix.example.test", False),
        ("https://matrix.example.test/more", False),
        (None, False),
    ],
)
def test_what_goes_without_saying(found: Any, same: bool) -> None:
    """A slash at the end of `base_url` and the port of https change nothing."""
    document = {"m.homeserver": {"base_url": found}, "m.more": {}}
    assert (public_delegation.judged(200, document, "client", CLIENT) == []) is same


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        ("matrix.example.test", "matrix.example.test:8448", True),
        ("MATRIX.example.test:8448", "matrix.example.test:8448", True),
        ("matrix.example.test", "matrix.example.test:443", False),
        ("https://matrix.example.test:443", "matrix.example.test:443", False),
        ("matrix.example.test:443/", "matrix.example.test:443", False),
        (443, "matrix.example.test:443", False),
    ],
)
def test_a_server_without_port_is_8448(found: Any, wanted: str, same: bool) -> None:
    """As other servers read it; what they cannot read is no harmless difference."""
    assert public_delegation.same_server(found, wanted) is same


def test_lists_in_the_document() -> None:
    """Where calls are is compared as deeply, and a slash in there is none of the harmless ones."""
    focus = {"type": "livekit", "livekit_service_url": "https://rtc.example.test/livekit/jwt"}
    wanted = {"org.matrix.msc4143.rtc_foci": [focus]}

    def with_url(url: str) -> dict[str, Any]:
        return {"org.matrix.msc4143.rtc_foci": [{**focus, "livekit_service_url": url}]}

    assert not public_delegation.judged(
        200, with_url("https://rtc.example.test:443/livekit/jwt"), "client", wanted
    )
    assert public_delegation.judged(200, with_url("https://rtc.example.test/livekit/jwt/"), "client", wanted)
    assert "not the document" in public_delegation.judged(404, {}, "client", wanted)[0]
