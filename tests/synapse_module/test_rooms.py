"""Rooms of a real Synapse with our module, compared with those of one without it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from synapse_module.homeserver import MODULE, Homeserver, Person, RefusedError, serving

CALL_MEMBER = "org.matrix.msc3401.call.member"
VERSIONS = ["11", "12"]
PRESETS = ["private_chat", "trusted_private_chat", "public_chat"]
NO_CALLS = {"events": {CALL_MEMBER: 75}}
pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Two:
    """The same people on a server with the module and on one without."""

    alice: Person
    bob: Person
    plain_alice: Person
    plain_bob: Person


@pytest.fixture(scope="module")
def with_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeserver]:
    with serving(tmp_path_factory.mktemp("with"), modules=[MODULE]) as server:
        yield server


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeserver]:
    with serving(tmp_path_factory.mktemp("without")) as server:
        yield server


@pytest.fixture(scope="module")
def two(with_module: Homeserver, without: Homeserver) -> Two:
    people = [server.person(name) for server in (with_module, without) for name in ("alice", "bob")]
    return Two(*people)


def element_call(user_id: str) -> dict[str, Any]:
    """What the home page of Element Call 0.26.1 asks for (createRoom in its source map)."""
    return {
        "visibility": "private",
        "preset": "public_chat",
        "name": "Standup",
        "power_level_content_override": {
            "invite": 100,
            "kick": 100,
            "ban": 100,
            "redact": 50,
            "state_default": 0,
            "events_default": 0,
            "users_default": 0,
            "events": {
                "m.room.power_levels": 100,
                "m.room.history_visibility": 100,
                "m.room.tombstone": 100,
                "m.room.encryption": 100,
                "m.room.name": 50,
                "m.room.message": 0,
                "m.room.encrypted": 50,
                "m.sticker": 50,
                CALL_MEMBER: 0,
            },
            "users": {user_id: 100},
        },
    }


@pytest.mark.parametrize("version", [*VERSIONS, None])
def test_element_calls_own_page_makes_rooms(two: Two, version: str | None) -> None:
    """The home page's request works in every version: the creator has power, the others can call."""
    room = two.alice.create(version, **element_call(two.alice.user_id))
    two.bob.join(room)
    two.bob.call(room)
    two.alice.ask("PUT", f"/rooms/{room}/state/m.room.name/", {"name": "Retro"})
    with pytest.raises(RefusedError, match="403"):
        two.bob.ask("PUT", f"/rooms/{room}/state/m.room.name/", {"name": "Mine"})
    assert two.alice.levels(room)["users"] == ({two.alice.user_id: 100} if version == "11" else {})


def test_element_calls_own_page_fails_without(two: Two) -> None:
    """The trap that the module is for is still there; when this fails the module may shrink."""
    assert two.plain_alice.create("11", **element_call(two.plain_alice.user_id))
    with pytest.raises(RefusedError, match="must not appear in"):
        two.plain_alice.create("12", **element_call(two.plain_alice.user_id))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("preset", PRESETS)
def test_a_new_room_differs_in_one_key(two: Two, version: str, preset: str) -> None:
    """Synapse's own levels are all kept; members who are no creators can call; without the module they cannot."""
    request = {"preset": preset, "name": "Garden"}
    room = two.alice.create(version, **request)
    plain = two.plain_alice.create(version, **request)
    levels, usual = two.alice.levels(room), two.plain_alice.levels(plain)
    assert levels["events"].pop(CALL_MEMBER) == 0
    assert levels == usual
    others = [
        [event for event in who.state(at) if event["type"] != "m.room.power_levels"]
        for who, at in ((two.alice, room), (two.plain_alice, plain))
    ]
    assert sorted(others[0], key=str) == sorted(others[1], key=str)
    for creator, at, member in ((two.alice, room, two.bob), (two.plain_alice, plain, two.plain_bob)):
        if preset != "public_chat":
            creator.ask("POST", f"/rooms/{at}/invite", {"user_id": member.user_id})
        member.join(at)
        creator.ask("PUT", f"/rooms/{at}/state/m.room.power_levels/", creator.levels(at))  # has the power to
    two.bob.call(room)
    with pytest.raises(RefusedError, match="permission"):
        two.plain_bob.call(plain)
    with pytest.raises(RefusedError, match="permission"):
        two.bob.ask("PUT", f"/rooms/{room}/state/m.room.name/", {"name": "Mine"})


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"creation_content": {"type": "m.space"}, "name": "Club"}, id="a space"),
        pytest.param({"power_level_content_override": NO_CALLS}, id="calls set by the client"),
        pytest.param({"power_level_content_override": {"state_default": 0}}, id="all state allowed"),
        pytest.param(
            {"power_level_content_override": {"users_default": -10}}, id="readers, as server notices"
        ),
        pytest.param({"power_level_content_override": {"events_default": 50}}, id="announcements"),
        pytest.param(
            {"initial_state": [{"type": "m.room.power_levels", "content": {"state_default": 0}}]},
            id="whole levels given",
        ),
    ],
)
def test_rooms_that_need_nothing_are_the_same(two: Two, version: str, request_: dict[str, Any]) -> None:
    """Where nothing is to be mended a room has the state that Synapse alone gives it."""
    states = [who.state(who.create(version, **request_)) for who in (two.alice, two.plain_alice)]
    assert sorted(states[0], key=str) == sorted(states[1], key=str)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_clients_own_levels_are_kept(two: Two, version: str) -> None:
    """A client's map of events replaces Synapse's as ever, and gets one key more; so do whole levels."""
    own = {"events": {"m.room.name": 0, "m.call.member": 0}, "invite": 7}
    levels = two.alice.levels(two.alice.create(version, power_level_content_override=own))
    assert levels["events"] == {**own["events"], CALL_MEMBER: 0}  # type: ignore[dict-item]
    assert levels["invite"] == 7
    whole = {"users": {two.alice.user_id: 100}, "events": {"m.room.name": 25}, "users_default": 5}
    state = [{"type": "m.room.power_levels", "state_key": "", "content": whole}]
    levels = two.alice.levels(two.alice.create(version, initial_state=state))
    users = whole["users"] if version == "11" else {}
    assert levels == {**whole, "users": users, "events": {"m.room.name": 25, CALL_MEMBER: 0}}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_direct_chat_as_element_x_makes_it(two: Two, version: str) -> None:
    """Encrypted, with somebody invited who gets power, too: both can call, and so can a third who is invited later."""
    encryption = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    room = two.alice.create(
        version,
        preset="trusted_private_chat",
        is_direct=True,
        invite=[two.bob.user_id],
        initial_state=[encryption],
    )
    third = Homeserver(two.alice.url).person()
    two.bob.join(room)
    two.bob.ask("POST", f"/rooms/{room}/invite", {"user_id": third.user_id})
    third.join(room)
    for who in (two.alice, two.bob, third):
        who.call(room)
    assert any(event["type"] == "m.room.encryption" for event in two.alice.state(room))


def test_creators_by_invitation_are_dropped_too(two: Two) -> None:
    """Who becomes a creator may be given a level by the client: version 12 refuses that, we take it out."""
    carol = Homeserver(two.alice.url).person()
    users = {two.alice.user_id: 100, two.bob.user_id: 100, carol.user_id: 50}
    room = two.alice.create(
        "12",
        preset="trusted_private_chat",
        invite=[two.bob.user_id],
        creation_content={"additional_creators": ["@away:localhost"]},
        power_level_content_override={"users": {**users, "@away:localhost": 9}},
    )
    assert two.alice.levels(room)["users"] == {carol.user_id: 50}


def test_bridges_are_left_alone(with_module: Homeserver, without: Homeserver) -> None:
    """Rooms of appservices are as Synapse alone makes them."""
    states = [server.bridge.state(server.bridge.create("11")) for server in (with_module, without)]
    assert sorted(states[0], key=str) == sorted(states[1], key=str)


def test_an_upgrade_copies_the_levels(two: Two) -> None:
    """Upgrades do not come by the module: where members could call they can afterwards."""
    room = two.alice.create("11", preset="public_chat")
    upgraded = two.alice.ask("POST", f"/rooms/{room}/upgrade", {"new_version": "12"})["replacement_room"]
    two.bob.join(upgraded)
    two.bob.call(upgraded)


@pytest.mark.parametrize(
    "request_",
    [
        {"power_level_content_override": "100"},
        {"power_level_content_override": {"users": "me"}},
        {"power_level_content_override": {"events": []}},
        {"power_level_content_override": {"users_default": "many"}},
        {"initial_state": [{"type": "m.room.power_levels", "content": 3}]},
        {"initial_state": {"type": "m.room.power_levels"}},
        {"initial_state": ["m.room.power_levels"]},
        {"creation_content": []},
        {"preset": "nice_chat"},
        {"preset": ["public_chat"]},
        {"room_version": "99"},
        {"room_version": 12},
        {"invite": [[]], "preset": "trusted_private_chat"},
    ],
)
def test_what_is_malformed_is_synapses_to_refuse(two: Two, request_: dict[str, Any]) -> None:
    """Wrong requests get the same answer with the module as without it."""
    answers = []
    for who in (two.alice, two.plain_alice):
        try:
            answers.append(sorted(who.state(who.create(**request_)), key=str))
        except RefusedError as refused:
            answers.append([{"refused": str(refused)}])
    assert answers[0] == answers[1]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_operators_own_levels_are_kept(tmp_path: Path, version: str) -> None:
    """default_power_level_content_override counts as without us, for its presets."""
    override = {"public_chat": {"events": {"m.room.name": 75}}, "private_chat": NO_CALLS}
    with serving(tmp_path, modules=[MODULE], default_power_level_content_override=override) as server:
        alice = server.person()
        public = alice.levels(alice.create(version, preset="public_chat"))["events"]
        assert public == {"m.room.name": 75, CALL_MEMBER: 0}
        assert alice.levels(alice.create(version, preset="private_chat"))["events"] == NO_CALLS["events"]
        trusted = alice.levels(alice.create(version, preset="trusted_private_chat"))["events"]
        assert trusted["m.room.encryption"] == 100 and trusted[CALL_MEMBER] == 0


def test_unknown_options_stop_the_start(tmp_path: Path) -> None:
    """A misspelt option is told when Synapse starts."""
    wrong = {**MODULE, "config": {"room": 1}}
    with (
        pytest.raises(AssertionError, match="CallsModule has no option 'room'"),
        serving(tmp_path, modules=[wrong]),
    ):
        pass
