"""Accounts of people on the server, through Synapse's admin API."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from samsesh import names
from samsesh.clients.synapse import SynapseClient
from samsesh.errors import SamseshError, SettingsError
from samsesh.ops import service_account
from samsesh.text import is_text

if TYPE_CHECKING:
    from samsesh.ops.server import Server

LONGEST_PASSWORD = 512  # Synapse's own limit

# name, admin, deactivated, locked, display_name, created and last_seen (ms since 1970, or None)
User = dict[str, Any]


def user_id(server: "Server", name: str) -> str:
    """`alice`, `@alice` or `@alice:this.server` -> the user ID; the reserved accounts are refused."""
    ours = server.settings.server.name
    localpart, colon, host = name.removeprefix("@").partition(":")
    if colon and (host != ours or not name.startswith("@")):
        raise SettingsError(f"{name!r} is no account of this server", f"user IDs here end in :{ours}")
    try:
        names.localpart(localpart)
    except ValueError as error:
        raise SettingsError(f"{name!r} cannot be a user name: {error}", "take a name such as alice") from None
    if localpart in names.RESERVED:
        raise SettingsError(f"{name!r} is an account by which Samsesh works", "take another name")
    if len(full := f"@{localpart}:{ours}") > 255:
        raise SettingsError(f"{name!r} is too long", "a user ID has at most 255 characters")
    return full


def check_password(server: "Server", password: str) -> None:
    """Refuse a password that is too short or too long."""
    shortest = server.settings.registration.password_min_length
    if len(password) < shortest:
        raise SettingsError(
            f"the password is too short: it needs at least {shortest} characters",
            "choose a longer one; the limit is the setting registration.password_min_length",
        )
    if len(password) > LONGEST_PASSWORD or "\0" in password or not is_text(password):
        raise SettingsError(
            "the password cannot be taken", f"use at most {LONGEST_PASSWORD} characters of UTF-8 text"
        )


def add(server: "Server", name: str, password: str, *, admin: bool = False, display_name: str = "") -> str:
    """Make an account; returns its user ID."""
    target = user_id(server, name)
    check_password(server, password)
    with changing(server, "user add", target=target, admin=str(admin).lower()) as synapse:
        check_new(synapse, target)
        named = {"displayname": display_name} if display_name else {}
        synapse.put_user(target, password=password, admin=admin, **named)
    return target


def check_new(synapse: SynapseClient, target: str) -> None:
    """Refuse the name of an account that exists."""
    found = synapse.user(target)
    if found is None:
        return
    if found["deactivated"]:
        raise SamseshError(
            f"{target} existed and was deactivated; a name is never given twice", "take another name"
        )
    raise SamseshError(f"{target} exists already", f"a new password: samsesh user password {_short(target)}")


def listed(server: "Server", *, deactivated: bool = False, limit: int | None = None) -> list[User]:
    """All accounts, or the first `limit`, by name; the reserved accounts are left out."""
    reserved = {f"@{name}:{server.settings.server.name}" for name in names.RESERVED}
    found: list[User] = []
    with service_account.client(server) as synapse:
        for entry in synapse.users(deactivated):
            if limit is not None and len(found) >= limit:
                break
            if entry["name"] not in reserved:
                found.append(_user(entry, entry.get("creation_ts")))
    return found


def show(server: "Server", name: str) -> User:
    """One account, its e-mail addresses and its devices."""
    target = user_id(server, name)
    with service_account.client(server) as synapse:
        found = _existing(synapse, target)
        devices = [
            {
                "id": device["device_id"],
                "name": device.get("display_name"),
                "last_seen": device.get("last_seen_ts"),
                "address": device.get("last_seen_ip"),
            }
            for device in synapse.devices(target)
        ]
    return {
        **_user(found, found["creation_ts"] * 1000),  # seconds here, milliseconds in the list
        "suspended": bool(found.get("suspended")),
        "emails": [entry["address"] for entry in found.get("threepids", []) if entry["medium"] == "email"],
        "devices": devices,
    }


def set_password(server: "Server", name: str, password: str, *, logout: bool = True) -> str:
    target = user_id(server, name)
    check_password(server, password)
    with changing(server, "user password", target=target, logout=str(logout).lower()) as synapse:
        _active(synapse, target)
        synapse.put_user(target, password=password, logout_devices=logout)
        if target == server.home.state().get("first_admin"):  # the one that was generated is no longer valid
            service_account.password_shown(server.home)
    return target


def set_admin(server: "Server", name: str, admin: bool) -> str:
    target = user_id(server, name)
    with changing(server, "user admin", target=target, admin=str(admin).lower()) as synapse:
        _active(synapse, target)
        synapse.put_user(target, admin=admin)
    return target


def deactivate(server: "Server", name: str, *, erase: bool = False) -> str:
    """Close an account for good; `erase` also hides its messages from those who join later. Final."""
    target = user_id(server, name)
    with changing(server, "user deactivate", target=target, erase=str(erase).lower()) as synapse:
        _existing(synapse, target)
        synapse.deactivate(target, erase=erase)
    return target


def logout(server: "Server", name: str) -> int:
    """Log an account out everywhere; returns how many devices that were."""
    target = user_id(server, name)
    with changing(server, "user logout", target=target) as synapse:
        _existing(synapse, target)
        devices = [str(device["device_id"]) for device in synapse.devices(target)]
        if devices:
            synapse.delete_devices(target, devices)
    return len(devices)


@contextmanager
def changing(server: "Server", action: str, **facts: str) -> Iterator[SynapseClient]:
    """A client for one change: the home is held, and the audit log says how it went."""
    with server.home.change(action, server.say, **facts), service_account.client(server) as synapse:
        yield synapse


def _existing(synapse: SynapseClient, target: str) -> User:
    found = synapse.user(target)
    if found is None:
        raise SamseshError(f"there is no account {target}", "see `samsesh user list`")
    return found


def _active(synapse: SynapseClient, target: str) -> None:
    if _existing(synapse, target)["deactivated"]:
        raise SamseshError(f"{target} is deactivated", "make a new account: samsesh user add NAME")


def _user(entry: User, created: int | None) -> User:
    return {
        "name": entry["name"],
        "admin": bool(entry["admin"]),
        "deactivated": bool(entry["deactivated"]),
        "locked": bool(entry.get("locked")),
        "display_name": entry.get("displayname"),
        "created": created,
        "last_seen": entry.get("last_seen_ts"),
    }


def _short(target: str) -> str:
    return target[1:].partition(":")[0]
