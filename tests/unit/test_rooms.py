"""What `rooms allow-calls` decides about a room, from its power levels alone."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samsesh.ops.rooms import able, decide
from samsesh.synapse_module.levels import CALL_MEMBER, POWER_LEVELS, read

LEVEL = st.integers(-20, 150)
PEOPLE = ["@a:a.test", "@b:a.test", "@c:a.test"]
CONTENT = st.fixed_dictionaries(
    {},
    optional={
        "users": st.dictionaries(st.sampled_from(PEOPLE), LEVEL),
        "events": st.dictionaries(st.sampled_from([CALL_MEMBER, POWER_LEVELS, "m.room.message"]), LEVEL),
        "users_default": LEVEL,
        "events_default": LEVEL,
        "state_default": LEVEL,
        "ban": LEVEL,
    },
)


@given(CONTENT, st.booleans())
def test_a_change_lets_members_call(content: dict[str, Any], named: bool) -> None:
    """What is decided is a level that members have, in rooms for talking what that takes; then nothing is left to do."""
    level, reason = decide(content, named=named)
    before = read(content)
    assert before is not None
    if level is None:
        assert bool(reason) == (not before.allowed)
        assert not named or before.allowed
        return
    assert not reason and not before.allowed
    changed = {**content, "events": {**content.get("events", {}), CALL_MEMBER: level}}
    assert decide(changed, named=named) == (None, "")
    assert level <= before.members and (level == before.talking or before.silent)


@given(CONTENT, LEVEL, st.lists(st.sampled_from(PEOPLE), unique=True))
def test_who_is_able(content: dict[str, Any], level: int, members: list[str]) -> None:
    """Only members who may send the new levels, by Matrix's rules for them; creators always and first."""
    users, events = content.get("users", {}), content.get("events", {})
    found = able(content, ["@a:a.test"], members, level)
    assert set(found) <= set(members)
    for member in members:
        power = users.get(member, content.get("users_default", 0))
        may_send = power >= events.get(POWER_LEVELS, content.get("state_default", 50))
        may_set = power >= level and power >= events.get(CALL_MEMBER, power)
        assert (member in found) == (member == "@a:a.test" or (may_send and may_set))
    if "@a:a.test" in members:
        assert found[0] == "@a:a.test"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"users_default": "0"}, "numbers"),
        ({"users": {"@a:a.test": "100"}}, "numbers"),
        ({"events": []}, "numbers"),
        ({"state_default": True}, "numbers"),
        ({"events_default": 50}, "only read"),
        ({"events": {"m.room.message": 50}}, "only read"),
        ({"events": {CALL_MEMBER: 100}}, "admins set this"),
    ],
)
def test_rooms_that_are_left(content: dict[str, Any], reason: str) -> None:
    """Old rooms' words for numbers, rooms for reading, and what admins chose are left, and it is said why."""
    level, why = decide(content, named=False)
    assert level is None and reason in why


def test_the_command_is_listed_without_slow_imports() -> None:
    """--help must be fast: the module of the command imports neither httpx2, pydantic nor Synapse."""
    code = (
        "import sys, samsesh.cli.rooms, samsesh.synapse_module;"
        "sys.exit(bool({'httpx2', 'pydantic', 'rich.table', 'synapse'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
