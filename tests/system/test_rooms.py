"""`samsesh rooms allow-calls` on a whole running server: rooms made before there were calls."""

import json
import uuid
from typing import Any

import pytest

from conftest import ENGINE, Stack
from samsesh import secrets
from samsesh.clients.synapse import SynapseClient
from synapse_module.homeserver import Person, RefusedError
from system.trouble import fine, refused, wait_for

PASSWORD = "long enough for all"
CALL_MEMBER = "org.matrix.msc3401.call.member"
VERSIONS = ["11", "12"]
pytestmark = pytest.mark.slow


def person(stack: Stack) -> Person:
    name = f"caller-{uuid.uuid4().hex[:8]}"  # test_hostile_text.py has its own, on the same server
    fine(stack.cli("user", "add", name, "--password-stdin", stdin=PASSWORD + "\n"))
    who = {"type": "m.id.user", "user": name}
    nobody = Person(stack.url("homeserver"), "", "", "")
    found = nobody.ask(
        "POST", "/login", {"type": "m.login.password", "identifier": who, "password": PASSWORD}
    )
    return Person(nobody.url, found["access_token"], found["user_id"], found["device_id"])


@pytest.fixture(scope="module")
def alice(stack: Stack) -> Person:
    return person(stack)


@pytest.fixture(scope="module")
def bob(stack: Stack) -> Person:
    return person(stack)


def old_room(creator: Person, version: str, *members: Person, **levels: Any) -> str:
    """A room whose levels say nothing of calls, as they were made before; `levels` lie over Synapse's."""
    room = creator.create(version, preset="public_chat", name="Kitchen")
    for member in members:
        member.join(room)
    content = creator.levels(room)
    content["events"].pop(CALL_MEMBER, None)
    creator.ask("PUT", f"/rooms/{room}/state/m.room.power_levels/", {**content, **levels})
    return room


def command(stack: Stack, *words: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(fine(stack.cli("rooms", "allow-calls", *words, "--json")).stdout)
    return found


def listed(stack: Stack, room: str, *words: str) -> dict[str, Any]:
    """One room in the answer for all; Synapse's list has a new room after a moment."""

    def one() -> dict[str, Any] | None:
        return next((entry for entry in command(stack, *words) if entry["room"] == room), None)

    found: dict[str, Any] = wait_for(one)
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_members_of_old_rooms_can_call(stack: Stack, alice: Person, bob: Person, version: str) -> None:
    """The preview names the change and its sender and does nothing; --yes changes that key alone, once."""
    room = old_room(alice, version, bob)
    with pytest.raises(RefusedError, match="permission"):
        bob.call(room)
    before, state = alice.levels(room), alice.state(room)
    preview = listed(stack, room)
    assert (preview["outcome"], preview["now"], preview["then"]) == ("change", 50, 0)
    assert preview["sender"] == alice.user_id
    assert (preview["name"], preview["version"]) == ("Kitchen", version)
    assert alice.levels(room) == before

    assert listed(stack, room, "--all", "--yes")["outcome"] == "changed"
    after = alice.levels(room)
    assert after["events"].pop(CALL_MEMBER) == 0
    assert after == before
    kept = [event for event in state if event["type"] != "m.room.power_levels"]
    assert sorted(kept, key=str) == sorted(
        (event for event in alice.state(room) if event["type"] != "m.room.power_levels"), key=str
    )  # nobody came or went
    bob.call(room)
    assert listed(stack, room, "--all", "--yes")["outcome"] == "allowed"
    audited = [json.loads(line) for line in (stack.path / "audit.log").read_text().splitlines()]
    assert [line["sender"] for line in audited if line.get("room") == room] == [alice.user_id]
    assert any(line["action"] == "rooms allow-calls" and line["rooms"] == "all" for line in audited)
    assert len(alice.ask("GET", "/devices")["devices"]) == 1  # we acted as her and left no device


@pytest.mark.parametrize("version", VERSIONS)
def test_rooms_that_nobody_here_can_change(stack: Stack, alice: Person, bob: Person, version: str) -> None:
    """Where those with power left or are locked out the room is reported, and not touched."""
    room = old_room(alice, version, bob)
    alice.ask("POST", f"/rooms/{room}/leave", {})
    before = bob.levels(room)
    for words in (("--dry-run",), ("--yes",)):
        (found,) = command(stack, room, *words)
        assert (found["outcome"], found["reason"]) == ("left", "nobody of this server has the power in it")
    assert bob.levels(room) == before
    told = fine(stack.cli("rooms", "allow-calls", room))
    assert "nobody of this server has" in " ".join(told.stdout.split())
    assert "There is nothing to change" in told.stdout


@pytest.mark.parametrize("version", VERSIONS)
def test_admins_decisions_count_unless_the_room_is_named(
    stack: Stack, alice: Person, bob: Person, version: str
) -> None:
    """--all leaves rooms where calls were turned off, and those for reading; a named one is changed."""
    off = old_room(alice, version, bob, events={CALL_MEMBER: 75, "m.room.name": 33})
    reading = old_room(alice, version, bob, events_default=50)
    assert listed(stack, off)["outcome"] == listed(stack, reading)["outcome"] == "left"
    found = command(stack, off, reading, "--yes")
    assert [entry["outcome"] for entry in found] == ["changed", "changed"]
    assert alice.levels(off)["events"] == {CALL_MEMBER: 0, "m.room.name": 33}
    for room in (off, reading):
        bob.call(room)


def test_the_weaker_admin_does_it_when_the_stronger_is_locked(stack: Stack, bob: Person) -> None:
    """Somebody whose account is locked cannot be acted as: the next one with the power is."""
    strong, weak = person(stack), person(stack)
    room = old_room(strong, "12", weak, bob, users={weak.user_id: 100})
    assert command(stack, room)[0]["sender"] == strong.user_id
    token = secrets.read(stack.home, secrets.SERVICE_TOKEN)
    socket = "synapse-admin.sock" if ENGINE == "native" else "synapse/admin.sock"
    with SynapseClient(stack.home.runtime_dir() / socket, token) as synapse:
        synapse.put_user(strong.user_id, locked=True)
    (found,) = command(stack, room, "--yes")
    assert (found["outcome"], found["sender"]) == ("changed", weak.user_id)
    bob.call(room)


def test_spaces_are_left(stack: Stack) -> None:
    """A space has no calls: it is not in the list, and left where it is named."""
    alice = person(stack)
    space = alice.create(creation_content={"type": "m.space"}, name="House", room_alias_name="house")
    marker = old_room(alice, "12")
    listed(stack, marker)  # Synapse's list is up to date with what came before
    assert space not in [entry["room"] for entry in command(stack, "--all")]
    (found,) = command(stack, "#house:localhost", "--yes")
    assert (found["room"], found["outcome"], found["reason"]) == (space, "left", "it is a space")


def test_what_is_printed(stack: Stack) -> None:
    """The preview shows what would change, as whom, and the command that does it."""
    room = old_room(person(stack), "11")
    told = fine(stack.cli("rooms", "allow-calls", room)).stdout
    assert f"rooms allow-calls '{room}' --yes" in told
    assert "Kitchen" in told and "Nothing was done yet" in told
    told = fine(stack.cli("rooms", "allow-calls", room, "--yes")).stdout
    assert "Rooms where calls are allowed now: 1" in told


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("--yes",), 2, "add --all"),
        (("!a:localhost", "--all"), 2, "--all"),
        (("kitchen",), 2, "in quotes"),
        (("!nothere:localhost",), 1, "there is no room"),
        (("!nothere",), 1, "there is no room"),
        (("#nothere:localhost",), 1, "there is no room"),
        (("#",), 1, "there is no room"),
    ],
)
def test_wrong_usage(stack: Stack, words: tuple[str, ...], code: int, reason: str) -> None:
    """It must be said which rooms, and they must be there."""
    refused(stack.cli("rooms", "allow-calls", *words), code, reason)
