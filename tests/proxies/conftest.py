"""A real server behind each kind of proxy, under names that no DNS knows, with certificates of the tests'."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from access.sites import client
from calls.call import PASSWORD
from calls.conftest import add_people
from conftest import Stack
from proxies.running import Certificates, certificates, proxy

KINDS = ("nginx", "apache", "caddy", "haproxy", "traefik")
HOSTS = tuple(f"{name}.example.test" for name in ("chat", "matrix", "call", "rtc", "one"))
CLIENT = "127.0.0.5"  # the address of people, which the proxy has to tell
SETTINGS = {
    "server.trial": "true",
    "server.name": "example.test",
    "server.access": "domain",
    "server.address": "127.0.0.1",
    "tls.mode": "proxy",
    "proxy.trusted": '["127.0.0.1/32"]',
    "media.upload_size": "30M",
    "rate_limits.login_per_second": "1000",
    "rate_limits.login_burst": "10000",
}


@dataclass(frozen=True)
class Site:
    """A server behind a proxy, as its people see it."""

    stack: Stack
    addresses: dict[str, str]
    own: Certificates
    folder: Path  # of the proxy
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def web(self) -> str:
        return self.addresses["web"]

    @property
    def api(self) -> str:
        return self.addresses["homeserver"]

    def port(self, default: int) -> int:
        return default + self.stack.offset

    def log_in(self, http: httpx2.Client) -> str:
        """ada's access token, of one session in which all tests are: log-ins are limited."""
        if "token" not in self.kept:
            who = {"type": "m.id.user", "user": "ada"}
            body = {"type": "m.login.password", "identifier": who, "password": PASSWORD}
            answer = http.post(f"http://127.0.0.1:{self.port(8008)}/_matrix/client/v3/login", json=body)
            assert answer.status_code == 200, answer.text
            self.kept["token"] = answer.json()["access_token"]
        return self.kept["token"]

    def client(self, *, http2: bool = True) -> httpx2.Client:
        return client(self.own.root, http2=http2, source=CLIENT)


@pytest.fixture(scope="session")
def home(session_home: Callable[[str], Stack]) -> Stack:
    made = session_home("proxied")
    made.set(SETTINGS)
    made.up()
    add_people(made, "ada")
    return made


@pytest.fixture(scope="module")
def server(home: Stack, request: pytest.FixtureRequest) -> Stack:
    """With a host for each service, or with the one that the module names."""
    home.cli("config", "set", "hosts.single", request.module.SINGLE)
    home.up()
    return home


@pytest.fixture(scope="module", params=KINDS)
def site(server: Stack, request: pytest.FixtureRequest) -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix=f"samsesh-{request.param}-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        own = certificates(folder, "example.test", *HOSTS)
        with proxy(request.param, server, folder, own):
            yield Site(server, server.status()["addresses"], own, folder)
