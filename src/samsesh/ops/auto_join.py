"""The rooms of `registration.auto_join_rooms`: Synapse makes them with a server's first account, and never later."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from samsesh import names
from samsesh.clients.synapse import ApiError, SynapseClient
from samsesh.ops import service_account
from samsesh.ops.rooms import UNUSABLE

if TYPE_CHECKING:
    from samsesh.ops.server import Server


def make_missing(server: "Server") -> list[str]:
    """Make those of this server that are not there, as Synapse would; gives what to tell people of those that cannot be.

    They belong to the user that `auto_join_mxid_localpart` in `extra.synapse` names, else to an administrator.
    """
    extra = server.settings.extra.synapse
    ours = f":{server.settings.server.name}"
    wanted = [alias for alias in server.settings.registration.auto_join_rooms if alias.endswith(ours)]
    if not wanted or not extra.get("autocreate_auto_join_rooms", True):
        return []
    with service_account.client(server) as synapse:
        missing = [alias for alias in wanted if synapse.room(alias) is None]
        owner = next(_owners(server, synapse), None) if missing else ""
        if owner is None:
            return [
                f"{', '.join(missing)} could not be made: there is no administrator: samsesh user admin NAME --on"
            ]
        return [problem for alias in missing if (problem := _make(server, synapse, str(owner), alias))]


def _owners(server: "Server", synapse: SynapseClient) -> Iterator[str]:
    """Active accounts that may have these rooms, the likeliest first."""
    ours = server.settings.server.name
    if named := server.settings.extra.synapse.get("auto_join_mxid_localpart"):
        likely = [f"@{named}:{ours}"]
    else:
        likely = [server.home.state().get("first_admin", "")]
        likely += [user["name"] for user in synapse.users() if user["admin"]]
    own = {f"@{name}:{ours}" for name in names.RESERVED}
    for user_id in dict.fromkeys(likely):
        user = synapse.user(user_id) if user_id and user_id not in own else None
        if user and not any(user.get(state) for state in UNUSABLE):
            yield user_id


def _make(server: "Server", synapse: SynapseClient, owner: str, alias: str) -> str:
    """Empty where it was made."""
    extra = server.settings.extra.synapse
    request: dict[str, Any] = {
        "preset": extra.get("autocreate_auto_join_room_preset", "public_chat"),
        "room_alias_name": alias[1:].partition(":")[0],
    }
    if not extra.get("autocreate_auto_join_rooms_federated", True):
        request["creation_content"] = {"m.federate": False}
    try:
        with synapse.acting_as(owner) as them:
            room = them.create_room(request)
    except ApiError as error:
        return f"{alias}, which new accounts are to join, could not be made by {owner}: {error.message}"
    server.home.audit("auto-join room", room=room, alias=alias, sender=owner)
    return ""
