"""Who is in a room, and nobody else, gets a token for its call: with our module in a real Synapse, and a real LiveKit."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from rtc.running import Answer, Rtc, Run
from rtc.test_livekit import join
from samsesh.rtc.members import LONGEST_ROOM, Members, UnansweredError
from synapse_module.homeserver import Homeserver, Person, serving

MODULE = "samsesh.synapse_module.members.MembersModule"
KEY = "a-key-of-the-tests"
CORS = "access-control-allow-origin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("members")
    (made / "key").write_text(KEY + "\n")
    (made / "other").write_text("another-key")
    return made


@pytest.fixture(scope="module")
def synapse(folder: Path) -> Iterator[Homeserver]:
    config = {"socket": str(folder / "members.sock"), "key_path": str(folder / "key")}
    with serving(folder, modules=[{"module": MODULE, "config": config}]) as made:
        yield made


@pytest.fixture(scope="module")
def variables(synapse: Homeserver, folder: Path, livekit: str) -> dict[str, str]:
    return {
        "LIVEKIT_URL": livekit,
        "LIVEKIT_FULL_ACCESS_HOMESERVERS": "localhost",
        "SAMSESH_RTC_STRICT": "yes",
        "SAMSESH_RTC_HOMESERVER": "localhost",
        "SAMSESH_RTC_HOMESERVER_URL": synapse.url,
        "SAMSESH_RTC_MEMBERS": f"unix:{folder}/members.sock",
        "SAMSESH_RTC_MEMBERS_KEY_FILE": str(folder / "key"),
    }


@pytest.fixture(scope="module")
def service(run: Run, variables: dict[str, str]) -> Rtc:
    return run(**variables)


def asked(rtc: Rtc, person: Person, room: str, path: str = "/get_token") -> Answer:
    """The answer to an OpenID token of that person's, for a room."""
    proof = person.ask("POST", f"/user/{quote(person.user_id)}/openid/request_token", {})
    if path == "/sfu/get":
        return rtc.post(path, {"room": room, "openid_token": proof, "device_id": person.device_id})
    member = {"id": "m", "claimed_user_id": person.user_id, "claimed_device_id": person.device_id}
    return rtc.post(
        path, {"room_id": room, "slot_id": "m.call#ROOM", "openid_token": proof, "member": member}
    )


@pytest.mark.parametrize("path", ["/get_token", "/sfu/get"])
def test_members_get_a_token_and_strangers_none(synapse: Homeserver, service: Rtc, path: str) -> None:
    """Who knows the ID of a room, has a good OpenID token and is not in it is refused, in words that a page can read."""
    owner, guest, stranger = (synapse.person() for _ in range(3))
    room = owner.create(preset="public_chat")
    guest.join(room)
    for person in (owner, guest):
        answer = asked(service, person, room, path)
        assert answer.status == 200, service.logged()
        asyncio.run(join(answer.json["url"], answer.json["jwt"]))
    refused = asked(service, stranger, room, path)
    assert refused.status == 403 and refused.headers[CORS] == "*"
    assert refused.json["errcode"] == "M_FORBIDDEN"


def test_only_joined_counts(synapse: Homeserver, service: Rtc) -> None:
    """Invited, knocking, kicked, gone and banned people get none, from the moment on; back in the room, one at once."""
    owner, person = synapse.person(), synapse.person()
    room = owner.create(preset="public_chat")
    path = f"/rooms/{quote(room)}"

    def status() -> int:
        return asked(service, person, room).status

    owner.ask("POST", f"{path}/invite", {"user_id": person.user_id})
    assert status() == 403
    person.join(room)
    assert status() == 200
    owner.ask("POST", f"{path}/kick", {"user_id": person.user_id})
    assert status() == 403
    person.join(room)
    assert status() == 200
    person.ask("POST", f"{path}/leave", {})
    assert status() == 403
    owner.ask("PUT", f"{path}/state/m.room.join_rules", {"join_rule": "knock"})
    person.ask("POST", f"/knock/{quote(room)}", {})
    assert status() == 403
    owner.ask("POST", f"{path}/ban", {"user_id": person.user_id})
    assert status() == 403
    assert asked(service, owner, room).status == 200
    owner.ask("POST", f"{path}/leave", {})
    assert asked(service, owner, room).status == 403  # a room that this server is not in any more


@pytest.mark.parametrize(
    "room", ["!elsewhere:example.org", "no room", "#alias:localhost", "!\0:localhost", "!" + "x" * 60_000]
)
def test_rooms_that_are_none(synapse: Homeserver, service: Rtc, room: str) -> None:
    """What no room has as its ID, or a room that this server is not in, is nobody's; others are answered on."""
    assert asked(service, synapse.person(), room).status == 403
    assert "defect" not in service.logged()
    test_members_get_a_token_and_strangers_none(synapse, service, "/get_token")


def test_delegation_is_for_members(synapse: Homeserver, service: Rtc) -> None:
    """Nobody hands over a leave of a room that they are not in."""
    person = synapse.person()
    proof = person.ask("POST", f"/user/{quote(person.user_id)}/openid/request_token", {})
    member = {"id": "m", "claimed_user_id": person.user_id, "claimed_device_id": person.device_id}
    body = {"room_id": "!r:localhost", "slot_id": "m.call#ROOM", "openid_token": proof, "member": member}
    body |= {"delay_id": "x", "delay_timeout": 8000}
    assert service.post("/delegate_delayed_leave", body).status in (
        403,
        404,
    )  # 404: webhooks are not wired here


def test_readiness_names_it(service: Rtc) -> None:
    """/readyz says that the homeserver answers."""
    assert service.ask("GET", "/readyz").json["members"] == {"ok": True}


@pytest.mark.parametrize("wrong", ["key", "socket"])
def test_no_answer_no_token(
    run: Run, variables: dict[str, str], synapse: Homeserver, folder: Path, wrong: str
) -> None:
    """With another key, or where nobody listens: 503 that a page can read, and readiness says so; never a token."""
    other = {
        "key": {"SAMSESH_RTC_MEMBERS_KEY_FILE": str(folder / "other")},
        "socket": {"SAMSESH_RTC_MEMBERS": f"unix:{folder}/nobody.sock"},
    }[wrong]
    rtc = run(**{**variables, **other})
    person = synapse.person()
    answer = asked(rtc, person, person.create())
    assert (answer.status, answer.json["errcode"], answer.headers[CORS]) == (503, "M_UNKNOWN", "*")
    found = rtc.ask("GET", "/readyz")
    assert found.status == 503 and not found.json["members"]["ok"]
    assert KEY not in rtc.logged() and "another-key" not in rtc.logged()


def test_anybody_in_stand_alone_mode(run: Run, variables: dict[str, str], synapse: Homeserver) -> None:
    """Without our variables there is nobody to ask who is in a room: it is as with upstream, and the docs say so."""
    kept = {name: value for name, value in variables.items() if not name.startswith("SAMSESH_RTC_MEMBERS")}
    assert asked(run(**kept), synapse.person(), "!room:localhost").status == 200


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"socket": "/s"}, "takes the paths `socket` and `key_path`"),
        ({"socket": "/s", "key_path": "/nonexistent"}, "/nonexistent: No such file"),
    ],
)
def test_the_module_refuses(tmp_path: Path, config: dict[str, str], words: str) -> None:
    """Without a socket and a key Synapse does not start, and says why."""
    modules = [{"module": MODULE, "config": config}]
    with pytest.raises(AssertionError), serving(tmp_path, modules=modules):
        pass
    assert words in (tmp_path / "log").read_text()


class Stub(asyncio.Protocol):
    """The other side, which says of a room what its name is; of `!mute` nothing, of `!hang` it hangs up."""

    seen: list[str] = []  # noqa: RUF012 - of all connections

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            Stub.seen.append(line.decode())
            if not line.startswith(b"{"):
                continue
            asked = json.loads(line)
            if asked["room"] == "!hang":
                self.transport.close()
            elif asked["room"] != "!mute":
                joined = {"!yes": True, "!no": False}.get(asked["room"])
                self.transport.write(json.dumps({"id": asked["id"], "joined": joined}).encode() + b"\n")


def test_one_connection_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many ask at once over one connection, and each gets their own answer; one that was lost is made again."""
    monkeypatch.setattr("samsesh.rtc.members.SECONDS", 0.3)
    Stub.seen.clear()

    async def main() -> None:
        path = str(tmp_path / "s")
        members = Members(path, KEY)
        with pytest.raises(UnansweredError, match="no such file"):
            await members.joined("!yes", "@a:b")
        server = await asyncio.get_running_loop().create_unix_server(Stub, path)
        rooms = ["!yes", "!no"] * 20
        answers = await asyncio.gather(*(members.joined(room, "@a:b") for room in rooms))
        assert answers == [True, False] * 20
        assert await members.joined("!" + "x" * LONGEST_ROOM, "@a:b") is False
        assert len(Stub.seen) == 41 and Stub.seen.count(KEY) == 1
        for room in ("!null", "!mute", "!hang"):
            with pytest.raises(UnansweredError):
                await members.joined(room, "@a:b")
        assert await members.joined("!yes", "@a:b")
        assert Stub.seen.count(KEY) == 2
        assert await members.check()  # of its room the stub knows nothing
        members.close()
        server.close()

    asyncio.run(main())
