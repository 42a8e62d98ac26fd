"""Proxies that pass whole hosts on, all paths to one port: as a NAS, Nginx Proxy Manager and tunnels do, by real ones."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from conftest import Stack
from proxies.conftest import HOSTS, Site
from proxies.running import apache, certificates, nginx, printed, started
from proxies.test_proxies import (
    test_calls,
    test_encoded_names,
    test_forged_addresses,
    test_large_files,
    test_what_is_not_there,
)

__all__ = [
    "test_calls",
    "test_encoded_names",
    "test_forged_addresses",
    "test_large_files",
    "test_what_is_not_there",
]
pytestmark = pytest.mark.slow
SINGLE = "one.example.test"
NGINX = """server {{
listen {port} ssl http2; server_name {host};
ssl_certificate {own.chain}; ssl_certificate_key {own.key};
client_max_body_size 30m; proxy_http_version 1.1;
location / {{
proxy_pass {to};
proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrading;
}}
}}
"""
APACHE = """<VirtualHost *:{port}>
ServerName {host}
SSLEngine On
SSLCertificateFile {own.chain}
SSLCertificateKeyFile {own.key}
LimitRequestBody 31457280
AllowEncodedSlashes NoDecode
ProxyPreserveHost On
ProxyPass / {to}/ nocanon upgrade=websocket
</VirtualHost>
"""


@pytest.fixture(scope="module", params=("nginx", "apache"))
def site(server: Stack, request: pytest.FixtureRequest) -> Iterator[Site]:
    """Behind one that is told hosts and ports, as the rules of a tunnel have them, and nothing of paths."""
    kind, port = request.param, 443 + server.offset
    rules = yaml.safe_load(printed(server, "cloudflared"))["ingress"]
    with tempfile.TemporaryDirectory(prefix=f"samsesh-whole-{kind}-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        own = certificates(folder, "example.test", *HOSTS)
        template, before = {
            "nginx": (NGINX, "map $http_upgrade $upgrading { default upgrade; '' ''; }\n"),
            "apache": (APACHE, f"Listen {port}\n"),
        }[kind]
        sites = [
            template.format(port=port, host=rule["hostname"], to=rule["service"], own=own)
            for rule in rules
            if "hostname" in rule
        ]
        (folder / "samsesh.conf").write_text(before + "".join(sites))
        arguments = {"nginx": nginx, "apache": apache}[kind](folder)
        with started(kind, arguments, folder, port):
            yield Site(server, server.status()["addresses"], own, folder)


def test_every_path(site: Site) -> None:
    """Pages, the documents, the API and what calls need all answer at the one host; the bare domain leads to it."""
    one, bare = f"https://one.example.test:{site.port(443)}", f"https://example.test:{site.port(443)}"
    with site.client() as http:
        assert "text/html" in http.get(f"{one}/").headers["content-type"]
        for base in (one, bare):
            document = http.get(f"{base}/.well-known/matrix/client").json()
            assert document["m.homeserver"]["base_url"] == site.api == one
            assert http.get(f"{base}/_matrix/key/v2/server").json()["server_name"] == "example.test"
        assert http.get(f"{one}/_matrix/client/versions").status_code == 200
        assert http.get(f"{one}/livekit/jwt/healthz").status_code == 200
        assert http.get(f"{one}/livekit/sfu/").text == "OK"
        assert http.get(f"{bare}/", follow_redirects=False).headers["location"] == site.web


def test_paths_at_each_port(site: Site) -> None:
    """A port answers below its path and without, for proxies that keep a path and for those that leave it out."""
    with site.client() as http:
        for port, path in ((8083, "/healthz"), (7880, "/"), (8080, "/"), (8008, "/_matrix/client/versions")):
            prefix = {8083: "/livekit/jwt", 7880: "/livekit/sfu"}.get(port, "")
            for way in {path, f"{prefix}{path}"}:
                assert http.get(f"http://127.0.0.1:{site.port(port)}{way}").status_code == 200, way
        # Making rooms at LiveKit is open to who has its key, below its path as without: no way past what is before it.
        for path in (
            "/twirp/livekit.RoomService/ListRooms",
            "/livekit/sfu/twirp/livekit.RoomService/ListRooms",
        ):
            assert http.post(f"http://127.0.0.1:{site.port(7880)}{path}", json={}).status_code == 401
