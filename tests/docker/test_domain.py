"""A server in containers under a domain: certificates by ACME for every host, handed on to the relay, and renewed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates.authority import Pebble, authority
from certificates.browser import protocol_if_asked_for_http3
from certificates.shown import handshake, refused, soon
from conftest import Stack, free_offset
from docker.engine import Engine
from docker.images import commands
from samsesh.settings_server import Ports
from system.trouble import fine

pytestmark = pytest.mark.slow
HOSTS = ("example.test", "chat.example.test", "matrix.example.test", "call.example.test", "rtc.example.test")


@pytest.fixture(scope="module")
def acme(homes: Path, address: str) -> Iterator[Pebble]:
    with authority(homes / "acme-containers", address) as made:
        yield made


@pytest.fixture(scope="module")
def domain(
    engine: Engine, images: dict[str, str], homes: Path, acme: Pebble, address: str
) -> Iterator[Stack]:
    """It is reached at this machine's own address, and asks the authority there."""
    made = Stack(
        homes / "containers-domain", free_offset(), commands(engine), options=("--engine", "compose")
    )
    made.set(
        {
            "server.trial": "true",
            "server.name": "example.test",
            "server.access": "domain",
            "server.address": address,
            "federation.networks": json.dumps([f"{address}/32"]),
            **acme.settings(),
        }
    )
    ports = Ports(offset=made.offset)
    acme.start(http=ports.of("http"), https=ports.of("https"))
    made.up("--skip-preflight")
    yield made
    fine(made.cli("down"))


def test_every_host_has_its_certificate(domain: Stack, acme: Pebble, address: str) -> None:
    """After the first `up` each host shows a certificate of the authority, and so does the relay a little later."""
    root, ports = acme.root(), Ports(offset=domain.offset)
    for host in HOSTS:
        assert handshake(ports.of("https"), host, root, at=address).names == (host,)
    assert (
        handshake(ports.of("https"), "chat.example.test", root, ("h2", "http/1.1"), at=address).protocol
        == "h2"
    )
    assert handshake(ports.of("federation"), HOSTS[2], root, at=address).names == (HOSTS[2],)
    assert refused(ports.of("https"), "other.example.test", root, at=address)
    assert soon(ports.of("turns"), HOSTS[2], root, at=address, seconds=60).names == (HOSTS[2],)


def test_http3_is_spoken(domain: Stack, acme: Pebble, tmp_path: Path) -> None:
    """A browser that is told to use HTTP/3 gets through Docker's UDP port."""
    host = f"{HOSTS[1]}:{Ports(offset=domain.offset).of('https')}"
    assert protocol_if_asked_for_http3(tmp_path, acme.root(), host) == "h3"


def test_a_call(domain: Stack) -> None:
    """The doctor finds the hosts though no DNS knows them, and joins a call through the containers; the relay answers."""
    checked = json.loads(domain.cli("doctor", "calls", "turn", "--json", timeout=300).stdout)["checks"]
    found = {one["id"]: one for one in checked}
    for name in ("calls-openid", "calls-media-udp", "calls-media-tcp", "turn-allocate", "turn-private-peer"):
        assert found[name]["status"] == "ok", found[name]


def test_the_relay_at_the_port_of_https(domain: Stack, acme: Pebble, address: str) -> None:
    """The port goes from one container to another while all run, and back: https stays, and a relay is given there."""
    root, ports = acme.root(), Ports(offset=domain.offset)
    try:
        domain.set({"turn.on_https": "true"})
        domain.up("--skip-preflight")
        assert handshake(ports.of("https"), HOSTS[1], root, at=address).names == (HOSTS[1],)
        checked = json.loads(domain.cli("doctor", "--only", "turn-https", "--json", timeout=300).stdout)[
            "checks"
        ]
        assert checked[-1]["status"] == "warning" and "a relay is given" in checked[-1]["summary"], checked
    finally:
        domain.set({"turn.on_https": "false"})
        domain.up("--skip-preflight")
    assert handshake(ports.of("https"), HOSTS[1], root, at=address).names == (HOSTS[1],)


def test_by_its_address(
    engine: Engine, images: dict[str, str], homes: Path, acme: Pebble, address: str
) -> None:
    """`ip`: a certificate for the address; the https port leads to the web client's."""
    made = Stack(homes / "containers-ip", free_offset(), commands(engine), options=("--engine", "compose"))
    made.set(
        {
            "server.trial": "true",
            "server.name": address,
            "server.access": "ip",
            "calls.provider": "off",
            "turn.enabled": "false",
            **acme.settings(),
        }
    )
    ports = Ports(offset=made.offset)
    acme.start(http=ports.of("http"), https=ports.of("https"))
    made.up("--skip-preflight")
    try:
        for listener in ("web", "api", "federation", "https"):
            assert handshake(ports.of(listener), address, acme.root(), at=address).names == (address,)
    finally:
        fine(made.cli("down"))
