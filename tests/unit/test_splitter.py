"""https and TURN at one port: what a client speaks, who is told of it, and the splitter's own process."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies

from programs import free_port, need
from samsesh import ports
from samsesh.checks import turn_https
from samsesh.engines.native.placement import NativePlacement
from samsesh.facts import gather
from samsesh.firewall import openings
from samsesh.home import Home
from samsesh.load import validate
from samsesh.model import Context, Endpoint, Plan
from samsesh.plan import make_plan
from samsesh.secrets import preview
from samsesh.services.gateway.caddy import caddy_json
from samsesh.services.livekit import livekit_yaml
from samsesh.splitter import links
from samsesh.splitter.first_bytes import MAGIC_COOKIE, kind, proxy_line

ALLOCATE = bytes.fromhex("00030000") + MAGIC_COOKIE + bytes(12)
BINDING = bytes.fromhex("00010000") + MAGIC_COOKIE + bytes(12)
HELLO = bytes.fromhex("1603010200010001fc0303")
DOMAIN = {"server": {"name": "example.org", "access": "domain"}}
ON = {"turn": {"on_https": True}}


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"", None),
        (ALLOCATE, "stun"),
        (BINDING, "stun"),
        (ALLOCATE[:7], None),
        (ALLOCATE[:1], None),
        (HELLO, "other"),
        (HELLO[:1], "other"),
        (b"GET / HTTP/1.1\r\n", "other"),
        (b"\x40\x00\x00\x04data", "other"),
        (b"\x00\x03\x00\x00\x21\x12\xa4\x43", "other"),
        (bytes(8), "other"),
    ],
)
def test_first_bytes(head: bytes, expected: str | None) -> None:
    """STUN by its cookie, and all else, TLS first of all, is the gateway's; what is too short waits for more."""
    assert kind(head) == expected


@given(strategies.binary(max_size=40), strategies.integers(0, 40))
def test_how_it_is_cut_does_not_matter(data: bytes, at: int) -> None:
    """A decision from a part of the bytes is that of the whole."""
    early = kind(data[:at])
    assert early is None or early == kind(data)


def test_who_it_is() -> None:
    """The gateway is told the client's address and port by the PROXY protocol, of either family."""
    told = proxy_line(("192.0.2.7", 50_000), ("203.0.113.1", 443))
    assert told == b"PROXY TCP4 192.0.2.7 203.0.113.1 50000 443\r\n"
    assert (
        proxy_line(("2001:db8::7", 5), ("2001:db8::1", 443))
        == b"PROXY TCP6 2001:db8::7 2001:db8::1 5 443\r\n"
    )


def planned(tmp_path: Path, settings: dict[str, Any]) -> tuple[Context, Plan]:
    home = Home(tmp_path)
    facts = replace(
        gather(),
        programs={**gather().programs, "turnserver": "/usr/bin/turnserver"},
        versions={"turnserver": "4.6.1"},
        addresses=("203.0.113.7",),
        outward=("203.0.113.7",),
        loopback=("127.0.0.1", "::1"),
    )
    made = validate(settings, home)
    context = Context(made, preview(home), facts, NativePlacement(home, made, facts))
    return context, make_plan(context)


@pytest.mark.parametrize(
    "settings",
    [
        {**DOMAIN, **ON},
        {"server": {"name": "203.0.113.7", "access": "ip", "trial": True}, **ON},
    ],
    ids=["domain", "ip"],
)
def test_where_https_is_ours(tmp_path: Path, settings: dict[str, Any]) -> None:
    """The splitter has TCP of the port, Caddy HTTP/3 and a socket that is closed to others; clients are told last."""
    context, plan = planned(tmp_path, settings)
    assert plan.offer.turn
    assert plan.offer.turn.uris[-1] == f"turn:{plan.offer.turn.host}:443?transport=tcp"
    at_443 = {
        (unit.name, one.host, one.protocol) for unit in plan.units for _, one in unit.binds if one.port == 443
    }
    assert at_443 == {
        (unit, host, protocol)
        for unit, protocol in (("splitter", "tcp"), ("gateway", "udp"))
        for host in ("0.0.0.0", "::")
    }
    servers = caddy_json(context, plan.offer)["apps"]["http"]["servers"].values()
    (split,) = [one for one in servers if "listen_protocols" in one]
    socket_ = context.place.listen("gateway-https").socket
    assert split["listen"] == [f"unix/{socket_}|0600", "tcp4/0.0.0.0:443", "tcp6/[::]:443"]
    assert split["listen_protocols"] == [["h1", "h2"], ["h3"], ["h3"]]
    assert split["listener_wrappers"][0]["wrapper"] == "proxy_protocol"
    binds = [one for unit in plan.units for one in unit.binds]
    public = {(one.first, one.protocol) for one in openings(context.access, binds) if one.public}
    assert public >= {(443, "tcp"), (443, "udp")}
    others = [one for one in servers if "listen_protocols" not in one]
    assert not any("proxy_protocol" in json.dumps(one) for one in others)


@pytest.mark.parametrize(
    "settings",
    [
        DOMAIN,
        {**DOMAIN, **ON, "tls": {"mode": "proxy"}},
        {"server": {"name": "chat.test", "access": "lan", "address": "chat.test"}, **ON},
        ON,
        {**DOMAIN, "turn": {"on_https": True, "enabled": False}},
    ],
    ids=["off", "behind a proxy", "lan", "local", "no relay"],
)
def test_elsewhere_all_is_as_it_was(tmp_path: Path, settings: dict[str, Any]) -> None:
    """No splitter, no PROXY protocol, and nobody is told of a relay at the port of https."""
    context, plan = planned(tmp_path, settings)
    assert "splitter" not in {unit.name for unit in plan.units}
    assert "proxy_protocol" not in json.dumps(caddy_json(context, plan.offer), default=str)
    assert not plan.offer.turn or not plan.offer.turn.https_uri


def test_livekit_hands_it_out(tmp_path: Path) -> None:
    """People in group calls are told of it, too, behind all faster ways."""
    context, plan = planned(tmp_path, {**DOMAIN, **ON})
    keys = secret = plan.units[0].files[0]
    last = livekit_yaml(context, plan.offer, "key", keys, secret)["rtc"]["turn_servers"][-1]
    assert (last["host"], last["port"], last["protocol"]) == ("matrix.example.org", 443, "tcp")


def test_another_port_is_no_help() -> None:
    """A router that leads 443 to another port is never said to be well."""
    assert turn_https.judged(443, "").status == "ok"
    found = turn_https.judged(8443, "")
    assert found.status == "warning" and "does not help" in found.advice


def test_a_port_may_go_from_one_unit_to_another(tmp_path: Path) -> None:
    """What another unit of this server holds is no obstacle: it gives it up first. What a stranger holds is one."""
    with socket.create_server(("127.0.0.1", 0)) as holding:
        number = holding.getsockname()[1]
        assert ("tcp", number) in ports.held_by([os.getpid()])
        _, plan = planned(tmp_path, {**DOMAIN, **ON})
        endpoint = Endpoint("127.0.0.1", number)
        unit = replace(plan.unit("splitter"), binds=(("https", endpoint),))
        assert ports.check([unit], gather(), {("tcp", number)}) == {}
        with pytest.raises(Exception, match=f"port {number}"):
            ports.check([unit], gather())


@dataclass
class Backend:
    """Takes connections and keeps what each sent; answers as it is told to."""

    listener: socket.socket
    links: list[socket.socket] = field(default_factory=list)

    def next(self) -> socket.socket:
        link, _ = self.listener.accept()
        link.settimeout(10)
        self.links.append(link)
        return link

    def close(self) -> None:
        for link in self.links:
            link.close()
        self.listener.close()


@dataclass
class Running:
    """A splitter's process between clients and two backends."""

    port: int
    process: "subprocess.Popen[str]"
    gateway: Backend
    turn: Backend

    def client(self, host: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection((host, self.port), timeout=10)


def received(link: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size and (more := link.recv(65_536)):
        data += more
    return bytes(data)


@pytest.fixture
def running(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Running]:
    """Its parameter: how many descriptors the splitter may have."""
    port, gateway_path, ready = free_port(), tmp_path / "g.sock", tmp_path / "r.sock"
    gateway = socket.socket(socket.AF_UNIX)
    gateway.bind(str(gateway_path))
    gateway.listen()
    turn = socket.create_server(("127.0.0.1", 0))
    for listener in (gateway, turn):
        listener.settimeout(10)
    config = tmp_path / "splitter.json"
    listen = [["127.0.0.1", port], ["::1", port]]
    place = {
        "socket": str(ready),
        "listen": listen,
        "gateway": str(gateway_path),
        "turn": turn.getsockname()[:2],
    }
    config.write_text(json.dumps(place))
    number = getattr(request, "param", 0)
    limited = (need("prlimit"), f"--nofile={number}", "--") if number else ()
    process = subprocess.Popen(
        [*limited, sys.executable, "-I", "-m", "samsesh.splitter", str(config)],
        stderr=subprocess.PIPE,
        text=True,
    )
    made = Running(port, process, Backend(gateway), Backend(turn))
    try:
        assert process.stderr and "ready" in process.stderr.readline()
        yield made
    finally:
        process.kill()
        process.communicate(timeout=10)
        made.gateway.close()
        made.turn.close()


@pytest.mark.parametrize(("host", "family"), [("127.0.0.1", "TCP4"), ("::1", "TCP6")])
def test_each_to_its_own(running: Running, host: str, family: str) -> None:
    """https goes to the gateway behind a line with the client's address, STUN to coturn as it is, by both families."""
    with running.client(host) as https, running.client(host) as turn:
        https.sendall(HELLO)
        turn.sendall(ALLOCATE[:5])
        mine = https.getsockname()[1]
        line = f"PROXY {family} {host} {host} {mine} {running.port}\r\n".encode()
        gateway = running.gateway.next()
        assert received(gateway, len(line) + len(HELLO)) == line + HELLO
        turn.sendall(ALLOCATE[5:])
        relay = running.turn.next()
        assert received(relay, len(ALLOCATE)) == ALLOCATE
        gateway.sendall(b"hello")
        relay.sendall(b"relay")
        assert (received(https, 5), received(turn, 5)) == (b"hello", b"relay")


def test_half_an_end(running: Running) -> None:
    """Who has said all still gets the whole answer; then both ends are closed."""
    with running.client() as https:
        https.sendall(HELLO)
        gateway = running.gateway.next()
        https.shutdown(socket.SHUT_WR)
        while gateway.recv(4096):
            pass
        gateway.sendall(b"x" * 3_000_000)
        gateway.close()
        assert len(received(https, 4_000_000)) == 3_000_000


def test_a_slow_receiver_slows_its_sender(running: Running) -> None:
    """What nobody takes is not collected: the sender has to wait, and all of it arrives in the end."""
    whole, sent = b"0123456789abcdef" * 4_000_000, threading.Event()
    with running.client() as https:
        https.sendall(HELLO)
        gateway = running.gateway.next()

        def send() -> None:
            with suppress(OSError):
                gateway.settimeout(60)
                gateway.sendall(whole)
                gateway.shutdown(socket.SHUT_WR)
                sent.set()

        threading.Thread(target=send, daemon=True).start()
        assert not sent.wait(0.5)
        status = Path(f"/proc/{running.process.pid}/status").read_text()
        memory = int(status.partition("VmRSS:")[2].split()[0])
        assert memory < 60_000  # kB; 64 MB are waiting
        assert received(https, len(whole) + 1) == whole


def test_who_says_nothing_is_let_go(running: Running) -> None:
    """Connections without first bytes, or with too few, end within seconds, and take nobody's place."""
    with running.client() as silent, running.client() as slow:
        slow.sendall(ALLOCATE[:3])
        began = time.monotonic()
        for one in (silent, slow):
            with suppress(ConnectionResetError):
                assert one.recv(1) == b""
        assert links.FIRST_SECONDS - 1 < time.monotonic() - began < links.FIRST_SECONDS + 3


@pytest.mark.parametrize("running", [144], indirect=True)
def test_one_address_has_no_more_than_its_part(running: Running) -> None:
    """Of 40 places one address has 10: the next is refused at once, others still get in; a place that is free is had."""
    with ExitStack() as stack:
        first = [stack.enter_context(running.client()) for _ in range(10)]
        for one in first:
            one.sendall(HELLO)
            running.gateway.next()
        eleventh = stack.enter_context(running.client())
        with suppress(ConnectionResetError):
            assert eleventh.recv(1) == b""
        other = stack.enter_context(running.client("::1"))
        other.sendall(HELLO)
        assert b"TCP6" in received(running.gateway.next(), 20)
        first[0].close()
        running.gateway.links[0].recv(1000)
        running.gateway.links[0].close()
        again = stack.enter_context(running.client())
        again.sendall(HELLO)
        assert b"TCP4" in received(running.gateway.next(), 20)


def test_the_gateway_is_away(running: Running) -> None:
    """Without it a connection ends at once; the splitter goes on."""
    running.gateway.listener.close()
    with running.client() as https, suppress(ConnectionResetError):
        https.sendall(HELLO)
        assert https.recv(1) == b""
    with running.client() as turn:
        turn.sendall(ALLOCATE)
        assert received(running.turn.next(), len(ALLOCATE)) == ALLOCATE


def test_it_ends_with_time_for_those_who_are_there(running: Running) -> None:
    """On TERM nobody new is taken; who is connected may finish, for some seconds."""
    with running.client() as https:
        https.sendall(HELLO)
        gateway = running.gateway.next()
        running.process.terminate()
        end = time.monotonic() + 5
        while ports.held_by([running.process.pid]) and time.monotonic() < end:
            time.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            running.client()
        gateway.sendall(b"the rest")
        gateway.close()
        assert received(https, 9) == b"the rest"
    assert running.process.wait(10) == 0
