"""Accounts by which Samsesh works: they are in no room that every new account joins."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi

Json = dict[str, Any]


class AccountsModule:
    """`own`: their user IDs. Synapse 1.163 has accounts of every type join `auto_join_rooms`, whatever is set."""

    def __init__(self, config: Json, api: "ModuleApi") -> None:
        # Not of the public API: a Synapse that has it elsewhere does not start, instead of letting them in.
        handler: Any = api._hs.get_registration_handler()
        own, usual = frozenset(config["own"]), handler._auto_join_rooms

        async def people_only(user_id: str) -> None:
            if user_id not in own:
                await usual(user_id)

        handler._auto_join_rooms = people_only

    @staticmethod
    def parse_config(config: Json) -> Json:
        own = config.get("own")
        if (
            config.keys() != {"own"}
            or not isinstance(own, list)
            or not all(isinstance(one, str) for one in own)
        ):
            from synapse.module_api.errors import ConfigError

            raise ConfigError("AccountsModule has one option, own: a list of user IDs")
        return config
