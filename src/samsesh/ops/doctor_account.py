"""The reserved account with which the doctor tries what people do: one for good, not a new one each run."""

import secrets as random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samsesh import names, secrets
from samsesh.clients.synapse import ApiError, SynapseClient
from samsesh.errors import SamseshError
from samsesh.ops import service_account

if TYPE_CHECKING:
    from samsesh.ops.server import Server

NAME = names.DOCTOR_ACCOUNT
DEVICE = "SAMSESH_DOCTOR"


@dataclass(frozen=True)
class Device:
    """A log-in of the doctor's; `token` is a secret and never shown."""

    user_id: str
    token: str
    device_id: str

    def __repr__(self) -> str:
        return f"Device({self.user_id!r}, {self.device_id!r})"


def user_id(server: "Server") -> str:
    return f"@{NAME}:{server.settings.server.name}"


def ensure(server: "Server") -> Device:
    """The doctor's log-in: the kept one while it works, else a new one; the account is made where it is missing.

    Holds the home only while it makes one. Not for who holds the home already: that is `make`.
    """
    token = _kept(server)
    if token is None:
        with server.home.lock("doctor", server.say):
            token = _kept(server) or make(server)  # another doctor may have been quicker
    return Device(user_id(server), token, DEVICE)


def _kept(server: "Server") -> str | None:
    token = secrets.read(server.home, secrets.DOCTOR_TOKEN)
    if not token:
        return None
    with SynapseClient(service_account.socket_of(server), token) as ours:
        try:
            return token if ours.whoami() == user_id(server) else None
        except ApiError as error:
            if error.status in (401, 403):  # logged out; locked or deactivated
                return None
            raise


def make(server: "Server") -> str:
    """Make the account, or bring it back, with a password that nobody keeps; returns a new token, which is kept."""
    target, password = user_id(server), random.token_urlsafe(32)
    with service_account.client(server) as synapse:
        found = synapse.user(target)
        if found and not found["deactivated"] and found.get("user_type") != service_account.USER_TYPE:
            raise SamseshError(
                f"{target} is somebody's account; the doctor needs that name",
                "close that account in an administration client: its name is kept for Samsesh",
            )
        back = {"deactivated": False, "locked": False} if found else {}
        synapse.put_user(target, password=password, admin=False, user_type=service_account.USER_TYPE, **back)
        synapse.lift_message_limit(target)
    with SynapseClient(service_account.socket_of(server)) as nobody:
        token = nobody.login(target, password, DEVICE)
    secrets.keep(server.home, secrets.DOCTOR_TOKEN, token)
    return token
