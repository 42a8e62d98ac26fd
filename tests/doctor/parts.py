"""Real LiveKit and coturn on ports of their own, in a network namespace where a test needs one."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from programs import free_port, livekit_server, need

KEY, SECRET = "testkey", "a secret of more than 32 characters"
TURN_SECRET = "another secret of the tests"
PUBLIC = "198.51.100.1"  # of TEST-NET-2: the server's address in a namespace
PEER = "198.51.100.7"
DENIED = ("10.0.0.0-10.255.255.255", "127.0.0.0-127.255.255.255", "169.254.0.0-169.254.255.255", "::1")
JOIN = Path(__file__).with_name("join.py")


@dataclass
class Namespace:
    """A network of its own with one public-looking address; nothing in it reaches the machine's."""

    name: str

    def command(self, *argv: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *argv]

    def run(self, *argv: str) -> None:
        subprocess.run(self.command(*argv), check=True, capture_output=True, timeout=20)

    def block(self, protocol: str, port: int) -> None:
        """Drop what is sent to a port, as a firewall does."""
        self.run("nft", "add", "rule", "inet", "test", "out", protocol, "dport", str(port), "drop")


@contextmanager
def namespace(name: str) -> Iterator[Namespace]:
    if os.geteuid() != 0:
        pytest.skip("only root makes a network namespace")
    need("ip"), need("nft")
    made = Namespace(f"{name}-{os.getpid()}")
    subprocess.run(["ip", "netns", "add", made.name], check=True, timeout=20)
    try:
        made.run("ip", "link", "set", "lo", "up")
        made.run("ip", "link", "add", "out", "type", "veth", "peer", "name", "far")
        made.run("ip", "address", "add", f"{PUBLIC}/24", "dev", "out")
        made.run("ip", "link", "set", "out", "up")
        made.run("ip", "link", "set", "far", "up")
        made.run("nft", "add", "table", "inet", "test")
        made.run("nft", "add", "chain", "inet", "test", "out", "{ type filter hook output priority 0; }")
        yield made
    finally:
        subprocess.run(["ip", "netns", "delete", made.name], check=True, timeout=20)


@dataclass
class LiveKit:
    """A running LiveKit."""

    host: str
    port: int
    tcp: int
    udp: int
    prefix: Callable[..., list[str]] = field(default=lambda *argv: list(argv))

    @property
    def url(self) -> str:
        return f"ws://{self.host}:{self.port}"

    def join(self, transport: str, **changed: str) -> dict[str, Any]:
        """Run the participants where LiveKit runs, in a process of their own, and give what they saw."""
        asked = {"url": self.url, "key": KEY, "secret": SECRET, "transport": transport, **changed}
        done = subprocess.run(
            self.prefix(sys.executable, str(JOIN)),
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0 and done.stderr == "", done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@contextmanager
def livekit(folder: Path, inside: Namespace | None = None, **rtc: Any) -> Iterator[LiveKit]:
    program = str(livekit_server())
    port, tcp, udp = [free_port() for _ in range(3)]
    host = PUBLIC if inside else "127.0.0.1"
    rtc = {
        "tcp_port": tcp,
        "udp_port": udp,
        "node_ip": host,
        "use_external_ip": False,
        "enable_loopback_candidate": not inside,
        "stun_servers": [],
        **rtc,
    }
    config = {
        "port": port,
        "bind_addresses": [host],
        "rtc": rtc,
        "room": {"auto_create": False},
        "keys": {KEY: SECRET},
        "logging": {"level": "warn"},
    }
    made = LiveKit(host, port, tcp, udp, inside.command if inside else lambda *argv: list(argv))
    path = folder / "livekit.yaml"
    path.write_text(json.dumps(config))
    path.chmod(0o600)
    with running(made.prefix(program, "--config", str(path)), folder / "livekit.log", inside, host, port):
        yield made


@contextmanager
def coturn(
    folder: Path,
    inside: Namespace | None = None,
    options: tuple[str, ...] = (),
    tls: int = 0,
    denied: bool = True,
) -> Iterator[int]:
    """A running coturn with the shared secret; its port."""
    program = need("turnserver")
    port, low = [free_port() for _ in range(2)]
    host = PUBLIC if inside else "127.0.0.1"
    lines = [
        "use-auth-secret",
        f"static-auth-secret={TURN_SECRET}",
        "realm=turn.test",
        f"listening-ip={host}",
        f"relay-ip={host}",
        f"listening-port={port}",
        f"min-port={low}",
        f"max-port={min(low + 40, 65535)}",
        "no-cli",
        "no-tcp-relay",
        "no-multicast-peers",
        "fingerprint",
        "log-file=stdout",
        f"pidfile={folder}/turn.pid",
        f"userdb={folder}/turn.db",
        *(f"denied-peer-ip={each}" for each in DENIED if denied),
        *([f"tls-listening-port={tls}"] if tls else ["no-tls"]),
        "no-dtls",
        *options,
    ]
    path = folder / "turnserver.conf"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    argv = [program, "-c", str(path)]
    with running(inside.command(*argv) if inside else argv, folder / "turn.log", inside, host, port):
        yield port


@contextmanager
def running(argv: list[str], log: Path, inside: Namespace | None, host: str, port: int) -> Iterator[None]:
    """A program for as long as the block lasts; it begins when the program takes connections."""
    ask = f"import socket; socket.create_connection(({host!r}, {port}), 1).close()"
    asking = [sys.executable, "-c", ask]
    with log.open("wb") as out:
        program = subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        for _ in range(100):
            command = inside.command(*asking) if inside else asking
            if subprocess.run(command, capture_output=True, timeout=20).returncode == 0:
                break
            assert program.poll() is None, log.read_text()[-2000:]
        else:
            raise AssertionError(log.read_text()[-2000:])
        yield
    finally:
        program.terminate()
        with suppress(subprocess.TimeoutExpired):
            program.wait(3)
        program.kill()  # LiveKit waits for participants, and misses a signal in the moment of its start
        program.wait(20)
