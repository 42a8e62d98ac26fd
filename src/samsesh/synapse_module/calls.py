"""Rooms in which calls work, from their creation on."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from samsesh.synapse_module.levels import CALL_MEMBER, POWER_LEVELS, SPACE, read

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi
    from synapse.types import Requester

Json = dict[str, Any]

TRUSTED = "trusted_private_chat"
# What Synapse 1.163 puts into `events` of a new room, by preset, unless the request has `events` of its own: that
# replaces all of it. It is nowhere to be asked for; the tests compare it with rooms that Synapse makes alone.
EVENTS = {
    "m.room.name": 50,
    "m.room.power_levels": 100,
    "m.room.history_visibility": 100,
    "m.room.canonical_alias": 50,
    "m.room.avatar": 50,
    "m.room.tombstone": 100,
    "m.room.server_acl": 100,
    "m.room.encryption": 100,
}
EVENTS_BY_PRESET = {"private_chat": EVENTS, TRUSTED: EVENTS, "public_chat": {**EVENTS, "m.call.invite": 50}}
TOMBSTONE_WITH_CREATORS = 150  # in versions where creators have power beyond all levels


class CallsModule:
    """Changes the request for a new room where calls would not work in it.

    - Whoever may talk may join calls, unless the request says what joining takes. Spaces are left alone.
    - From room version 12 on creators have their power implicitly, and Synapse refuses them in `users`, where Element
      Call's own page puts them.

    Appservices are left alone: they give rooms the rights that the network behind them has. An upgrade of a room does not
    come by here, and copies the levels of the old one.
    """

    def __init__(self, config: Json, api: "ModuleApi") -> None:
        # Not of the public API. Read now, so that a Synapse that has them elsewhere does not start, instead of refusing
        # rooms one by one.
        settings = api._hs.config
        self._version: str = settings.server.default_room_version.identifier
        self._overrides: Json = settings.room.default_power_level_content_override or {}
        api.register_third_party_rules_callbacks(on_create_room=self.on_create_room)

    @staticmethod
    def parse_config(config: Json) -> Json:
        if config:
            from synapse.module_api.errors import ConfigError

            raise ConfigError(f"CallsModule has no option {', '.join(map(repr, config))}")
        return config

    async def on_create_room(self, requester: "Requester", config: Json, is_requester_admin: bool) -> None:
        from synapse.api.room_versions import KNOWN_ROOM_VERSIONS

        if requester.app_service_id is not None:
            return
        version = KNOWN_ROOM_VERSIONS.get(config.get("room_version", self._version))
        if version is not None:
            implicit = version.msc4289_creator_power_enabled
            # Whole values are replaced: Synapse uses parts of one request for many rooms.
            config.update(changes(config, requester.user.to_string(), implicit, self._overrides))


def changes(config: Json, creator: str, implicit: bool, overrides: Json) -> Json:
    """The keys of a createRoom request that must be other than they are. What is malformed is Synapse's to refuse.

    `implicit`: creators have power without being in `users`; `overrides`: default_power_level_content_override.
    """
    creation, state = config.get("creation_content", {}), config.get("initial_state", [])
    private = config.get("visibility", "private") == "private"
    preset = config.get("preset", "private_chat" if private else "public_chat")
    if not isinstance(preset, str) or preset not in EVENTS_BY_PRESET:
        return {}
    if not isinstance(creation, dict) or creation.get("type") == SPACE:
        return {}
    if not isinstance(state, list) or not all(isinstance(event, dict) for event in state):
        return {}
    creators = _creators(config, creation, preset, creator) if implicit else set()
    for at, event in reversed([*enumerate(state)]):  # of several the last counts, and then no override
        if event.get("type") == POWER_LEVELS and event.get("state_key", "") == "":
            given = event.get("content")
            wanted = _mended(given, {}, creators)
            changed = [*state[:at], {**event, "content": wanted}, *state[at + 1 :]]
            return {} if wanted is given else {"initial_state": changed}
    given = config.get("power_level_content_override") or {}
    wanted = _mended(given, _base(preset, implicit, overrides), creators)
    return {} if wanted is given else {"power_level_content_override": wanted}


def _mended(given: Any, base: Json, creators: set[str]) -> Any:
    """`given` itself where it is right as it is; else with what is missing. `base`: what it will be laid over."""
    if not isinstance(given, dict):
        return given
    wanted = given
    users = given.get("users")
    if isinstance(users, dict) and not creators.isdisjoint(users):
        kept = {user: level for user, level in users.items() if user not in creators}
        wanted = {**wanted, "users": kept}
    whole = {**base, **given}
    levels = read(whole)
    if levels and not (levels.allowed or levels.chosen or levels.silent):
        wanted = {**wanted, "events": {**whole.get("events", {}), CALL_MEMBER: levels.talking}}
    return wanted


def _base(preset: str, implicit: bool, overrides: Json) -> Json:
    """What Synapse lays a request's power levels over, as far as it says something about calls."""
    events = dict(EVENTS_BY_PRESET[preset])
    if implicit:
        events["m.room.tombstone"] = TOMBSTONE_WITH_CREATORS
    override = overrides.get(preset)
    return {"events": events, **(override if isinstance(override, Mapping) else {})}


def _creators(config: Json, creation: Json, preset: str, creator: str) -> set[str]:
    """Everybody who will be a creator: in a trusted private chat those who are invited, too."""
    more = [creation.get("additional_creators"), config.get("invite") if preset == TRUSTED else None]
    lists = [found for found in more if isinstance(found, list)]
    return {creator, *(user for found in lists for user in found if isinstance(user, str))}
