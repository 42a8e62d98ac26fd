"""The module's decision alone: what in a request for a room must be other than it is."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from samsesh.engines.compose.render import synapse_module_files
from samsesh.synapse_module import levels
from samsesh.synapse_module.calls import changes

ALICE = "@alice:a.test"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-100, 100) | st.sampled_from([ALICE, "m.space", "50", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", ALICE]), inner),
    max_leaves=6,
)
LEVELS = st.fixed_dictionaries(
    {},
    optional={
        "users": JSON | st.dictionaries(st.sampled_from([ALICE, "@bob:a.test"]), st.integers(0, 100)),
        "events": JSON
        | st.dictionaries(st.sampled_from([levels.CALL_MEMBER, "m.room.message"]), st.integers(-9, 99)),
        "users_default": JSON | st.integers(-10, 60),
        "events_default": JSON | st.integers(-10, 60),
        "state_default": JSON | st.integers(-10, 60),
    },
)
EVENT = st.fixed_dictionaries(
    {}, optional={"type": JSON | st.just(levels.POWER_LEVELS), "state_key": JSON, "content": JSON | LEVELS}
)
REQUEST = st.fixed_dictionaries(
    {},
    optional={
        "preset": JSON | st.sampled_from(["private_chat", "trusted_private_chat", "public_chat"]),
        "visibility": JSON | st.just("public"),
        "creation_content": JSON
        | st.fixed_dictionaries({}, optional={"type": JSON, "additional_creators": JSON}),
        "invite": JSON,
        "initial_state": JSON | st.lists(EVENT, max_size=3),
        "power_level_content_override": JSON | LEVELS,
    },
)
OVERRIDES = st.dictionaries(st.sampled_from(["private_chat", "public_chat"]), JSON | LEVELS)


@given(REQUEST, st.booleans(), OVERRIDES)
def test_nothing_raises_and_the_request_is_not_written_into(
    request: dict[str, Any], implicit: bool, overrides: dict[str, Any]
) -> None:
    """Whatever is asked for, only levels are changed, whole; and asked again, nothing is."""
    before = copy.deepcopy((request, overrides))
    found = changes(request, ALICE, implicit, overrides)
    assert (request, overrides) == before
    assert found.keys() <= {"initial_state", "power_level_content_override"}
    assert changes({**request, **found}, ALICE, implicit, overrides) == {}


@given(st.fixed_dictionaries({"power_level_content_override": LEVELS}), st.booleans())
def test_only_what_is_needed(request: dict[str, Any], implicit: bool) -> None:
    """All other levels stay, and creators leave `users` only where the version wants that."""
    given_ = request["power_level_content_override"]
    wanted = changes(request, ALICE, implicit, {}).get("power_level_content_override", given_)
    for name in given_.keys() | wanted.keys() - {"events", "users"}:
        if name not in ("events", "users"):
            assert wanted[name] == given_[name]
    users, kept = given_.get("users"), wanted.get("users")
    if implicit and isinstance(users, dict):
        assert kept == {user: level for user, level in users.items() if user != ALICE}
    else:
        assert kept == users
    if isinstance(given_.get("events"), dict):
        assert {**wanted["events"], **given_["events"]} == wanted["events"]
        assert wanted["events"].keys() - given_["events"].keys() <= {levels.CALL_MEMBER}


def test_it_needs_nothing_but_python(tmp_path: Path) -> None:
    """It fits into any image of Synapse: what a container is given of ours needs no other package."""
    for file in synapse_module_files():
        path = tmp_path / file.path.relative_to("/etc/samsesh/synapse/modules")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from samsesh.synapse_module import CallsModule, Formatter"
    assert subprocess.run([sys.executable, "-I", "-S", "-c", code], timeout=60).returncode == 0
