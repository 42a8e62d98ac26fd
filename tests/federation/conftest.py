"""Servers that find each other by name or address, and somebody with an account on each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from federation.network import Network, inside, network
from federation.servers import NETWORKS, Account, Authorities, Server, Tables, hosts_of, server
from nameserver import Records

FILES = {"mode": "files", "certificate": "chain.pem", "certificate_key": "key.pem"}
LIFTED = {"message_per_second": 1000.0, "message_burst": 10_000}


@pytest.fixture(scope="module")
def wire() -> Iterator[Network]:
    """Machines one to four; two.test has no IPv4. The tests' own clients are at the hub."""
    records: Records = {
        **{host: {"A": ["10.99.0.2"], "AAAA": ["fd00:99::2"]} for host in hosts_of("one.test")},
        **{host: {"AAAA": ["fd00:99::3"]} for host in hosts_of("two.test")},
        **{host: {"A": ["10.99.0.5"]} for host in hosts_of("four.test")},
    }
    with network(("one", "two", "three", "four"), records) as made, inside(made.hub, records):
        yield made


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    made = Authorities(tmp_path_factory.mktemp("authorities"), trustme.CA())
    made.ca.cert_pem.write_to_path(str(made.bundle))
    return made


@pytest.fixture(scope="module")
def one(homes: Path, wire: Network, authorities: Authorities) -> Iterator[Server]:
    """Under a domain, with its gateway's own authority; others come to https."""
    settings: Tables = {
        "rate_limits": LIFTED,
        "server": {"name": "one.test", "access": "domain", "trial": True},
        "tls": {"mode": "internal"},
        "federation": {"networks": NETWORKS, "ca": "authorities.pem", "room_directory": True},
    }
    with server(
        homes / "one", wire.machines["one"], "one.test", "https://matrix.one.test", authorities, settings
    ) as made:
        yield made


@pytest.fixture(scope="module")
def two(homes: Path, wire: Network, one: Server, authorities: Authorities) -> Iterator[Server]:
    """Under a domain that has IPv6 alone, with certificates in files; others are sent to port 8448. No calls."""
    settings: Tables = {
        "rate_limits": LIFTED,
        "server": {"name": "two.test", "access": "domain", "trial": True},
        "tls": FILES,
        "calls": {"provider": "off"},
        "federation": {"networks": NETWORKS, "ca": "authorities.pem", "port": "federation"},
    }
    with server(
        homes / "two", wire.machines["two"], "two.test", "https://matrix.two.test", authorities, settings
    ) as made:
        yield made


@pytest.fixture
def other(
    homes: Path, wire: Network, one: Server, authorities: Authorities, request: pytest.FixtureRequest
) -> Iterator[Server]:
    """A server whose name is its "address" in a local network, or has a "port"."""
    settings: Tables = {
        "rate_limits": LIFTED,
        "calls": {"provider": "off"},
        "turn": {"enabled": False},
        "federation": {"networks": NETWORKS, "ca": "authorities.pem"},
    }
    if request.param == "address":
        machine, api = wire.machines["three"], "https://10.99.0.4:8008"
        settings["server"] = {"name": "10.99.0.4", "access": "lan"}
    else:
        machine, api = wire.machines["four"], "https://matrix.four.test"
        settings["server"] = {"name": "four.test:8449", "access": "domain", "trial": True}
        settings["tls"] = FILES
        settings["ports"] = {"federation": 8449}
    name = str(settings["server"]["name"])
    with server(homes / machine.name, machine, name, api, authorities, settings) as made:
        if request.param == "address":
            one.meet(authorities)
        yield made


@pytest.fixture(scope="module")
def ada(one: Server) -> Account:
    return one.log_in("ada")


@pytest.fixture(scope="module")
def bob(two: Server) -> Account:
    return two.log_in("bob")
