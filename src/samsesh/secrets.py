"""Secrets: generated once, one file of mode 0600 each in one folder, in a type that never prints itself."""

import os
import secrets as random
import shlex
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from samsesh.errors import SamseshError
from samsesh.home import Home, user_name
from samsesh.write import make_dir, write_file

FIRST_ADMIN = "first_admin_password"
UNSHOWN = "first_admin_unshown"  # the first administrator's generated password, until it was printed
SERVICE_TOKEN = "service_token"  # noqa: S105 - a file's name
DOCTOR_TOKEN = "doctor_token"  # noqa: S105 - a file's name


class Secret:
    """A value that shows as *** wherever it is printed by mistake; `reveal()` is the only way in."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and random.compare_digest(
            self._value.encode(), other._value.encode()
        )

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True)
class Secrets:
    """What is generated for one server; every field is a file of that name in the secrets folder."""

    signing_key: Secret
    macaroon_key: Secret
    form_key: Secret
    registration_shared_secret: Secret
    database_password: Secret
    database_admin_password: Secret
    service_password: Secret
    turn_shared_secret: Secret
    livekit_key: Secret
    livekit_secret: Secret
    members_key: Secret
    doctor_key: Secret


def _word() -> str:
    return random.token_urlsafe(32)


def _signing_key() -> str:
    """An ed25519 key in the form Synapse reads; made by signedjson, Matrix's own library."""
    from signedjson.key import encode_signing_key_base64, generate_signing_key

    key = generate_signing_key("a_" + random.token_hex(2))
    return f"{key.alg} {key.version} {encode_signing_key_base64(key)}\n"


_MAKERS: dict[str, Callable[[], str]] = {
    "signing_key": _signing_key,
    "livekit_key": lambda: "key" + random.token_hex(8),
}


def ensure(
    home: Home, given: Mapping[str, str] | None = None, adopted: Mapping[str, str] | None = None
) -> Secrets:
    """The secrets of this home, missing ones generated and kept.

    `adopted` values are kept in the place of generated ones where none is there yet; `given` ones (.env) count
    over everything and are not kept.
    """
    check_folder(home.secrets_dir)
    found: dict[str, Secret] = {}
    for field in fields(Secrets):
        path = home.secrets_dir / field.name
        if given and field.name in given:
            found[field.name] = Secret(given[field.name])
            continue
        if not path.exists():
            make = _MAKERS.get(field.name, _word)
            write_file(path, (adopted or {}).get(field.name) or make())
        found[field.name] = Secret(read(home, field.name) or "")
    return Secrets(**found)


def preview(home: Home, given: Mapping[str, str] | None = None) -> Secrets:
    """The secrets as they are, missing ones made up for the moment: for showing what would be done."""
    made = {
        field.name: (given or {}).get(field.name) or read(home, field.name) or _word()
        for field in fields(Secrets)
    }
    return Secrets(**{name: Secret(value) for name, value in made.items()})


def as_found(home: Home, given: Mapping[str, str]) -> Secrets:
    """As `preview`, with what cannot be read made up, too: for the doctor, whose own check tells of it."""
    found = {}
    for field in fields(Secrets):
        with suppress(SamseshError, OSError):
            found[field.name] = read(home, field.name) or _word()
    missing = {field.name: _word() for field in fields(Secrets) if field.name not in found}
    return preview(home, {**missing, **found, **given})


def check_folder(folder: Path) -> None:
    """Refuse a secrets folder that others can look into: somebody opened it, and the secrets may be known."""
    make_dir(folder)
    _check_private(folder, "700")
    for path in sorted(folder.iterdir()):
        _check_private(path, "600")


def _check_private(path: Path, wanted: str) -> None:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise SamseshError(
            f"{path} is a symbolic link: nobody can say who reads what it leads to",
            "put what it leads to in its place, owned by the same user and closed to others",
        )
    if found.st_uid != os.geteuid():
        raise SamseshError(
            f"{path} belongs to {user_name(found.st_uid)}, not to {user_name()}", "run as its owner"
        )
    if found.st_mode & 0o077:
        raise SamseshError(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):o})",
            f"run `chmod {wanted} {shlex.quote(str(path))}`; "
            "if others use this machine, also think of renewing the secrets",
        )


def read(home: Home, name: str) -> str | None:
    """One secret as text, or None where it is not there. An empty one is damage: nothing may run without it."""
    path = home.secrets_dir / name
    try:
        found = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        found = ""
    if not found.strip():
        raise SamseshError(f"the secret in {path} is empty or damaged", "put it back from a backup")
    return found


def keep(home: Home, name: str, value: str) -> None:
    """Keep one secret, such as the service account's token."""
    write_file(home.secrets_dir / name, value)


def forget(home: Home, name: str) -> None:
    (home.secrets_dir / name).unlink(missing_ok=True)


def keep_first_admin_password(home: Home, password: str) -> None:
    """Keep the wizard's answer until the first start has made the account; it is deleted then."""
    check_folder(home.secrets_dir)
    keep(home, FIRST_ADMIN, password)
