"""A small internet: machines with addresses of both families on one wire, and a name server. Each a network namespace."""

import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

import nameserver
from nameserver import Records
from programs import need
from rtc.running import wait_for

RESOLV = Path("/etc/netns")  # what `ip netns exec` lays over /etc
CLONE_NEWNET = 0x40000000


def root(*command: str, stdin: str = "") -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Machine:
    """One namespace, with 10.99.0.N and fd00:99::N."""

    name: str
    number: int

    @property
    def v4(self) -> str:
        return f"10.99.0.{self.number}"

    @property
    def v6(self) -> str:
        return f"fd00:99::{self.number}"

    @property
    def prefix(self) -> tuple[str, ...]:
        """What makes a command run there, and look names up there."""
        return ("ip", "netns", "exec", self.name)


@dataclass(frozen=True)
class Network:
    """`hub` has the name server, and is where the tests' own clients are."""

    hub: Machine
    machines: dict[str, Machine]
    records: Records


@contextmanager
def network(names: tuple[str, ...], records: Records) -> Iterator[Network]:
    """Machines of these names; everything is gone afterwards. Skips where that takes rights that we lack."""
    if os.geteuid() != 0:
        pytest.skip("only root makes network namespaces")
    need("ip")
    hub = Machine(f"samsesh-hub-{os.getpid()}", 1)
    machines = {name: Machine(f"samsesh-{name}-{os.getpid()}", 2 + at) for at, name in enumerate(names)}
    with ExitStack() as stack:
        for machine in (hub, *machines.values()):
            stack.enter_context(_namespace(machine))
        root("ip", "-n", hub.name, "link", "add", "wire", "type", "bridge")
        _addresses(hub, "wire")
        for name, machine in machines.items():
            peer = ("peer", "name", "eth0", "netns", machine.name)
            root("ip", "-n", hub.name, "link", "add", name, "type", "veth", *peer)
            root("ip", "-n", hub.name, "link", "set", name, "master", "wire", "up")
            _addresses(machine, "eth0")
            for family, via in (("-4", hub.v4), ("-6", hub.v6)):
                root("ip", family, "-n", machine.name, "route", "add", "default", "via", via)
        stack.enter_context(_name_server(hub, records))
        yield Network(hub, machines, records)


@contextmanager
def _namespace(machine: Machine) -> Iterator[None]:
    try:
        root("ip", "netns", "add", machine.name)
    except AssertionError as error:
        pytest.skip(f"no network namespace can be made here: {error}")
    try:
        folder = RESOLV / machine.name
        folder.mkdir(parents=True)
        (folder / "resolv.conf").write_text("nameserver 10.99.0.1\noptions timeout:2 attempts:2\n")
        root("ip", "-n", machine.name, "link", "set", "lo", "up")
        yield
    finally:
        shutil.rmtree(RESOLV / machine.name)
        root("ip", "netns", "delete", machine.name)


def _addresses(machine: Machine, device: str) -> None:
    root("ip", "-n", machine.name, "address", "add", f"{machine.v4}/24", "dev", device)
    root("ip", "-n", machine.name, "address", "add", f"{machine.v6}/64", "dev", device, "nodad")
    root("ip", "-n", machine.name, "link", "set", device, "up")


@contextmanager
def _name_server(hub: Machine, records: Records) -> Iterator[None]:
    with tempfile.TemporaryDirectory(prefix="samsesh-names-") as folder:
        path = Path(folder) / "names.json"
        nameserver.publish(path, records)
        with nameserver.running(hub.prefix, hub.v4, path):
            yield


@contextmanager
def inside(machine: Machine, records: Records) -> Iterator[None]:
    """This thread is on that machine, and knows the names of `records`; so do threads that it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    known = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **options: Any) -> Any:
        found = records.get(host.decode() if isinstance(host, bytes) else host or "")
        if not found:
            return known(host, *args, **options)
        addresses = [*found.get("A", ()), *found.get("AAAA", ())]
        return [entry for address in addresses for entry in known(address, *args, **options)]

    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{machine.name}", os.O_RDONLY)
    try:
        assert libc.setns(there, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        with patch("socket.getaddrinfo", look_up):
            yield
    finally:
        assert libc.setns(here, CLONE_NEWNET) == 0
        os.close(here)
        os.close(there)


def ready(host: str, port: int) -> None:
    """Waits until something listens there."""

    def answers() -> bool:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as link:
            link.settimeout(1)
            return link.connect_ex((host, port)) == 0

    wait_for(answers, f"{host} answers at {port}", 60)
