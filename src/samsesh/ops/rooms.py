"""Calls in rooms that are there already: their members are let join calls.

New rooms get this from `synapse_module`. In a room that is there only somebody with power in it can change it, so we
act as one of them, a local user, by a short-lived token of Synapse's admin API. The other way, its `make_room_admin`,
would leave our reserved account in the room's levels and member list for all to see.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from samsesh.clients.synapse import ApiError, SynapseClient
from samsesh.errors import SamseshError, SettingsError
from samsesh.ops import service_account
from samsesh.ops.users import changing
from samsesh.synapse_module.levels import CALL_MEMBER, POWER_LEVELS, SPACE, read

if TYPE_CHECKING:
    from samsesh.ops.server import Server

ALLOWED, CHANGE, CHANGED, LEFT, FAILED = "allowed", "change", "changed", "left", "failed"
UNUSABLE = (
    "deactivated",
    "locked",
    "suspended",
    "shadow_banned",
)  # what such a user sends is refused or lost

# room, name, alias, version, members, encrypted, now and then (levels that joining a call takes), sender,
# outcome (one of the above), reason
Room = dict[str, Any]
Json = dict[str, Any]


def decide(content: Json, *, named: bool) -> tuple[int | None, str]:
    """What joining calls should take in a room, given its m.room.power_levels; None with the reason to leave it.

    An empty reason: members can call already. `named`: this very room was asked for, so its admins' choice is overruled.
    """
    levels = read(content)
    if levels is None or not _numbers(content):  # Synapse would not take them again
        return None, "its power levels are not all numbers"
    if levels.allowed:
        return None, ""
    if levels.silent and not named:
        return None, "its members only read; name it to let them call"
    if levels.chosen and not named:
        return None, "its admins set this themselves; name it to overrule them"
    return min(levels.talking, levels.members), ""


def able(content: Json, creators: Iterable[str], members: Iterable[str], level: int) -> list[str]:
    """Those members who may set what joining calls takes to `level`, the strongest first."""
    users, events = content.get("users", {}), content.get("events", {})
    sending = events.get(POWER_LEVELS, content.get("state_default", 50))
    needed = max(sending, events.get(CALL_MEMBER, level), level)
    power = {member: users.get(member, content.get("users_default", 0)) for member in members}
    first = [member for member in power if member in set(creators)]
    rest = [member for member in power if member not in first and power[member] >= needed]
    return [*sorted(first), *sorted(rest, key=lambda member: (-power[member], member))]


def _numbers(content: Json) -> bool:
    maps = [content.get(name, {}) for name in ("users", "events", "notifications")]
    defaults = [content.get(name, 0) for name in ("users_default", "events_default", "state_default")]
    return all(isinstance(found, dict) for found in maps) and all(
        type(level) is int for level in [*defaults, *(level for found in maps for level in found.values())]
    )


def allow_calls(
    server: "Server",
    named: Sequence[str] = (),
    *,
    change: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Room]:
    """What there is to change in all rooms of this server or the `named` ones (IDs, aliases); `change`: do it."""
    if not change:
        with service_account.client(server) as synapse:
            return _each(server, synapse, named, progress, change=False)
    with changing(server, "rooms allow-calls", rooms=" ".join(named) or "all") as synapse:
        return _each(server, synapse, named, progress, change=True)


def _each(
    server: "Server",
    synapse: SynapseClient,
    named: Sequence[str],
    progress: Callable[[int, int], None],
    *,
    change: bool,
) -> list[Room]:
    entries = [_named(synapse, name) for name in named] or [
        entry for entry in synapse.rooms() if entry["joined_local_members"] and entry["room_type"] != SPACE
    ]
    found, usable = [], _Usable(server, synapse)
    for number, entry in enumerate(entries):
        progress(number, len(entries))
        room = _room(entry)
        try:
            _look(synapse, usable, room, named=bool(named), change=change)
        except ApiError as error:  # of this room alone: deleted meanwhile, or its levels are malformed
            room.update(outcome=FAILED, reason=error.message)
        if room["outcome"] == CHANGED:
            facts = {"room": room["room"], "sender": room["sender"], "level": str(room["then"])}
            server.home.audit("room allow-calls", **facts)
        found.append(room)
    progress(len(entries), len(entries))
    return found


def _named(synapse: SynapseClient, name: str) -> Json:
    if not name.startswith(("!", "#")):
        raise SettingsError(
            f"{name!r} is no room", "room IDs begin with !, aliases with #; put them in quotes"
        )
    found = synapse.room(name)
    if found is None:
        raise SamseshError(f"there is no room {name}", "see them all: samsesh rooms allow-calls")
    return found


def _look(synapse: SynapseClient, usable: "_Usable", room: Room, *, named: bool, change: bool) -> None:
    """Fill in what is to be done with one room, and do it."""
    room_id = room["room"]
    state = synapse.room_state(room_id, POWER_LEVELS)
    if state is None:
        room.update(outcome=LEFT, reason="it has no power levels")
        return
    content = state["content"]
    levels = read(content)
    level, reason = decide(content, named=named)
    room.update(now=levels and levels.calling, then=level, reason=reason, outcome=LEFT if reason else ALLOWED)
    if level is None:
        return
    create = synapse.room_state(room_id, "m.room.create")
    if create is None or create["content"].get("type") == SPACE:
        room.update(outcome=LEFT, then=None, reason="it is a space" if create else "it has no beginning")
        return
    sender = usable.first(able(content, _creators(room_id, create), synapse.room_members(room_id), level))
    if sender is None:
        room.update(outcome=LEFT, then=None, reason="nobody of this server has the power in it")
        return
    room.update(outcome=CHANGE, sender=sender)
    if change:
        events = {**content.get("events", {}), CALL_MEMBER: level}
        with synapse.acting_as(sender) as them:
            them.set_room_state(room_id, POWER_LEVELS, {**content, "events": events})
        room.update(outcome=CHANGED)


def _creators(room_id: str, create: Json) -> list[str]:
    """Users with power beyond all levels. There are some from version 12 on, where room IDs name no server."""
    if ":" in room_id:
        return []
    return [create["sender"], *create["content"].get("additional_creators", [])]


class _Usable:
    """Finds somebody whom we can act as, asking for each user once."""

    def __init__(self, server: "Server", synapse: SynapseClient) -> None:
        self._synapse = synapse
        self._host = f":{server.settings.server.name}"
        self._known = {service_account.user_id(server): False}  # Synapse lets nobody act as themselves

    def first(self, users: Iterable[str]) -> str | None:
        return next((user for user in users if user.endswith(self._host) and self._ask(user)), None)

    def _ask(self, user: str) -> bool:
        if user not in self._known:
            found = self._synapse.user(user)
            self._known[user] = found is not None and not any(found.get(state) for state in UNUSABLE)
        return self._known[user]


def _room(entry: Json) -> Room:
    return {
        "room": entry["room_id"],
        "name": entry["name"],
        "alias": entry["canonical_alias"],
        "version": entry["version"],
        "members": entry["joined_members"],
        "encrypted": bool(entry["encryption"]),
        "now": None,
        "then": None,
        "sender": None,
        "outcome": LEFT,
        "reason": "",
    }
