"""A server on the internet, and people in an office whose network lets out nothing but TCP to port 443."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import sync_playwright

from calls.call import ARGUMENTS
from federation.network import Network, inside, network, root
from federation.servers import Account, Authorities, Server, Tables, good, hosts_of, in_a_call, server
from nameserver import Records
from programs import need
from rtc.running import wait_for
from samsesh.clients import turn

pytestmark = [pytest.mark.native, pytest.mark.slow]

NAME = "office.test"
# The office's own name server is let through; whatever else is sent is dropped, answers to strangers included.
STRICT = """
table inet office {
    chain out {
        type filter hook output priority filter; policy drop;
        oifname "lo" accept
        ip daddr 10.99.0.1 udp dport 53 accept
        tcp dport 443 accept
        meta l4proto ipv6-icmp accept
    }
}
"""
# Two connections of one page, each by its own relay and nothing else; the first word that the second one hears.
TALK = """async (iceServers) => {
  const [a, b] = [0, 1].map(() => new RTCPeerConnection({ iceTransportPolicy: "relay", iceServers }));
  a.onicecandidate = (event) => event.candidate && b.addIceCandidate(event.candidate);
  b.onicecandidate = (event) => event.candidate && a.addIceCandidate(event.candidate);
  const heard = new Promise((resolve) => {
    b.ondatachannel = ({ channel }) => { channel.onmessage = (message) => resolve(message.data); };
  });
  const channel = a.createDataChannel("words");
  channel.onopen = () => channel.send("hello");
  await a.setLocalDescription();
  await b.setRemoteDescription(a.localDescription);
  await b.setLocalDescription();
  await a.setRemoteDescription(b.localDescription);
  return Promise.race([heard, new Promise((resolve) => setTimeout(resolve, 30000, "nothing"))]);
}"""


@pytest.fixture(scope="module")
def wire() -> Iterator[Network]:
    need("nft")
    records: Records = {host: {"A": ["10.99.0.2"]} for host in hosts_of(NAME)}
    with network(("outside", "office"), records) as made, inside(made.hub, records):
        root(*made.machines["office"].prefix, "nft", "-f", "-", stdin=STRICT)
        yield made


@pytest.fixture(scope="module")
def one(homes: Path, wire: Network, authorities: Authorities) -> Iterator[Server]:
    settings: Tables = {
        "server": {"name": NAME, "access": "domain", "trial": True},
        "tls": {"mode": "internal"},
        "federation": {"enabled": False},
    }
    machine, api = wire.machines["outside"], f"https://matrix.{NAME}"
    with server(homes / "office", machine, NAME, api, authorities, settings) as made:
        with pytest.raises(turn.TurnError):  # https alone
            asyncio.run(relay(made))
        switch(made, "true")  # while it runs: the port goes from the gateway to the splitter
        yield made


def switch(one: Server, value: str) -> None:
    done = one.stack.cli("config", "set", "turn.on_https", value)
    assert done.returncode == 0, done.stderr
    one.stack.up()


async def relay(one: Server) -> str:
    """A relay's address that is given at the port of https."""
    secret = (one.stack.home.secrets_dir / "turn_shared_secret").read_text().strip()
    login = turn.credential(secret, "tester", 4_102_444_800)
    place = turn.Address(f"matrix.{NAME}", 443, "tcp")
    async with turn.allocation(place, login) as found:
        return found.relayed


@pytest.fixture(scope="module")
def ada(one: Server) -> Account:
    return one.log_in("ada")


def test_people_hear_each_other(wire: Network, one: Server, ada: Account, authorities: Authorities) -> None:
    """Two callers in that office hear each other: https and the relay at one port. Once, neither LiveKit nor TURN was
    to be reached from there."""
    room = ada.room("call")
    proof = ada.post(f"v3/user/{quote(ada.id)}/openid/request_token", {})
    body = {"room": room, "openid_token": proof}
    with one.http(f"https://rtc.{NAME}") as http:
        answers = [
            good(http.post("/livekit/jwt/sfu/get", json={**body, "device_id": device}))
            for device in ("PHONE", "LAPTOP")
        ]
    tokens = (answers[0]["jwt"], answers[1]["jwt"])
    call = in_a_call(wire.machines["office"], authorities, answers[0]["url"], tokens, "relay")
    assert call.heard is not None, call
    assert {pair.transport for pair in call.pairs} == {"relay"}


@pytest.mark.browser
def test_a_browser_takes_it(wire: Network, one: Server, ada: Account, tmp_path: Path) -> None:
    """Chromium talks through what the homeserver tells it, of which only the last is to be reached from there."""
    found = ada.get("v3/voip/turnServer")
    assert found["uris"][-1] == f"turn:matrix.{NAME}:443?transport=tcp"
    servers = [{"urls": found["uris"], "username": found["username"], "credential": found["password"]}]
    start = tmp_path / "chromium"
    start.write_text(f'#!/bin/sh\nexec {" ".join(wire.machines["office"].prefix)} {need("chromium")} "$@"\n')
    start.chmod(0o755)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(start), args=ARGUMENTS)
        try:
            assert browser.new_page().evaluate(TALK, servers) == "hello"
        finally:
            browser.close()


def test_the_gateway_sees_who_comes(wire: Network, one: Server, ada: Account) -> None:
    """The homeserver's list of devices has the client's own address, not one of this machine."""

    def seen() -> bool:
        return {one["last_seen_ip"] for one in ada.get("v3/devices")["devices"]} == {wire.hub.v4}

    wait_for(seen, "the device's address is written down", 30)


def test_nobody_else_says_who_comes(one: Server) -> None:
    """The socket where the gateway takes others' word for a client's address is its user's alone."""
    socket = one.stack.home.runtime_dir() / "gateway-https.sock"
    assert socket.stat().st_mode & 0o077 == 0


def test_the_doctor_tries_it(one: Server) -> None:
    """`turn-https` is well; so are the ports, which have another owner now."""
    done = one.stack.cli(
        "doctor", "--json", "--only", "turn-https", "--only", "turn-allocate", "--only", "ports"
    )
    found = {check["id"]: check["status"] for check in json.loads(done.stdout)["checks"]}
    assert found["turn-https"] == found["turn-allocate"] == found["ports"] == "ok", done.stdout


def test_turned_off_again(one: Server, ada: Account) -> None:
    """The gateway has the port to itself again, and nobody is told of the relay there."""
    switch(one, "false")
    assert not any(":443" in uri for uri in ada.get("v3/voip/turnServer")["uris"])
    with pytest.raises(turn.TurnError):
        asyncio.run(relay(one))
