"""Two servers of ours that talk, over names of a DNS and certificates of private authorities."""

import asyncio
import json
import random
import re
import socket
import ssl
from pathlib import Path
from urllib.parse import quote

import pytest
from nio import EnableEncryptionBuilder, RoomPreset

from federation.discovery import Found, Resolver
from federation.network import Network
from federation.servers import Account, Authorities, Server, good, in_a_call
from rtc.running import wait_for
from system.clients import Person
from system.clients import good as said

pytestmark = pytest.mark.slow

FILE = random.Random(5).randbytes(300_000)
SECONDS = 60


def test_an_encrypted_room(one: Server, two: Server, ada: Account, bob: Account, tmp_path: Path) -> None:
    """Two people of different servers meet by a room's alias, write to each other encrypted, and send a file."""
    asyncio.run(talk(ada, bob, tmp_path))


async def talk(first: Account, second: Account, folder: Path) -> None:
    here, there = first.server, second.server
    async with (
        Person(here.api, first.device, folder, here.trust) as ada,
        Person(there.api, second.device, folder, there.trust) as bob,
    ):
        made = await ada.nio.room_create(
            alias="secrets",
            preset=RoomPreset.public_chat,
            initial_state=[EnableEncryptionBuilder().as_dict()],
        )
        room = said(made).room_id
        assert said(await bob.nio.join(f"#secrets:{here.name}")).room_id == room
        for person in (ada, bob):
            await person.enters(room)
            await person.sync_until(lambda person=person: len(person.nio.rooms[room].users) == 2, "the other")  # type: ignore[misc]
            assert person.nio.rooms[room].encrypted
        for speaker, listener in ((ada, bob), (bob, ada)) * 2:
            words = f"{speaker.name} says {len(listener.heard)}"
            await speaker.say(room, words)
            await listener.hears(words)
        await ada.give(room, "plan.pdf", FILE)
        await bob.hears("plan.pdf")
        assert await bob.take(room, "plan.pdf") == FILE
        await bob.give(room, "reply.pdf", FILE[::-1])
        await ada.hears("reply.pdf")
        assert await ada.take(room, "reply.pdf") == FILE[::-1]


def test_a_room_with_a_past(ada: Account, bob: Account) -> None:
    """Who joins later reads what was said before, without anybody's notary for the keys of it."""
    room = ada.room("past")
    before = [f"long ago {number}" for number in range(25)]
    for words in before:
        ada.say(room, words)
    good(bob.join("#past:one.test"))
    wait_for(lambda: bob.reads(room) == before, "the past", SECONDS)
    bob.say(room, "and now")
    wait_for(lambda: ada.reads(room)[-1] == "and now", "the present", SECONDS)


def test_the_room_directory(ada: Account, bob: Account) -> None:
    """Other servers see the public rooms of one that shows them, and not those of another."""
    room = ada.room("market", visibility="public")

    def shown() -> list[str]:
        return [entry["room_id"] for entry in bob.get("v3/publicRooms?server=one.test")["chunk"]]

    wait_for(lambda: room in shown(), "the room is shown", SECONDS)
    assert ada.ask("GET", "v3/publicRooms?server=two.test").status_code == 403


def test_a_call_of_two_servers(
    one: Server, two: Server, ada: Account, bob: Account, authorities: Authorities
) -> None:
    """Somebody of another server takes part in a call here: her server says who she is, and media flows."""
    room = ada.room("call")
    good(bob.join("#call:one.test"))
    answers = []
    for person in (ada, bob):
        proof = person.post(f"v3/user/{quote(person.id)}/openid/request_token", {})
        body = {"room": room, "openid_token": proof, "device_id": person.device.device_id}
        with one.http("https://rtc.one.test") as http:
            answers.append(good(http.post("/livekit/jwt/sfu/get", json=body)))
    url = answers[0]["url"]
    assert url == "wss://rtc.one.test/livekit/sfu"
    call = in_a_call(two.machine, authorities, url, (answers[0]["jwt"], answers[1]["jwt"]))
    assert call.heard is not None, call
    hosts = {pair.remote_host for pair in call.pairs}
    assert hosts <= {one.machine.v4, one.machine.v6} and hosts


def test_only_who_is_in_the_room_gets_into_its_call(
    one: Server, two: Server, ada: Account, bob: Account
) -> None:
    """Somebody of another server gets a token while he is in the room, and none before, after, or in his own room."""
    room = ada.room("members")
    bobs = bob.room("elsewhere")

    def asks(room: str) -> int:
        proof = bob.post(f"v3/user/{quote(bob.id)}/openid/request_token", {})
        body = {"room": room, "openid_token": proof, "device_id": bob.device.device_id}
        with one.http("https://rtc.one.test") as http:
            return http.post("/livekit/jwt/sfu/get", json=body).status_code

    assert asks(room) == 403
    good(bob.join("#members:one.test"))
    assert asks(room) == 200
    ada.post(f"v3/rooms/{quote(room)}/kick", {"user_id": bob.id})
    assert asks(room) == 403
    assert asks(bobs) == 403  # a room that this server is not in


@pytest.mark.parametrize("other", ["address", "port"], indirect=True)
def test_names_that_say_where(wire: Network, one: Server, other: Server, ada: Account) -> None:
    """A server whose name is its address in a local network, or has a port, talks with one under a domain."""
    carol = other.log_in("carol")
    finds = Resolver(wire.hub.v4, other.trust)
    place = {
        "10.99.0.4": Found("10.99.0.4", 8448, "10.99.0.4", "10.99.0.4"),
        "four.test:8449": Found("four.test", 8449, "four.test:8449", "four.test"),
    }[other.name]
    assert finds.find(other.name) == place
    assert finds.get(place, "/_matrix/federation/v1/version")[0] == 200
    there = carol.room("street")
    good(ada.join(f"#street:{other.name}"))
    alias = f"from-{other.machine.number}"
    here = ada.room(alias)
    good(carol.join(f"#{alias}:one.test"))
    for room in (there, here):
        for speaker, listener in ((ada, carol), (carol, ada)):
            words = f"{speaker.id} in {room}"
            speaker.say(room, words)
            wait_for(lambda: words in listener.reads(room), words, SECONDS)  # noqa: B023 - called before it changes


def test_found_by_the_rules(wire: Network, one: Server, two: Server) -> None:
    """Any implementation finds both: by delegation at the bare domain to https and to 8448, and without it at 8448."""
    finds = Resolver(wire.hub.v4, one.trust)
    expected = {
        "one.test": Found("matrix.one.test", 443, "matrix.one.test:443", "matrix.one.test"),
        "two.test": Found("matrix.two.test", 8448, "matrix.two.test:8448", "matrix.two.test"),
    }
    for name, where in expected.items():
        assert finds.find(name) == where
        alone = finds.find(name, well_known=False)
        assert alone == Found(name, 8448, name, name)
        for place in (where, alone, Found(where.host, 8448, where.host, where.host)):
            status, body = finds.get(place, "/_matrix/key/v2/server")
            assert status == 200 and f'"server_name":"{name}"'.encode() in body
            assert finds.get(place, "/_matrix/federation/v1/version")[0] == 200


def test_the_doctor_sees_it(one: Server, two: Server) -> None:
    """The doctor finds that other servers reach both."""
    for server in (one, two):
        done = server.stack.cli("doctor", "--only", "public-federation", "--json")
        (found,) = [one for one in json.loads(done.stdout)["checks"] if one["id"] == "public-federation"]
        assert found["status"] == "ok", (found["summary"], found["seen"])


def test_a_relay_for_ipv6_alone(two: Server, bob: Account) -> None:
    """Who is sent to the relay gets in; where coturn is too old for that, nobody is sent, and `status` says why."""
    off = {one["name"]: one for one in two.stack.status()["off"]}
    if bob.get("v3/voip/turnServer").get("uris"):
        checks = json.loads(two.stack.cli("doctor", "--only", "turn-allocate", "--json").stdout)["checks"]
        assert {one["id"]: one["status"] for one in checks}["turn-allocate"] == "ok" and "turn" not in off
    else:
        assert "IPv6 alone" in off["turn"]["reason"] and "4.13.1 or later" in off["turn"]["advice"]


def test_no_certificate_for_others(wire: Network, one: Server, two: Server) -> None:
    """Who asks for a host that is not ours is shown no certificate; who names none, the API's."""
    for server in (one, two):
        for port in (443, 8448):
            for name, shown in (("other.test", False), (f"matrix.{server.name}", True)):
                plain = socket.create_connection((server.machine.v6, port), timeout=10)
                if shown:
                    server.trust.wrap_socket(plain, server_hostname=name).close()
                    continue
                trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
                with plain, pytest.raises(ssl.SSLError):
                    trusting.wrap_socket(plain, server_hostname=name)


PATHS = (
    "/_matrix/federation/v1/event/%24abc%2Fdef%2B",
    "/_matrix/federation/v1/state/%21room%3Aone.test%2Fmore?event_id=%24a%2Fb",
    "/_matrix/federation/v1/state/!room:one.test?event_id=$plain",
    "/_matrix/federation/v1/event/%2fsmall%3a/",
    "/_matrix/federation/v1/event//double//slashes",
    "/_matrix/federation/v1/event/a/../b/./c",
    "/_matrix/federation/v1/event/%2E%2E%2Fup",
    "/_matrix/federation/v1/event/%25percent%20space+plus;semi,comma=is~tilde'quote(round)*star",
    "/_matrix/federation/v1/query/directory?room_alias=%23caf%C3%A9%3Aone.test&&empty=&x=a;b",
    "/_matrix/federation/v1/event/%E2%98%83?",
)


@pytest.mark.parametrize("port", [443, 8448])
def test_paths_arrive_as_they_were_signed(wire: Network, one: Server, port: int) -> None:
    """The gateway changes nothing of a path, byte for byte: other servers sign it."""
    finds = Resolver(wire.hub.v4, one.trust)
    where = Found("matrix.one.test", port, "matrix.one.test", "matrix.one.test")
    missing = []
    for path in PATHS:
        marked = path + ("&" if "?" in path else "?") + f"mark={port}"
        finds.get(where, marked)
        if f'"GET {marked} HTTP/1.1"' not in one.log:
            missing.append((marked, [line for line in one.log.splitlines() if f"mark={port}" in line][-1:]))
    assert not missing


def test_away_for_a_while(one: Server, two: Server, ada: Account, bob: Account) -> None:
    """What was said while a server was stopped arrives once it is back; what it says arrives, too."""
    room = ada.room("patience")
    good(bob.join("#patience:one.test"))
    stopped = two.stack.cli("down")
    assert stopped.returncode == 0, stopped.stderr
    meanwhile = [f"meanwhile {number}" for number in range(5)]
    for words in meanwhile:
        ada.say(room, words)
    two.stack.up()
    bob.say(room, "back again")
    wait_for(lambda: "back again" in ada.reads(room), "who was away is heard", SECONDS)
    wait_for(lambda: set(meanwhile) <= set(bob.reads(room)), "what was said meanwhile", SECONDS)


def meet(first: Account, second: Account) -> tuple[int, int]:
    """The status with which each sees the other's profile, which the other's server is asked for."""
    return (
        first.ask("GET", f"v3/profile/{quote(second.id)}").status_code,
        second.ask("GET", f"v3/profile/{quote(first.id)}").status_code,
    )


REFUSED = (403, 403)


def test_lists_of_servers(one: Server, two: Server, ada: Account, bob: Account) -> None:
    """Deny and allow lists hold in both directions: for looking up, and for what is said in rooms that are shared."""
    room = ada.room("lists")
    assert meet(ada, bob) == (200, 200)
    good(bob.join("#lists:one.test"))

    one.set(deny=["two.test"])
    ada.say(room, "you do not hear this")
    bob.say(room, "nor this")
    assert meet(ada, bob) == REFUSED
    turned_away = re.compile(r' 403 "PUT /_matrix/federation/v1/send/')
    wait_for(lambda: turned_away.search(one.log), "what the other sends is refused", SECONDS)
    assert "you do not hear this" not in bob.reads(room)
    assert "nor this" not in ada.reads(room)

    one.set(allow=["three.test"])
    assert meet(ada, bob) == REFUSED

    one.set(allow=["two.test"], deny=[])
    assert meet(ada, bob) == (200, 200)


def test_without_federation(wire: Network, one: Server, two: Server, ada: Account, bob: Account) -> None:
    """With federation off nobody is told where to go, the port is closed, and nobody is asked. Last: it stays off."""
    one.set(enabled=False)
    finds = Resolver(wire.hub.v4, one.trust)
    assert finds.find("one.test") == Found("one.test", 8448, "one.test", "one.test")
    with pytest.raises(ConnectionRefusedError):
        finds.connect(finds.find("one.test"))
    at_https = Found("matrix.one.test", 443, "matrix.one.test", "matrix.one.test")
    assert finds.get(at_https, "/_matrix/federation/v1/version")[0] == 404
    assert all(status != 200 for status in meet(ada, bob))
