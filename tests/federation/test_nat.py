"""A server behind a router that leads nobody inside back to its own outer address, and callers outside."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from federation.network import Machine, Network, inside, network, root
from federation.servers import Account, Authorities, Server, Tables, good, hosts_of, in_a_call, server
from nameserver import Records
from programs import need
from samsesh.clients import turn

pytestmark = [pytest.mark.slow]

HERE, ROUTER = "192.168.7.5", "192.168.7.1"
FORWARDED = """
table ip nat {{
    chain incoming {{
        type nat hook prerouting priority dstnat;
        iifname "eth0" tcp dport {{ 80, 443, 3478 }} dnat to {here}
        iifname "eth0" udp dport {{ 3478, 49160-49200 }} dnat to {here}
    }}
    chain outgoing {{
        type nat hook postrouting priority srcnat;
        oifname "eth0" masquerade
    }}
}}
"""


@pytest.fixture(scope="module")
def wire() -> Iterator[Network]:
    """Of the machines, `home` is behind `router`; callers are at `away`. LiveKit's own ports are not led inside."""
    need("nft"), need("sysctl")
    records: Records = {host: {"A": ["10.99.0.2"]} for host in hosts_of("nat.test")}
    with network(("router", "away", "home"), records) as made, inside(made.hub, records):
        behind(made.machines["router"], made.machines["home"])
        yield made


def behind(router: Machine, home: Machine) -> None:
    """Take a machine off the wire, and put it behind the router."""
    root("ip", "-n", home.name, "link", "delete", "eth0")
    peer = ("peer", "name", "eth0", "netns", home.name)
    root("ip", "-n", router.name, "link", "add", "inner", "type", "veth", *peer)
    for machine, device, address in ((router, "inner", ROUTER), (home, "eth0", HERE)):
        root("ip", "-n", machine.name, "address", "add", f"{address}/24", "dev", device)
        root("ip", "-n", machine.name, "link", "set", device, "up")
    root("ip", "-n", home.name, "route", "add", "default", "via", ROUTER)
    root(*router.prefix, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    root(*router.prefix, "nft", "-f", "-", stdin=FORWARDED.format(here=HERE))


@pytest.fixture(scope="module")
def one(homes: Path, wire: Network, authorities: Authorities) -> Iterator[Server]:
    settings: Tables = {
        "server": {"name": "nat.test", "access": "domain", "trial": True},
        "tls": {"mode": "internal"},
        "federation": {"enabled": False},
    }
    machine, api = wire.machines["home"], "https://matrix.nat.test"
    with server(homes / "nat", machine, "nat.test", api, authorities, settings) as made:
        yield made


@pytest.fixture(scope="module")
def ada(one: Server) -> Account:
    return one.log_in("ada")


def test_a_call_by_the_relay_alone(
    wire: Network, one: Server, ada: Account, authorities: Authorities
) -> None:
    """Two callers whom only the relay's port lets in hear each other. Once, coturn refused LiveKit behind a router."""
    room = ada.room("call")
    proof = ada.post(f"v3/user/{quote(ada.id)}/openid/request_token", {})
    body = {"room": room, "openid_token": proof}
    with one.http("https://rtc.nat.test") as http:
        answers = [
            good(http.post("/livekit/jwt/sfu/get", json={**body, "device_id": device}))
            for device in ("PHONE", "LAPTOP")
        ]
    tokens = (answers[0]["jwt"], answers[1]["jwt"])
    call = in_a_call(wire.machines["away"], authorities, answers[0]["url"], tokens, "relay")
    assert call.heard is not None, call
    assert {pair.transport for pair in call.pairs} == {"relay"}


def test_what_the_relay_leads_to(wire: Network, one: Server, ada: Account) -> None:
    """To this server by its outer address, also to the other's relay; to nothing else in the router's network."""
    login = ada.get("v3/voip/turnServer")
    who = turn.Credential(login["username"], login["password"])
    place = next(turn.parse(uri) for uri in login["uris"] if "transport=udp" in uri)

    async def allowed() -> dict[str, int]:
        async with turn.allocation(place, who) as first, turn.allocation(place, who) as second:
            assert {one.relayed.partition(":")[0] for one in (first, second)} == {"10.99.0.2"}
            return {peer: await first.permit(peer) for peer in ("10.99.0.2", ROUTER, "192.168.7.9")}

    assert asyncio.run(allowed()) == {"10.99.0.2": 0, ROUTER: 403, "192.168.7.9": 403}
