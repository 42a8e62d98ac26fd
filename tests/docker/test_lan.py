"""A server in containers for a network of one's own: its own authority, certificates handed on, media and relay."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates.shown import ask, soon
from conftest import Stack, free_offset
from docker.engine import Engine
from docker.images import commands
from samsesh.settings_server import Ports
from system.trouble import fine

pytestmark = pytest.mark.slow
KEPT = "/var/lib/samsesh/gateway"  # in the gateway's container


@pytest.fixture(scope="module")
def lan(engine: Engine, images: dict[str, str], homes: Path, address: str) -> Iterator[Stack]:
    """People know it, and send media to it, by this machine's own address."""
    made = Stack(homes / "containers-lan", free_offset(), commands(engine), options=("--engine", "compose"))
    wanted = {"server.name": "chat.test", "server.access": "lan", "server.address": address}
    for key, value in wanted.items():
        fine(made.cli("config", "set", key, value))
    made.up("--skip-preflight")
    yield made
    fine(made.cli("down"))


def container(engine: Engine, lan: Stack, service: str) -> str:
    labels = (f"project=samsesh-{lan.home.id}", f"service={service}")
    asked = [word for label in labels for word in ("--filter", f"label=com.docker.compose.{label}")]
    return engine.run("ps", "--quiet", *asked).stdout.strip()


@pytest.fixture(scope="module")
def root(engine: Engine, lan: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authority's certificate, out of the gateway's volume."""
    file = tmp_path_factory.mktemp("root") / "root.crt"
    path = f"{KEPT}/pki/authorities/local/root.crt"
    file.write_text(engine.run("exec", container(engine, lan, "gateway"), "cat", path).stdout)
    return file


def test_its_own_authority(lan: Stack, root: Path, address: str) -> None:
    """Every port shows a certificate of it, the relay's too; its root is offered for download."""
    ports = Ports(offset=lan.offset)
    for listener in ("web", "api", "call", "rtc_auth", "livekit", "turns"):
        assert soon(ports.of(listener), address, root, at=address).names == (address,)
    status, _, body = ask(ports.of("web"), address, "/samsesh-ca.crt", root)
    assert (status, body) == (200, root.read_bytes())


def test_media_and_relay(lan: Stack) -> None:
    """Sound is heard over UDP, over TCP, and through coturn alone; the relay answers over TLS, too."""
    found = {
        one["id"]: one for one in json.loads(lan.cli("doctor", "calls", "turn", "--json").stdout)["checks"]
    }
    bad = [
        (id_, one["status"], one["summary"], one["seen"])
        for id_, one in found.items()
        if one["status"] != "ok" and id_ not in ("turn-https", "turn-age")  # off; the image's
    ]
    assert not bad, bad
    assert {"calls-media-udp", "calls-media-tcp", "calls-media-relay", "turn-tls"} <= found.keys()


def test_a_new_certificate_reaches_the_relay(lan: Stack, root: Path, engine: Engine, address: str) -> None:
    """The agent hands it on; coturn, in a container of its own, shows it without a restart."""
    port = Ports(offset=lan.offset).of("turns")
    before, relay = soon(port, address, root, at=address), container(engine, lan, "coturn")
    gateway = container(engine, lan, "gateway")
    engine.run("exec", gateway, "rm", "-r", f"{KEPT}/certificates")
    fine(lan.cli("restart", "gateway"))
    assert soon(port, address, root, at=address, other_than=before.serial, seconds=60).names == (address,)
    assert container(engine, lan, "coturn") == relay
