"""`samsesh ports`: the list is that of exactly this server; real firewalls let through what is public, and no more."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Stack
from programs import need
from proxies.programs import proxy_program

LISTEN = """
import socket, sys
held = [socket.create_server(("", int(port))) for port in sys.argv[1:]]
print("ready", flush=True)
sys.stdin.read()
"""
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5).close()
except OSError:
    sys.exit(3)
"""
SEND = """
import json, socket, sys
def arrives(source, port, host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as receiver, socket.socket(family, socket.SOCK_DGRAM) as sender:
        receiver.bind((host, port))
        receiver.settimeout(5)
        sender.bind((host, source))
        try:
            sender.sendto(b"x", (host, port))
        except PermissionError:  # a rule of the way out
            return False
        return receiver.recv(1) == b"x"
print(json.dumps([arrives(*way) for way in json.load(sys.stdin)]))
"""
numbers = itertools.count()
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces")


@pytest.fixture
def home(new_home: Callable[[str], Stack]) -> Callable[..., Stack]:
    """A new home with these settings, never started."""

    def make(**settings: str) -> Stack:
        made = new_home(f"ports-{next(numbers)}")
        for key, value in settings.items():
            done = made.cli("config", "set", key.replace("__", "."), value)
            assert done.returncode == 0, done.stderr
        return made

    return make


DOMAIN = {"server__trial": "yes", "server__name": "example.test", "server__access": "domain"}
DOMAIN |= {"server__address": "198.51.100.7"}


def ports(stack: Stack) -> dict[tuple[str, str], dict[str, object]]:
    """What `ports --json` says, by (port or range, protocol)."""
    done = stack.cli("ports", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for one in found:
        assert set(one) in ({at, "protocol", "service", "public", "why"} for at in ("port", "range"))
    by_place = {(str(one.get("port", one.get("range"))), one["protocol"]): one for one in found}
    assert len(by_place) == len(found)
    return by_place


def public(stack: Stack) -> set[tuple[str, str]]:
    return {place for place, one in ports(stack).items() if one["public"]}


MEDIA = {("7881", "tcp"), ("7882", "udp")}
TURN = {("3478", "tcp"), ("3478", "udp"), ("49160-49200", "udp")}


def test_ports_of_this_server(home: Callable[..., Stack]) -> None:
    """By the way it is reached, with and without calls, TURN, federation and a proxy, before it ever ran."""
    stack = home()
    assert public(stack) == set() and ("8080", "tcp") in ports(stack)
    stack = home(**DOMAIN)
    https = {("80", "tcp"), ("443", "tcp"), ("443", "udp")}
    turns = {("5349", "tcp"), ("5349", "udp")}
    assert public(stack) - turns == https | {("8448", "tcp")} | MEDIA | TURN
    assert ("8081", "tcp") in ports(stack)
    for key, value, gone in (
        ("federation.enabled", "no", {("8448", "tcp")}),
        ("turn.enabled", "no", TURN | turns),
        ("calls.provider", "off", MEDIA),
    ):
        before = public(stack)
        stack.cli("config", "set", key, value)
        assert before - public(stack) == gone & before, key
    stack = home(**DOMAIN, tls__mode="proxy", hosts__single="one.example.test", ports__offset="10000")
    found = ports(stack)
    for place in ("10080", "10443", "18448", "18082"):
        assert found[(place, "tcp")]["service"] == "proxy" and found[(place, "tcp")]["public"]
    assert found[("22789", "tcp")] | {"public": False, "service": "gateway"} == found[("22789", "tcp")]
    assert not any(one["public"] for one in found.values() if one["service"] == "gateway")


def test_nothing_to_open(home: Callable[..., Stack]) -> None:
    """A server for this machine opens nothing."""
    for kind in ("ufw", "nftables", "docker-user"):
        done = home().cli("ports", "--firewall", kind)
        assert done.returncode == 0
        assert all(line.startswith("#") for line in done.stdout.splitlines())


def lines(stack: Stack, kind: str) -> str:
    done = stack.cli("ports", "--firewall", kind)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Nets:
    """Three machines: somebody outside, this one, and a container behind it."""

    def __init__(self) -> None:
        self.names = {what: f"samsesh-{what}-{os.getpid()}" for what in ("out", "host", "box")}
        self.listening: list[subprocess.Popen[str]] = []

    def run(self, where: str, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        argv = ["ip", "netns", "exec", self.names[where], *command]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=30)

    def must(self, where: str, *command: str, stdin: str = "") -> str:
        done = self.run(where, *command, stdin=stdin)
        assert done.returncode == 0, (command, done.stderr)
        return done.stdout

    def make(self) -> None:
        for name in self.names.values():
            subprocess.run(["ip", "netns", "add", name], check=True, timeout=30)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True, timeout=30)
        for number, other in enumerate(("out", "box"), start=1):
            ends = ["ip", "-n", self.names["host"], "link", "add", f"to{other}", "type", "veth"]
            subprocess.run(
                [*ends, "peer", "name", "eth0", "netns", self.names[other]], check=True, timeout=30
            )
            for where, device, last in (("host", f"to{other}", 1), (other, "eth0", 2)):
                self.must(where, "ip", "address", "add", f"10.79.{number}.{last}/24", "dev", device)
                self.must(where, "ip", "link", "set", device, "up")
            self.must(other, "ip", "route", "add", "default", "via", f"10.79.{number}.1")
        self.must("host", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def listen(self, where: str, *numbers: int) -> None:
        argv = ["ip", "netns", "exec", self.names[where], sys.executable, "-c", LISTEN, *map(str, numbers)]
        one = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.listening.append(one)
        assert one.stdout and one.stdout.readline() == "ready\n"

    def reached(self, where: str, host: str, port: int) -> bool:
        done = self.run(where, sys.executable, "-c", CONNECT, host, str(port))
        assert done.returncode in (0, 3), done.stderr
        return done.returncode == 0

    def end(self) -> None:
        for one in self.listening:
            one.communicate("", timeout=10)
        for name in self.names.values():
            subprocess.run(["ip", "netns", "delete", name], timeout=30)


@pytest.fixture
def nets() -> Iterator[Nets]:
    made = Nets()
    try:
        made.make()
        yield made
    finally:
        made.end()


@needs_root
def test_nftables(home: Callable[..., Stack], nets: Nets) -> None:
    """nft takes the lines; beside a policy that drops, which stays, public ports are reached, and no other."""
    nft = need("nft")
    text = lines(home(**DOMAIN), "nftables")
    nets.must("host", nft, "-c", "-f", "-", stdin=text)
    base = "type filter hook input priority 0; policy drop; ct state established accept;"
    nets.must("host", nft, "-f", "-", stdin=f"table inet filter {{\nchain input {{\n{base}\n}}\n}}\n")
    nets.listen("host", 443, 8448, 8081)
    assert not nets.reached("out", "10.79.1.1", 443)
    nets.must("host", nft, "-f", "-", stdin=text)
    reached = {port: nets.reached("out", "10.79.1.1", port) for port in (443, 8448, 8081)}
    assert reached == {443: True, 8448: True, 8081: False}


WAYS = [  # (from, to, address of this machine, whether it is to arrive)
    *(
        (*way, address, open_)
        for address in ("10.79.1.1", "fd79::1")
        for way, open_ in {
            (49160, 7882): True,  # LiveKit
            (49200, 49170): True,  # the relay of somebody else
            (49160, 53): False,
            (49200, 3478): False,
            (40000, 53): True,  # no relay
        }.items()
    ),
    (49170, 53, "127.0.0.1", True),  # which coturn itself refuses
]


def arriving(nets: Nets) -> list[bool]:
    found: list[bool] = json.loads(
        nets.must("host", sys.executable, "-c", SEND, stdin=json.dumps([way[:3] for way in WAYS]))
    )
    return found


@needs_root
@pytest.mark.parametrize("kind", ["nftables", "ufw", "docker-user"])
def test_the_relay_reaches_no_other_port_of_this_machine(
    home: Callable[..., Stack], nets: Nets, kind: str
) -> None:
    """Through the relay strangers reach LiveKit and each other at this machine's address; whatever else is there, not."""
    nets.must("host", "ip", "address", "add", "fd79::1/64", "dev", "toout", "nodad")
    assert all(arriving(nets))
    text = lines(home(**DOMAIN), kind)
    assert "7882 and 49160-49200" in text
    if kind == "nftables":
        nets.must("host", need("nft"), "-f", "-", stdin=text)
    else:
        nets.must("host", need("iptables"), "-N", "DOCKER-USER")
        script = "".join(line + "\n" for line in text.splitlines() if not line.startswith("ufw "))
        for _ in range(2):  # a second time changes nothing
            nets.must("host", "sh", "-e", stdin=script)
        rules = nets.must("host", "iptables", "-S", "OUTPUT").splitlines()
        assert len(rules) == len(set(rules))
    assert arriving(nets) == [way[3] for way in WAYS]


@needs_root
def test_the_relay_reaches_no_published_port_but_ours(home: Callable[..., Stack], nets: Nets) -> None:
    """What Docker leads from this machine's address into containers is closed to the relay, too, but LiveKit's."""
    iptables = need("iptables")
    for published in (7882, 9999):
        to = (
            "-d",
            "10.79.1.1",
            "-p",
            "udp",
            "--dport",
            str(published),
            "-j",
            "DNAT",
            "--to",
            "10.79.2.2:7882",
        )
        nets.must("host", iptables, "-t", "nat", "-A", "OUTPUT", *to)
    nets.must("host", iptables, "-N", "DOCKER-USER")
    send = "import socket, sys\ns = socket.socket(2, 2)\ns.bind(('10.79.1.1', 49170))\n"
    send += "s.sendto(b'x', ('10.79.1.1', int(sys.argv[1])))"
    assert nets.run("host", sys.executable, "-c", send, "9999").returncode == 0
    nets.must("host", "sh", "-e", stdin=lines(home(**DOMAIN), "docker-user"))
    assert nets.run("host", sys.executable, "-c", send, "7882").returncode == 0
    assert "PermissionError" in nets.run("host", sys.executable, "-c", send, "9999").stderr


@needs_root
def test_docker_user(home: Callable[..., Stack], nets: Nets) -> None:
    """Of the ports that Docker publishes ours are reached and others are not; containers still reach the world."""
    iptables = need("iptables")
    for published, inner in ((443, 8443), (9999, 443)):
        rule = ("-p", "tcp", "--dport", str(published), "-j", "DNAT", "--to", f"10.79.2.2:{inner}")
        nets.must("host", iptables, "-t", "nat", "-A", "PREROUTING", "-i", "toout", *rule)
    nets.must("host", iptables, "-N", "DOCKER-USER")
    nets.must("host", iptables, "-A", "FORWARD", "-j", "DOCKER-USER")
    nets.listen("box", 8443, 443)
    nets.listen("out", 7777)
    assert nets.reached("out", "10.79.1.1", 9999)
    nets.must("host", "sh", "-e", stdin=lines(home(**DOMAIN), "docker-user"))
    assert nets.reached("out", "10.79.1.1", 443)
    assert not nets.reached("out", "10.79.1.1", 9999)
    assert nets.reached("box", "10.79.1.2", 7777)


@needs_root
def test_ufw(home: Callable[..., Stack], nets: Nets, tmp_path: Path) -> None:
    """ufw takes each line, for IPv4 and IPv6."""
    path, needs = proxy_program("ufw")
    tree = Path(path).parents[2]
    if not needs.keys() <= {"LD_LIBRARY_PATH"} or tree == Path("/"):
        pytest.skip("this machine's own ufw is left alone")
    own = tmp_path / "ufw"
    shutil.copytree(tree, own, symlinks=True)
    for file in (own / "usr/share/ufw").iterdir():
        if file.suffix in (".conf", ".rules", ".init"):
            shutil.copy(file, own / "etc/ufw")
    (own / "etc/default").mkdir(exist_ok=True)
    policies = ("INPUT", "OUTPUT", "FORWARD", "APPLICATION")
    text = "".join(
        f'DEFAULT_{name}_POLICY="{"SKIP" if name == "APPLICATION" else "DROP"}"\n' for name in policies
    )
    (own / "etc/default/ufw").write_text(f"IPV6=yes\nMANAGE_BUILTINS=no\nIPT_MODULES=\n{text}")
    ufw = f"{sys.executable} {path} --rootdir={own} --datadir={own} --dry-run"
    script = lines(home(**DOMAIN), "ufw").replace("\nufw ", f"\n{ufw} ")
    environ = f"PYTHONPATH={own}/usr/lib/python3/dist-packages"
    said = nets.must("host", "env", environ, "sh", "-e", stdin=script)
    count = sum(line.startswith("ufw allow") for line in lines(home(**DOMAIN), "ufw").splitlines())
    assert said.count("Rules updated\n") == said.count("Rules updated (v6)\n") == count
