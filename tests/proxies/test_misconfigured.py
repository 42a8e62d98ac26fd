"""Proxies that break something, by a real nginx and Apache: the doctor names what, and only that."""

import asyncio
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import pytest

from conftest import Stack
from proxies.conftest import Site
from proxies.running import apache, certificates, nginx, started
from samsesh.checks import public_long_polls, public_proxy
from samsesh.checks.public_proxy import Problem
from samsesh.clients.own import Own
from samsesh.diagnosis import Result
from samsesh.services.gateway import seen

pytestmark = pytest.mark.slow
SINGLE = "one.example.test"
SIZE = 30 * 1024 * 1024  # as media.upload_size of the tests' server
PEER = "127.0.0.9"  # none of proxy.trusted
# What stands in nginx's place of a host, where it is not as it should be: host -> lines by the name of what they say.
RIGHT = {
    "limit": "client_max_body_size 30m",
    "pass": "proxy_pass {to}",
    "for": "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for",
    "upgrade": "proxy_set_header Upgrade $http_upgrade",
    "connection": "proxy_set_header Connection $upgrading",
}
NGINX: dict[str, dict[str, str]] = {
    "right": {},
    "buffering": {"buffering": "proxy_request_buffering on"},
    "limit": {"limit": "client_max_body_size 1m"},  # as nginx has it by itself
    "slashes": {"pass": "proxy_pass {to}/"},
    "silent": {"for": 'proxy_set_header X-Forwarded-For ""'},
    "believing": {"for": "proxy_set_header X-Forwarded-For $http_x_forwarded_for"},
    "untrusted": {"bind": f"proxy_bind {PEER}"},
    "sockets": {"upgrade": 'proxy_set_header Upgrade ""'},
    "impatient": {"time": "proxy_read_timeout 2s"},
    "elsewhere": {"pass": "return 404"},
}
APACHE = {
    "apache-right": "AllowEncodedSlashes NoDecode\nProxyPass / {to}/ nocanon upgrade=websocket",
    "apache-slashes": "ProxyPass / {to}/ nocanon upgrade=websocket",
    "apache-sockets": "AllowEncodedSlashes NoDecode\nProxyPass / {to}/ nocanon",
    "apache-limit": "AllowEncodedSlashes NoDecode\nLimitRequestBody 1000000\nProxyPass / {to}/ nocanon upgrade=websocket",
}
WORDS = {
    "limit": "refuses files",
    "slashes": "%23a%2Fb",
    "silent": "does not say whose",
    "believing": "what people say of their own address",
    "untrusted": f"is not believed, since it comes from {PEER}",
    "sockets": "WebSocket",
    "elsewhere": "does not lead",
}


@pytest.fixture(scope="module")
def site(server: Stack) -> Iterator[Site]:
    """Behind an nginx at the https port and an Apache at that of federation, each with a host for each fault."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="samsesh-wrong-")))
        folder.chmod(0o755)
        own = certificates(folder, *(f"{name}.example.test" for name in (*NGINX, *APACHE)))
        to = f"http://127.0.0.1:{8080 + server.offset}"
        tls = f"ssl_certificate {own.chain}; ssl_certificate_key {own.key};"
        text = "map $http_upgrade $upgrading { default upgrade; '' ''; }\nproxy_http_version 1.1;\n"
        for name, wrong in NGINX.items():
            lines = ";\n".join({**RIGHT, **wrong}.values()).format(to=to)
            text += f"server {{ listen {443 + server.offset} ssl; server_name {name}.example.test; {tls}\n"
            text += f"location / {{ {lines}; }} }}\n"
        for kind in ("nginx", "apache"):
            (folder / kind).mkdir()
            (folder / kind).chmod(0o755)
        (folder / "nginx" / "samsesh.conf").write_text(text)
        port = 8448 + server.offset
        text = f"Listen {port}\n"
        for name, lines in APACHE.items():
            text += f"<VirtualHost *:{port}>\nServerName {name}.example.test\nSSLEngine On\n"
            text += f"SSLCertificateFile {own.chain}\nSSLCertificateKeyFile {own.key}\n"
            text += f"ProxyPreserveHost On\n{lines.format(to=to)}\n</VirtualHost>\n"
        (folder / "apache" / "samsesh.conf").write_text(text)
        for kind, wrap, at in (("nginx", nginx, 443), ("apache", apache, 8448)):
            running.enter_context(started(kind, wrap(folder / kind), folder / kind, at + server.offset))
        yield Site(server, server.status()["addresses"], own, folder)


def way(site: Site) -> Own:
    hosts = {f"{name}.example.test": "127.0.0.1" for name in (*NGINX, *APACHE)}
    return Own(hosts, (ssl.PEM_cert_to_DER_cert(site.own.root.read_text()),))


def examined(site: Site, name: str) -> list[Problem]:
    base = f"https://{name}.example.test:{site.port(8448 if name in APACHE else 443)}"

    async def examine() -> list[Problem]:
        key = (site.stack.home.secrets_dir / "doctor_key").read_text().strip()
        async with aiohttp.ClientSession(connector=way(site).connector(), headers={seen.HEADER: key}) as http:
            return await public_proxy.examine(http, base, f"{base}/livekit/sfu", SIZE)

    return asyncio.run(examine())


@pytest.mark.parametrize("name", ["right", "buffering", "impatient", "apache-right"])
def test_what_is_right(site: Site, name: str) -> None:
    """A proxy that passes everything on, buffered or not, has no fault; one that is impatient has none of these."""
    assert examined(site, name) == []


@pytest.mark.parametrize("name", [*WORDS, *(name for name in APACHE if name != "apache-right")])
def test_each_fault_is_named(site: Site, name: str) -> None:
    """Exactly that, with what to do."""
    (problem,) = examined(site, name)
    assert WORDS[name.removeprefix("apache-")] in problem.what and problem.advice


@pytest.mark.parametrize(("name", "status"), [("right", "ok"), ("impatient", "failed")])
def test_long_polls(site: Site, name: str, status: str) -> None:
    """An answer that is let wait is well; one that is cut off is named, with how long it lasted."""

    async def wait() -> Result:
        async with way(site).async_client(20, headers={"Authorization": f"Bearer {token}"}) as http:
            url = f"https://{name}.example.test:{site.port(443)}{public_long_polls.SYNC}"
            return await public_long_polls.wait(http, url, 5)

    with site.client() as http:
        token = site.log_in(http)
    found = asyncio.run(wait())
    assert found.status == status, found
    assert ("longer than 2 s" in found.summary) is (status == "failed")


def test_strangers_are_told_nothing(site: Site) -> None:
    """Without the doctor's key the question is one for a page that is not there."""
    with site.client() as http:
        for headers in ({}, {seen.HEADER: ""}, {seen.HEADER: "guess"}):
            for port in (8080, 8008, 8083, 7880):
                answer = http.get(f"http://127.0.0.1:{site.port(port)}{seen.PATH}", headers=headers)
                assert seen.parse(answer.text) is None
