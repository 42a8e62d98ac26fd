"""One suite for every kind of proxy: what `samsesh proxy-config` prints is complete, and gives nothing away."""

import asyncio
import os
import socket
import ssl
import time
from contextlib import suppress
from itertools import count
from typing import Any

import aiohttp
import httpx2
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from livekit import api
from livekit.protocol import rtc as protocol

from access.sites import client
from programs import missing
from proxies.conftest import Site
from samsesh.clients import sfu

pytestmark = pytest.mark.slow
SINGLE = ""
FORGED_ADDRESS = "203.0.113.66"
FORGED = {
    "X-Forwarded-For": FORGED_ADDRESS,
    "X-Real-IP": FORGED_ADDRESS,
    "Forwarded": f"for={FORGED_ADDRESS}",
}
NUMBERS = count(1)  # of addresses that nobody else had
CLIENT_API = "/_matrix/client/v3"
MEGA = 1024 * 1024
ADA = "@ada:example.test"


def seen_from(http: httpx2.Client, base: str, token: str, address: str, **headers: str) -> set[str]:
    """Addresses from which Synapse saw ada, once `address` is among them: it writes them down after some seconds."""
    sent = {"Authorization": f"Bearer {token}", **headers}
    found, end = set[str](), time.monotonic() + 20
    while time.monotonic() < end and address not in found:
        answer = http.get(f"{base}{CLIENT_API}/admin/whois/{ADA}", headers=sent)
        assert answer.status_code == 200, answer.text
        sessions = answer.json()["devices"][""]["sessions"]
        found = {one["ip"] for session in sessions for one in session["connections"]}
        time.sleep(0.2)
    return found


def test_discovery(site: Site) -> None:
    """The documents are at the bare domain and the API's host, readable for web pages, and name this server."""
    bare = f"https://example.test:{site.port(443)}"
    with site.client() as http:
        for base in (bare, site.api):
            answer = http.get(f"{base}/.well-known/matrix/client")
            assert answer.headers["access-control-allow-origin"] == "*"
            assert answer.json()["m.homeserver"]["base_url"] == site.api
            server = http.get(f"{base}/.well-known/matrix/server").json()["m.server"]
            assert f"https://{server}" == site.api
        assert http.get(f"{bare}/", follow_redirects=False).headers["location"] == site.web
        assert http.get(f"{bare}/_matrix/client/versions").status_code in (302, 404)


def test_pages(site: Site) -> None:
    """The web client, Element Call and its way to this server's calls, over HTTP/2; a trial is not secured for a year."""
    with site.client() as http:
        answer = http.get(f"{site.web}/")
        assert (answer.status_code, answer.http_version) == (200, "HTTP/2")
        assert "text/html" in answer.headers["content-type"]
        assert "strict-transport-security" not in answer.headers  # it is a trial
        if "call" not in site.addresses:
            missing("Element Call could not be got")
        assert http.get(f"{site.addresses['call']}/room/").status_code == 200
        config = http.get(f"{site.addresses['call']}/config.json").json()
        assert config["livekit"]["livekit_service_url"] == site.addresses["rtc"]


def test_plain_http_leads_to_https(site: Site) -> None:
    """To the same place of the same host, if that is one of ours."""
    host = site.web.partition("://")[2].partition(":")[0]
    with site.client() as http:
        answer = http.get(f"http://{host}:{site.port(80)}/x?y=1", follow_redirects=False)
        made_up = {"Host": "evil.test"}
        other = http.get(f"http://{host}:{site.port(80)}/x?y=1", headers=made_up, follow_redirects=False)
    # The Caddy of an operator leads every host on by itself, whatever is in the configuration of one server.
    assert not other.is_redirect or (site.folder / "caddy").exists()
    assert answer.status_code in (301, 302, 308)
    assert answer.headers["location"] == f"{site.web}/x?y=1"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(site: Site) -> None:
    """TLS 1.2 at least, at both ports."""
    for port in (443, 8448):
        old = ssl.create_default_context(cafile=str(site.own.root))
        old.set_ciphers("DEFAULT:@SECLEVEL=0")
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with (
            socket.create_connection(("127.0.0.1", site.port(port)), timeout=10) as link,
            pytest.raises(ssl.SSLError),
            old.wrap_socket(link, server_hostname="example.test"),
        ):
            pass


def test_federation(site: Site) -> None:
    """Other servers find the keys at the https port and at 8448, by the API's host and by the server name."""
    api_host = site.api.partition("://")[2].partition(":")[0]
    places = [(api_host, 443), (api_host, 8448), ("example.test", 8448)]
    with site.client() as http:
        for host, port in places:
            base = f"https://{host}:{site.port(port)}"
            assert http.get(f"{base}/_matrix/key/v2/server").json()["server_name"] == "example.test"
            assert http.get(f"{base}/_matrix/federation/v1/version").json()["server"]["name"] == "Synapse"
        assert http.get(f"{base}/_matrix/client/versions").status_code == 404


def test_long_polls(site: Site) -> None:
    """A sync that waits for news is let wait, and its answer comes whole."""
    with site.client() as http:
        token = site.log_in(http)
        sent = {"Authorization": f"Bearer {token}"}
        first = http.get(f"{site.api}{CLIENT_API}/sync?timeout=0", headers=sent).json()
        begin = time.monotonic()
        query = {"since": first["next_batch"], "timeout": "4000"}
        answer = http.get(f"{site.api}{CLIENT_API}/sync", params=query, headers=sent)
        assert answer.status_code == 200 and answer.json()["next_batch"]
        assert time.monotonic() - begin >= 3.9


def test_large_files(site: Site) -> None:
    """A file of 25 MB comes and goes, encoded names and all; one above the limit is refused."""
    content = os.urandom(25 * MEGA)
    with site.client() as http:
        sent = {"Authorization": f"Bearer {site.log_in(http)}"}
        upload = f"{site.api}/_matrix/media/v3/upload"
        answer = http.post(upload, content=content, headers=sent, params={"filename": "a b.bin"})
        assert answer.status_code == 200, answer.text
        server, _, media = answer.json()["content_uri"].removeprefix("mxc://").partition("/")
        there = f"{site.api}/_matrix/client/v1/media/download/{server}/{media}"
        assert http.get(there, headers=sent).content == content
        with suppress(
            httpx2.TransportError
        ):  # refused before all of it was sent, which this client does not notice
            refused = http.post(upload, content=bytes(31 * MEGA), headers=sent, timeout=5)
            # Apache does not limit what it passes on; it answers so where the gateway hangs up on it.
            assert refused.status_code in ((413, 502) if "apache" in site.folder.name else (413,))


def test_encoded_names(site: Site) -> None:
    """Names of rooms and events have %23 and %2F in paths: they reach Synapse as they are."""
    with site.client() as http:
        sent = {"Authorization": f"Bearer {site.log_in(http)}"}
        answer = http.get(f"{site.api}{CLIENT_API}/directory/room/%23no%2Fwhere:example.test", headers=sent)
    assert (answer.status_code, answer.json()["errcode"]) == (404, "M_NOT_FOUND")
    assert "#no/where:example.test" in answer.json()["error"] or "not found" in answer.json()["error"]


def test_forged_addresses(site: Site) -> None:
    """Synapse writes down where people come from, whatever they say of themselves."""
    own = f"127.0.7.{next(NUMBERS)}"
    with client(site.own.root, http2=True, source=own) as http:
        found = seen_from(http, site.api, site.log_in(http), own, **FORGED)
    assert own in found and FORGED_ADDRESS not in found


def test_who_goes_past_the_proxy_is_not_believed(site: Site) -> None:
    """At the gateway's own port only the trusted proxy's word counts, and of it only what it added itself."""
    base = f"http://127.0.0.1:{site.port(8008)}"
    own, told = f"127.0.7.{next(NUMBERS)}", f"198.51.100.{next(NUMBERS)}"
    with client(source=own) as http:  # not among proxy.trusted
        found = seen_from(http, base, site.log_in(http), own, **FORGED)
    assert own in found and FORGED_ADDRESS not in found
    said = {"X-Forwarded-For": f"{FORGED_ADDRESS}, {told}"}  # a proxy that adds to what a client sent
    with client() as http:
        found = seen_from(http, base, site.log_in(http), told, **said)
    assert told in found and FORGED_ADDRESS not in found


def test_one_request_is_answered_once(site: Site) -> None:
    """What is left of a body that nobody read is no next request: on a shared connection it would be somebody else's."""
    unit = b"GET /healthz HTTP/1.1\r\nHost: rtc.example.test\r\n\r\n"
    body = unit * (5 * MEGA // len(unit))
    for port, path in (
        (8083, b"/get_token"),
        (8083, b"/healthz"),
        (7880, b"/nowhere"),
        (8008, b"/_matrix/x"),
    ):
        head = b"POST %s HTTP/1.1\r\nHost: rtc.example.test\r\nContent-Length: %d\r\n\r\n"
        with socket.create_connection(("127.0.0.1", site.port(port)), timeout=10) as link:
            with suppress(OSError):  # it hangs up before it has heard all
                link.sendall(head % (path, len(body)) + body)
            assert answers(link) <= 1, path


def answers(link: socket.socket) -> int:
    """How many come until the connection ends."""
    got = b""
    with suppress(ConnectionResetError):
        while (more := link.recv(65536)) and len(got) < MEGA:
            got += more
    return got.count(b"HTTP/1.1 ")


def test_what_is_not_there(site: Site) -> None:
    """Synapse's administration and the panel have no way through the proxy; unknown hosts get nothing of ours."""
    with site.client() as http:
        for path in ("/_synapse/admin/v1/server_version", "/_synapse/admin/v1/users/@ada:example.test"):
            answer = http.get(f"{site.api}{path}")
            assert answer.status_code == 404 or "server_version" not in answer.text
            assert "M_MISSING_TOKEN" not in answer.text
        panel = http.get(f"http://127.0.0.1:{site.port(8081)}/").text
        for base in (site.web, site.api):
            for path in ("/", "/admin", "/admin/"):
                assert http.get(f"{base}{path}", headers={"Host": "admin.example.test"}).text != panel
                assert http.get(f"{base}{path}").text != panel
    for file in site.folder.iterdir():
        if file.is_file() and file.suffix != ".pem" and file.name != "log":
            assert f":{site.port(8081)}" not in file.read_text(errors="replace"), file


class Here(AbstractResolver):
    """Every name is this machine's."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        found: ResolveResult = {
            "hostname": host,
            "host": "127.0.0.1",
            "port": port,
            "family": socket.AF_INET,
            "proto": 0,
            "flags": 0,
        }
        return [found]

    async def close(self) -> None:
        pass


def test_calls(site: Site) -> None:
    """The authorization service answers below its path, and LiveKit's signalling opens a web socket through it."""
    if "livekit" not in site.addresses:
        missing("LiveKit could not be got")
    with site.client() as http:
        assert http.get(f"{site.addresses['rtc']}/healthz").status_code == 200
    asyncio.run(signal(site))


async def signal(site: Site) -> None:
    secrets = site.stack.home.secrets_dir
    key, secret = ((secrets / name).read_text().strip() for name in ("livekit_key", "livekit_secret"))
    grants = api.VideoGrants(room_join=True, room="behind-a-proxy")
    jwt = api.AccessToken(key, secret).with_identity("somebody").with_grants(grants).to_jwt()
    query = {"access_token": jwt, "protocol": "15", "sdk": "python", "auto_subscribe": "0"}
    trust = ssl.create_default_context(cafile=str(site.own.root))
    connector = aiohttp.TCPConnector(resolver=Here(), ssl=trust)
    async with (
        sfu.room(f"http://127.0.0.1:{site.port(12787)}", key, secret, "behind-a-proxy"),
        asyncio.timeout(30),
        aiohttp.ClientSession(connector=connector) as http,
        http.ws_connect(f"{site.addresses['livekit']}/rtc", params=query) as link,
    ):
        ended = link.get_extra_info("socket")
        first = await link.receive()
        assert first.type is aiohttp.WSMsgType.BINARY
        assert protocol.SignalResponse.FromString(first.data).join.room.name == "behind-a-proxy"
        await link.send_bytes(protocol.SignalRequest(leave=protocol.LeaveRequest()).SerializeToString())
    async with asyncio.timeout(10):
        while ended.fileno() != -1:  # aiohttp does not wait for the end of TLS
            await asyncio.sleep(0.01)
