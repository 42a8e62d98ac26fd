"""Servers with which this one never talks. Synapse has a list of those that it does talk with, and no other.

Everything in Synapse 1.163 that sends to a server, takes from it or fetches its files looks whether its name is in
`federation_domain_whitelist`, where that is set. So we put something there in which every name is, but some.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synapse.module_api import ModuleApi

Json = dict[str, Any]


class EverybodyBut:
    """Contains every server name but these."""

    def __init__(self, denied: Iterable[str]) -> None:
        self._denied = frozenset(denied)

    def __contains__(self, name: object) -> bool:
        return name not in self._denied

    def __iter__(self) -> Iterator[str]:
        """For Synapse's list of the allowed ones for clients, which nobody could write down."""
        return iter(())


class FederationModule:
    """`deny`: names of the servers. A Synapse that asks otherwise does not start, instead of talking with them."""

    def __init__(self, config: Json, api: "ModuleApi") -> None:
        # Not of the public API.
        synapse = api._hs
        federation = synapse.config.federation
        if federation.federation_domain_whitelist is not None:
            raise RuntimeError("federation_domain_whitelist is set: leave out of it those who are denied")
        if hasattr(synapse, "_media_repository"):
            raise RuntimeError(
                "this Synapse looks at its federation_domain_whitelist before its modules are there"
            )
        federation.federation_domain_whitelist = EverybodyBut(config["deny"])
        asks = federation.is_domain_allowed_according_to_federation_whitelist
        if any(map(asks, config["deny"])) or not asks("another.invalid"):
            raise RuntimeError(
                "this Synapse does not ask its federation_domain_whitelist as the one we know does"
            )

    @staticmethod
    def parse_config(config: Json) -> Json:
        from synapse.module_api.errors import ConfigError

        if unknown := config.keys() - {"deny"}:
            raise ConfigError(f"FederationModule has no option {', '.join(map(repr, sorted(unknown)))}")
        denied = config.get("deny")
        if not isinstance(denied, list) or not all(isinstance(name, str) for name in denied):
            raise ConfigError("FederationModule: deny is a list of server names")
        return config
