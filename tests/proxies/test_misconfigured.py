"""Proxies that break something, by a real nginx and Apache: the doctor names what, and only that."""

import asyncio
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import httpx2
import pytest

from proxies.gateway import Gateway, gateway
from proxies.running import Certificates, apache, certificates, nginx, started
from samsesh import web_servers
from samsesh.access import Access
from samsesh.checks import public_long_polls, public_ports, public_proxy
from samsesh.checks.public_proxy import Problem
from samsesh.clients.own import Own
from samsesh.diagnosis import Patient, Result
from samsesh.secrets import Secret
from samsesh.services.gateway import seen

pytestmark = pytest.mark.needs("caddy")
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
    "one": {},
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


@dataclass(frozen=True)
class Site:
    """A gateway behind an nginx at the https port and an Apache at that of federation, with a host for each fault."""

    gateway: Gateway
    way: Own

    def base(self, name: str) -> str:
        port = self.gateway.port("federation" if name in APACHE else "https")
        return f"https://{name}.example.test:{port}"

    def examined(self, name: str) -> list[Problem]:
        return asyncio.run(self._examine(self.base(name)))

    async def _examine(self, base: str) -> list[Problem]:
        headers = {seen.HEADER: self.gateway.key}
        async with aiohttp.ClientSession(connector=self.way.connector(), headers=headers) as http:
            return await public_proxy.examine(http, base, f"{base}/livekit/sfu", SIZE)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="samsesh-wrong-")))
        folder.chmod(0o755)
        hosts = [f"{name}.example.test" for name in (*NGINX, *APACHE)]
        own = certificates(folder, *hosts)
        ours = running.enter_context(gateway(folder, hosts={"single": "one.example.test"}))
        to = f"http://127.0.0.1:{ours.port('web')}"
        for kind, arguments, text, port in (
            ("nginx", nginx, nginx_text(own, to, ours.port("https")), "https"),
            ("apache", apache, apache_text(own, to, ours.port("federation")), "federation"),
        ):
            (folder / kind).mkdir()
            (folder / kind).chmod(0o755)
            (folder / kind / "samsesh.conf").write_text(text)
            running.enter_context(started(kind, arguments(folder / kind), folder / kind, ours.port(port)))
        root = ssl.PEM_cert_to_DER_cert(own.root.read_text())
        yield Site(ours, Own(dict.fromkeys(hosts, "127.0.0.1"), (root,)))


def nginx_text(own: Certificates, to: str, port: int) -> str:
    text = "map $http_upgrade $upgrading { default upgrade; '' ''; }\nproxy_http_version 1.1;\n"
    for name, wrong in NGINX.items():
        lines = ";\n".join({**RIGHT, **wrong}.values()).format(to=to)
        text += f"server {{ listen {port} ssl; server_name {name}.example.test;\n"
        text += f"ssl_certificate {own.chain}; ssl_certificate_key {own.key};\n"
        text += f"location / {{ {lines}; }} }}\n"
    return text


def apache_text(own: Certificates, to: str, port: int) -> str:
    text = f"Listen {port}\n"
    for name, lines in APACHE.items():
        text += f"<VirtualHost *:{port}>\nServerName {name}.example.test\nSSLEngine On\n"
        text += f"SSLCertificateFile {own.chain}\nSSLCertificateKeyFile {own.key}\n"
        text += f"ProxyPreserveHost On\n{lines.format(to=to)}\n</VirtualHost>\n"
    return text


@pytest.mark.parametrize("name", ["one", "buffering", "impatient", "apache-right"])
def test_what_is_right(site: Site, name: str) -> None:
    """A proxy that passes everything on, buffered or not, has no fault; one that is impatient has none of these."""
    assert site.examined(name) == []


@pytest.mark.parametrize("name", [*WORDS, *(name for name in APACHE if name != "apache-right")])
def test_each_fault_is_named(site: Site, name: str) -> None:
    """Exactly that, with what to do."""
    found = site.examined(name)
    (problem,) = found
    assert WORDS[name.removeprefix("apache-")] in problem.what and problem.advice


class Examined(Patient):
    """Of a gateway that runs without a process manager."""

    async def need(self, *units: str) -> None:
        pass


def test_the_doctor_asks_at_the_addresses_of_people(site: Site) -> None:
    """It goes by the public names, and names the web server that it met."""
    ours = site.gateway
    secrets = SimpleNamespace(doctor_key=Secret(ours.key))
    access = Access(ours.settings, ("127.0.0.1",))
    server: Any = SimpleNamespace(settings=ours.settings, access=access, plan=ours.plan, secrets=secrets)

    async def check() -> Result:
        patient = Examined(server)

        async def way() -> Own:
            return site.way

        await patient.once("way", way)
        return await public_proxy.check(patient)

    found = asyncio.run(check())
    assert (found.status, found.summary.partition(" ")[0]) == ("ok", "nginx"), found
    assert "samsesh proxy-config nginx" in public_ports.proxied(server).summary


def test_what_is_told() -> None:
    """The first fault in the sentence, all of them below, and the configuration that has none of them."""
    found = public_proxy.judged(
        [Problem("is late", "hurry"), Problem("is dear", "haggle")], web_servers.APACHE
    )
    assert found.status == "failed" and found.summary == "Apache is late"
    assert "is dear" in found.seen and "haggle" in found.advice
    assert found.advice.endswith("samsesh proxy-config apache")


def test_two_proxies_in_a_row() -> None:
    """The one in front has to be trusted, too; else everybody has its address."""
    seen_ = seen.Seen("10.0.0.5", "127.0.0.1", "198.51.100.7, 10.0.0.5", "", "")
    (problem,) = public_proxy.address(seen_)
    assert "everybody counts as 10.0.0.5" in problem.what and "proxy.trusted" in problem.advice
    assert public_proxy.address(replace(seen_, client="198.51.100.7")) == []


@pytest.mark.parametrize(("name", "status"), [("one", "ok"), ("impatient", "failed")])
def test_long_polls(site: Site, name: str, status: str) -> None:
    """An answer that is let wait is well; one that is cut off is named, with how long it lasted."""

    async def wait() -> Result:
        async with site.way.async_client(20) as http:
            return await public_long_polls.wait(http, site.base(name) + public_long_polls.SYNC, 5)

    found = asyncio.run(wait())
    assert found.status == status, found
    assert ("longer than 2 s" in found.summary) is (status == "failed")


def test_strangers_are_told_nothing(site: Site) -> None:
    """Without the doctor's key the question is one for a page that is not there."""
    with httpx2.Client(trust_env=False) as http:
        for headers in ({}, {seen.HEADER: ""}, {seen.HEADER: "guess"}):
            for name in ("web", "api", "rtc_auth", "livekit"):
                url = f"http://127.0.0.1:{site.gateway.port(name)}{seen.PATH}"
                assert seen.parse(http.get(url, headers=headers).text) is None
