"""Invitations: Synapse's registration tokens, with the link that opens the sign-up page."""

import secrets as random
import time
from typing import TYPE_CHECKING, Any

from samsesh.errors import SamseshError, SettingsError
from samsesh.ops import service_account
from samsesh.ops.users import changing

if TYPE_CHECKING:
    from samsesh.ops.server import Server

TOKEN_LENGTH = 24  # about 118 bits

# token, link, uses (None: any number), used, pending, expires (ms since 1970, or None)
Invite = dict[str, Any]


def create(server: "Server", uses: int | None = 1, seconds: int | None = 7 * 86_400) -> Invite:
    """A new invitation for `uses` accounts that ends after `seconds`; None: without that limit."""
    if server.settings.registration.mode == "closed":
        raise SamseshError(
            "registration is closed, so an invitation would not work",
            "run `samsesh config set registration.mode token`, then `samsesh up`",
        )
    if uses is not None and uses < 1:
        raise SettingsError("an invitation is for at least one account", "use --uses 1 or more")
    if seconds is not None and seconds < 1:
        raise SettingsError("an invitation that has already ended helps nobody", "use --expires 7d")
    expires = None if seconds is None else int((time.time() + seconds) * 1000)
    # Synapse's own tokens may begin with -, which a command would take for an option.
    token = "".join(random.choice(service_account.READABLE) for _ in range(TOKEN_LENGTH))
    limits = {"uses": str(uses or "any"), "expires": str(expires or "never")}
    with changing(server, "invite create", **limits) as synapse:
        made = synapse.new_registration_token(token, uses, expires)
    return _invite(server, made)


def listed(server: "Server") -> list[Invite]:
    with service_account.client(server) as synapse:
        return [_invite(server, found) for found in synapse.registration_tokens()]


def revoke(server: "Server", token: str) -> None:
    """End an invitation; accounts made with it stay."""
    with changing(server, "invite revoke") as synapse:
        if not synapse.delete_registration_token(token):
            raise SamseshError("there is no such invitation", "see `samsesh invite list`")


def needless(server: "Server") -> str:
    """What to say where nobody needs an invitation; empty where they do."""
    if server.settings.registration.mode == "open":
        return "Registration is open: nobody needs an invitation on this server."
    return ""


def _invite(server: "Server", found: dict[str, Any]) -> Invite:
    from samsesh.pages import invite_link

    token = str(found["token"])
    return {
        "token": token,
        "link": invite_link(server.plan.offer.addresses["web"], token),
        "uses": found["uses_allowed"],
        "used": found["completed"],
        "pending": found["pending"],
        "expires": found["expiry_time"],
    }
