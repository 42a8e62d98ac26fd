"""A network of its own for a server under a domain: addresses, a way out that leads nowhere, a name server."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest

import nameserver
from programs import need


@dataclass
class Network:
    """A namespace. Names are published by writing them; nothing in it reaches the machine's own network."""

    name: str
    names: Path

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)

    def run(self, *argv: str) -> None:
        subprocess.run([*self.prefix, *argv], check=True, capture_output=True, timeout=20)

    def publish(self, **names: str) -> None:
        """host (dots as `__`) = addresses, separated by blanks; others are no longer there."""
        found: nameserver.Records = {}
        for host, addresses in names.items():
            records = found.setdefault(host.replace("__", "."), {})
            for address in addresses.split():
                kind = {4: "A", 6: "AAAA"}[ip_address(address).version]
                records.setdefault(kind, []).append(address)
        nameserver.publish(self.names, found)

    def publish_more(self, host: str, kind: str, *values: str) -> None:
        """Records of a type in the place of those of that type."""
        known: nameserver.Records = json.loads(self.names.read_text())
        known.setdefault(host, {})[kind] = list(values)
        nameserver.publish(self.names, known)

    @contextmanager
    def beyond(self, address: str) -> Iterator["Network"]:
        """A machine of its own at the other end of the way out, with this address."""
        far = Network(f"{self.name}-far", self.names)
        subprocess.run(["ip", "netns", "add", far.name], check=True, timeout=20)
        try:
            self.run("ip", "link", "set", "far", "netns", far.name)
            far.run("ip", "address", "add", address, "dev", "far")
            far.run("ip", "link", "set", "far", "up")
            yield far
        finally:
            far.run("ip", "link", "set", "far", "netns", self.name)
            self.run("ip", "link", "set", "far", "up")
            subprocess.run(["ip", "netns", "delete", far.name], check=True, timeout=20)

    @contextmanager
    def program(self, *argv: str) -> Iterator[int]:
        """A Python program in it that says when it is ready; its pid."""
        started = subprocess.Popen(
            [*self.prefix, sys.executable, *argv], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        try:
            assert started.stdout is not None
            assert started.stdout.readline().strip() == "ready"
            yield started.pid
        finally:
            started.terminate()
            started.wait(10)
            if started.stdout is not None:
                started.stdout.close()


@contextmanager
def network(folder: Path, *addresses: str) -> Iterator[Network]:
    """`addresses` with their prefix length, such as 203.0.113.10/24; the first of a family has the way out."""
    if os.geteuid() != 0:
        pytest.skip("only root makes network namespaces")
    need("ip")
    made = Network(f"samsesh-{os.getpid()}", folder / "names.json")
    settings = Path("/etc/netns") / made.name
    subprocess.run(["ip", "netns", "add", made.name], check=True, timeout=20)
    try:
        settings.mkdir(parents=True)
        (settings / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        made.run("ip", "link", "set", "lo", "up")
        made.run("ip", "link", "add", "out", "type", "veth", "peer", "name", "far")
        for address in addresses:
            made.run("ip", "address", "add", address, "dev", "out", *(("nodad",) if ":" in address else ()))
        for end in ("out", "far"):
            made.run("ip", "link", "set", end, "up")
        made.run("ip", "route", "add", "default", "dev", "out")
        made.publish()
        with nameserver.running(made.prefix, "127.0.0.1", made.names):
            yield made
    finally:
        subprocess.run(["ip", "netns", "delete", made.name], check=True, timeout=20)
        shutil.rmtree(settings, ignore_errors=True)
