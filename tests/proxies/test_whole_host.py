"""Proxies that pass whole hosts on, all paths to one port: as a NAS, Nginx Proxy Manager and tunnels do, by real ones.

And Apache as it is printed, for the same paths; the whole suite of test_proxies.py has it, too.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from access.sites import client
from proxies.gateway import Gateway, gateway
from proxies.running import Certificates, apache, certificates, nginx, started
from samsesh import web_servers
from samsesh.access import Access
from samsesh.proxies import apache as printed_apache
from samsesh.proxies.layout import Layout, layout

pytestmark = pytest.mark.needs("caddy")
ONE, BARE = "one.example.test", "example.test"
SERVICES = ("chat", "matrix", "call", "rtc")
NGINX = """server {{
listen {port} ssl http2; server_name {host};
ssl_certificate {own.chain}; ssl_certificate_key {own.key};
proxy_http_version 1.1;
location / {{
proxy_pass http://{to};
proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
}}
}}
"""
APACHE = """<VirtualHost *:{port}>
ServerName {host}
SSLEngine On
SSLCertificateFile {own.chain}
SSLCertificateKeyFile {own.key}
AllowEncodedSlashes NoDecode
ProxyPreserveHost On
ProxyPass / http://{to}/ nocanon upgrade=websocket
</VirtualHost>
"""


@dataclass(frozen=True)
class Site:
    gateway: Gateway
    own: Certificates
    hosts: dict[str, str]  # service -> its host
    program: str  # "nginx" or "apache"
    printed: bool  # whether that has what proxy-config prints

    def client(self) -> httpx2.Client:
        return client(self.own.root, source="127.0.0.5")

    def url(self, host: str, path: str) -> str:
        return f"https://{host}:{self.gateway.port('https')}{path}"

    def got(self, service: str, path: str) -> Any:
        """What the service behind got of a request to that service's host."""
        with self.client() as http:
            answer = http.get(self.url(self.hosts[service], path))
            assert answer.status_code == 200, (service, path, answer.text)
            return answer.json()


def whole(kind: str, wanted: Layout, own: Certificates) -> str:
    """What an operator fills in: hosts and ports, nothing of paths."""
    template, before = {
        "nginx": (NGINX, ""),
        "apache": (APACHE, "".join(f"Listen {port}\n" for port in wanted.ports)),
    }[kind]
    return before + "".join(
        template.format(port=one.port, host=one.host, to=f"{wanted.gateway}:{one.to}", own=own)
        for one in wanted.forwards
    )


@pytest.fixture(
    scope="module",
    params=[(kind, single) for kind in ("nginx", "apache", "printed") for single in (ONE, "")],
    ids=lambda param: f"{param[0]}-{'one host' if param[1] else 'hosts'}",
)
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    kind, single = request.param
    hosts = {name: single or f"{name}.example.test" for name in SERVICES}
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="samsesh-whole-")))
        folder.chmod(0o755)
        own = certificates(folder, BARE, *hosts.values())
        ours = running.enter_context(gateway(folder, hosts={"single": single}))
        wanted = layout(
            Access(ours.settings, ("127.0.0.1",)), v6=False, certificate=str(own.chain), key=str(own.key)
        )
        wrap = nginx if kind == "nginx" else apache
        text = printed_apache.render(wanted) if kind == "printed" else whole(kind, wanted, own)
        (folder / "samsesh.conf").write_text(text)
        program = "nginx" if kind == "nginx" else "apache"
        running.enter_context(started(program, wrap(folder), folder, ours.port("https")))
        yield Site(ours, own, hosts, program, kind == "printed")


def test_every_path_reaches_its_service(site: Site) -> None:
    """The API, the authorization service and LiveKit get their paths as they know them, names and all."""
    for service, host, path, behind in (
        ("synapse", "matrix", "/_matrix/client/versions", "/_matrix/client/versions"),
        ("synapse", "matrix", "/_matrix/x/%23a%2Fb?c=%2F", "/_matrix/x/%23a%2Fb?c=%2F"),
        ("rtc-auth", "rtc", "/livekit/jwt/sfu/get", "/sfu/get"),
        ("livekit", "rtc", "/livekit/sfu/rtc/validate?a=b", "/rtc/validate?a=b"),
        ("livekit", "rtc", "/livekit/sfu/", "/"),
    ):
        got = site.got(host, path)
        assert (got["service"], got["path"]) == (service, behind)
        assert got["client"] == "127.0.0.5"


def test_the_documents_are_at_every_host(site: Site) -> None:
    """The bare domain, passed on whole, has them, too, and leads people to the chat."""
    with site.client() as http:
        for host in (BARE, site.hosts["matrix"]):
            document = http.get(site.url(host, "/.well-known/matrix/client")).json()
            assert document["m.homeserver"]["base_url"] == site.url(site.hosts["matrix"], "")
        answer = http.get(site.url(BARE, "/"), follow_redirects=False)
        assert answer.headers["location"] == site.url(site.hosts["chat"], "")
        keys = http.get(site.url(BARE, "/_matrix/key/v2/server"), follow_redirects=False)
        assert keys.is_redirect or keys.json()["service"] == "synapse"  # printed ones have it at 8448 alone
        # Pages are the chat's, also where the API has the same host: nothing leads in a circle.
        assert http.get(site.url(site.hosts["chat"], "/"), follow_redirects=False).status_code != 302


def test_administration_is_at_none(site: Site) -> None:
    """Neither Synapse's nor ours, whatever host and path are asked for."""
    with site.client() as http:
        for host in (BARE, *site.hosts.values()):
            answer = http.get(site.url(host, "/_synapse/admin/v1/users"), follow_redirects=False)
            assert "synapse" not in answer.text or answer.status_code == 404, answer.text
            assert f":{site.gateway.port('admin')}" not in answer.headers.get("location", "")


def test_with_and_without_a_prefix(site: Site) -> None:
    """At the gateway's own ports, for proxies that leave out the path by which they chose one."""
    with client() as http:
        for name, path, prefix in (
            ("rtc_auth", "/sfu/get", "/livekit/jwt"),
            ("livekit", "/rtc/validate", "/livekit/sfu"),
        ):
            for asked in (path, prefix + path):
                got = http.get(f"http://127.0.0.1:{site.gateway.port(name)}{asked}").json()
                assert got["path"] == path


def test_plain_http(site: Site) -> None:
    """As it is printed, plain http leads to the same place by https, encoded names and all; nobody elsewhere."""
    if not site.printed:
        return
    with client() as http:
        url = f"http://{site.hosts['chat']}:{site.gateway.port('http')}/x%2Fy?y=%3F"
        answer = http.get(url, follow_redirects=False)
        assert answer.headers["location"] == site.url(site.hosts["chat"], "/x%2Fy?y=%3F")
        other = http.get(url, follow_redirects=False, headers={"Host": "evil.test"})
        assert other.status_code == 404


def test_it_is_recognised(site: Site) -> None:
    """By the process that has the port, and by what it answers where that is not to be seen."""
    port = site.gateway.port("https")
    for found in (web_servers.before(port), web_servers.at_port(port)):
        assert found is not None and found.kind == site.program
