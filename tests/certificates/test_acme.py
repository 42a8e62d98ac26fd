"""Certificates by ACME, from a real ACME server to real browsers' handshakes; what happens when it says no."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from certificates.authority import TOO_MANY, Pebble, authority, refusing
from certificates.browser import protocol_if_asked_for_http3
from certificates.shown import Shown, ask, handshake, refused, soon
from conftest import Stack
from samsesh.settings_server import Ports
from system.trouble import Done, fine, wait_for

HOSTS = ("example.test", "chat.example.test", "matrix.example.test", "call.example.test", "rtc.example.test")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def acme(homes: Path) -> Iterator[Pebble]:
    with authority(homes / "acme") as made:
        yield made


def ports(stack: Stack) -> Ports:
    return Ports(offset=stack.offset)


def up(stack: Stack) -> Done:
    return stack.cli("up", "--yes", "--skip-preflight", "--port-offset", str(stack.offset))


def shown_at(stack: Stack, root: Path, host: str, listener: str = "https") -> Shown:
    return handshake(ports(stack).of(listener), host, root)


@contextmanager
def renewing(stack: Stack, *, http: bool = True) -> Iterator[None]:
    """The gateway finds every certificate too old after nine seconds, and looks every two. `http`: whether it may answer
    the authority over plain http."""
    file = stack.path / "config/gateway/caddy.json"
    usual = file.read_text()
    config = json.loads(usual)
    automation = config["apps"]["tls"]["automation"]
    automation["renew_interval"] = "2s"
    automation["policies"][0]["renewal_window_ratio"] = 0.9999
    if not http:
        automation["policies"][0]["issuers"][0]["challenges"]["http"] = {"disabled": True}
    try:
        file.write_text(json.dumps(config))
        fine(stack.cli("restart", "gateway"))
        yield
    finally:
        file.write_text(usual)
        fine(stack.cli("restart", "gateway"))


def pids(stack: Stack) -> dict[str, int]:
    return {service["name"]: service["pid"] for service in stack.status()["services"]}


@pytest.fixture(scope="module")
def domain(session_home: Callable[[str], Stack], acme: Pebble) -> Iterator[tuple[Stack, Pebble]]:
    """A server under a domain, whose certificates last a day."""
    stack = session_home("acme-domain")
    stack.set(
        {
            "server.trial": "true",
            "server.name": "example.test",
            "server.access": "domain",
            "calls.media_addresses": json.dumps(["127.0.0.1"]),
            "tls.email": "admin@example.org",
            **acme.settings(),
        },
    )
    acme.start(http=ports(stack).of("http"), https=ports(stack).of("https"))
    fine(up(stack))
    yield stack, acme
    stack.cli("down")


def test_every_host_has_its_certificate(domain: tuple[Stack, Pebble]) -> None:
    """After the first `up` each host of a domain shows a certificate of the authority for its own name."""
    stack, acme = domain
    root = acme.root()
    for host in HOSTS:
        assert shown_at(stack, root, host).names == (host,)
    assert refused(ports(stack).of("https"), "other.example.test", root)
    assert shown_at(stack, root, "matrix.example.test", "federation").names == ("matrix.example.test",)
    turns = soon(ports(stack).of("turns"), "matrix.example.test", root)
    assert turns.names == ("matrix.example.test",)  # coturn starts without, and is handed it within seconds


def test_who_comes_with_http_is_led_to_https(domain: tuple[Stack, Pebble]) -> None:
    """The plain port redirects; HTTP/2 and HTTP/3 are offered. A trial does not bind browsers to https for a year."""
    stack, acme = domain
    root, https = acme.root(), ports(stack).of("https")
    status, headers, _ = ask(ports(stack).of("http"), "chat.example.test", "/x?y=1", None)
    assert status in (302, 308)
    assert headers["location"].startswith("https://chat.example.test:")
    assert headers["location"].endswith("/x?y=1")
    status, headers, _ = ask(https, "chat.example.test", "/", root)
    assert status == 200
    assert "strict-transport-security" not in headers
    assert headers["alt-svc"].startswith(f'h3=":{https}"')
    assert handshake(https, "chat.example.test", root, ("h2", "http/1.1")).protocol == "h2"


def test_http3_is_spoken(domain: tuple[Stack, Pebble], tmp_path: Path) -> None:
    """A real browser that is told to use HTTP/3 gets the page over it."""
    stack, acme = domain
    host = f"chat.example.test:{ports(stack).of('https')}"
    assert protocol_if_asked_for_http3(tmp_path, acme.root(), host) == "h3"


def test_a_renewed_certificate_is_served_by_all(domain: tuple[Stack, Pebble]) -> None:
    """What the gateway renews, coturn serves seconds later; nothing is started anew for it."""
    stack, acme = domain
    root, host = acme.root(), "matrix.example.test"
    old = shown_at(stack, root, host, "turns")
    with renewing(stack):
        before = pids(stack)
        renewed = soon(ports(stack).of("https"), host, root, other_than=old.serial, seconds=60)
        assert renewed.until > old.until
        served = soon(ports(stack).of("turns"), host, root, other_than=old.serial)
        assert served.names == (host,)
        assert pids(stack) == before
    wait_for(lambda: shown_at(stack, root, host).serial == shown_at(stack, root, host, "turns").serial)
    handed_on = stack.path / "data/coturn/turns.pem"
    assert handed_on.stat().st_mode & 0o777 == 0o600


def test_the_authority_comes_through_the_splitter(domain: tuple[Stack, Pebble]) -> None:
    """Where TURN is at the port of https, too, tls-alpn-01 alone still renews a certificate: it is TLS like any other."""
    stack, acme = domain
    root, host = acme.root(), "chat.example.test"
    stack.set({"turn.on_https": "true"})
    try:
        fine(up(stack))
        old = shown_at(stack, root, host)
        with renewing(stack, http=False):
            assert soon(ports(stack).of("https"), host, root, other_than=old.serial, seconds=60).names == (
                host,
            )
    finally:
        stack.set({"turn.on_https": "false"})
        fine(up(stack))
    assert shown_at(stack, root, host).names == (host,)


def test_an_authority_that_says_no_is_asked_seldom(domain: tuple[Stack, Pebble]) -> None:
    """Where a renewal is refused the old certificate is served on, and the gateway waits longer and longer."""
    stack, acme = domain
    root, host = acme.root(), "chat.example.test"
    with refusing(acme) as orders, renewing(stack):
        wait_for(lambda: orders, 60)
        end = time.monotonic() + 20
        wait_for(lambda: time.monotonic() > end, 30)
        assert shown_at(stack, root, host).names == (host,)
        assert len(orders) <= 2 * len(HOSTS), orders
    log = (stack.path / "logs/gateway.log").read_text()
    assert TOO_MANY in log


def test_an_address_gets_a_certificate(session_home: Callable[[str], Stack], acme: Pebble) -> None:
    """Without a domain. And the bad day before it: the authority refuses, and `up` says so in its words and what to do,
    while all that needs no certificate works; later the same server gets one."""
    stack = session_home("acme-ip")
    stack.set(
        {
            "server.trial": "true",
            "server.name": "127.0.0.1",
            "server.address": "127.0.0.1",
            "server.access": "ip",
            "calls.media_addresses": json.dumps(["127.0.0.1"]),
            **acme.settings(),
        },
    )
    with refusing(acme) as orders:
        began = time.monotonic()
        done = up(stack)
        assert time.monotonic() - began < 120
        assert done.returncode == 1
        assert orders
    assert "there is no certificate for 127.0.0.1" in done.stderr
    assert "rateLimited" in done.stderr and TOO_MANY in done.stderr
    assert "tls.staging" in done.stderr
    assert ask(ports(stack).of("admin"), "localhost", "/", None)[0] == 200
    acme.start(http=ports(stack).of("http"), https=ports(stack).of("https"))
    root = acme.root()
    assert refused(ports(stack).of("api"), "127.0.0.1", root)
    shutil.rmtree(stack.path / "data/gateway/acme")  # its account, which this authority never saw
    fine(stack.cli("restart", "gateway"))
    fine(up(stack))
    for listener in ("web", "api", "federation", "call", "rtc_auth", "livekit", "https"):
        assert shown_at(stack, root, "127.0.0.1", listener).names == ("127.0.0.1",)
    assert soon(ports(stack).of("turns"), "127.0.0.1", root).names == ("127.0.0.1",)
    config = json.loads((stack.path / "config/gateway/caddy.json").read_text())
    assert config["apps"]["tls"]["automation"]["policies"][0]["issuers"][0]["profile"] == "shortlived"
    # The https port only leads to the web client's; still it is one of those that are open, and told.
    told = {
        (one.get("port"), one["protocol"])
        for one in json.loads(stack.cli("ports", "--json").stdout)
        if one["public"]
    }
    assert {(ports(stack).of(name), "tcp") for name in ("http", "https", "web", "api")} <= told
    (seen,) = json.loads(stack.cli("doctor", "--only", "ports", "--json").stdout)["checks"]
    assert seen["status"] == "ok", seen
    stack.cli("down")
