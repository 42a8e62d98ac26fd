"""Request bodies: read as upstream reads them, then judged. Source: lk-jwt-service's behaviour, MSC4195.

Upstream decodes into records of Go: names count without regard to case, null counts as absent, repeated objects are
merged, what follows the first JSON value is not looked at, and an unknown name anywhere is an error.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

Shape = dict[str, Any]  # name -> str, int, or the shape of an object

_OPENID: Shape = {"access_token": str, "token_type": str, "matrix_server_name": str, "expires_in": int}
_MEMBER: Shape = {"id": str, "claimed_user_id": str, "claimed_device_id": str}
_DELAY: Shape = {"delay_id": str, "delay_timeout": int, "delay_cs_api_url": str}
LEGACY: Shape = {"room": str, "openid_token": _OPENID, "device_id": str, **_DELAY}
CURRENT: Shape = {"room_id": str, "slot_id": str, "openid_token": _OPENID, "member": _MEMBER, **_DELAY}

LEGACY_SLOT = "m.call#ROOM"
INT64 = 2**63
_SURROGATES = re.compile("[\ud800-\udfff]")


class RefusedError(Exception):
    """An answer of a Matrix error: HTTP status, errcode, text."""

    def __init__(self, status: int, errcode: str, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.errcode = errcode
        self.error = error


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, whichever route. `member` is None on the legacy route; `delay_timeout` is in milliseconds."""

    room: str
    slot: str
    server: str
    token: str
    device: str
    claimed_user: str = ""
    member: str | None = None
    delay_id: str = ""
    delay_timeout: int = 0


def read_legacy(body: bytes) -> Asked:
    """A body of /sfu/get."""
    found = decode(body, LEGACY)
    openid = found["openid_token"]
    if not found["room"]:
        raise _bad("Missing room parameter")
    if not (openid["access_token"] and openid["matrix_server_name"]):
        raise _bad("Missing OpenID token parameters")
    _check_delay(found)
    return Asked(
        room=found["room"],
        slot=LEGACY_SLOT,
        server=openid["matrix_server_name"],
        token=openid["access_token"],
        device=found["device_id"],
        delay_id=found["delay_id"],
        delay_timeout=found["delay_timeout"],
    )


def read_current(body: bytes) -> Asked:
    """A body of /get_token."""
    found = decode(body, CURRENT)
    _check_names(found, "a ")
    _check_delay(found)
    return _asked(found)


def read_delegation(body: bytes) -> Asked:
    """A body of /delegate_delayed_leave."""
    found = decode(body, CURRENT)
    _check_names(found, "")
    if not found["delay_id"] or found["delay_timeout"] <= 0:
        raise _bad("The request body is missing `delay_id` or `delay_timeout`")
    return _asked(found)


def _asked(found: dict[str, Any]) -> Asked:
    member = found["member"]
    return Asked(
        room=found["room_id"],
        slot=found["slot_id"],
        server=found["openid_token"]["matrix_server_name"],
        token=found["openid_token"]["access_token"],
        device=member["claimed_device_id"],
        claimed_user=member["claimed_user_id"],
        member=member["id"],
        delay_id=found["delay_id"],
        delay_timeout=found["delay_timeout"],
    )


def _check_names(found: dict[str, Any], article: str) -> None:
    """Upstream says "missing a `id`" on one route and "missing `id`" on the other."""
    if not (found["room_id"] and found["slot_id"]):
        raise _bad("The request body is missing `room_id` or `slot_id`")
    if not all(found["member"].values()):
        raise _bad(
            f"The request body `member` is missing {article}`id`, `claimed_user_id` or `claimed_device_id`"
        )
    openid = found["openid_token"]
    if not (openid["access_token"] and openid["matrix_server_name"]):
        raise _bad(
            f"The request body `openid_token` is missing {article}`access_token` or `matrix_server_name`"
        )


def _check_delay(found: dict[str, Any]) -> None:
    """One without the other is a mistake; a timeout of zero or less counts as absent."""
    if bool(found["delay_id"]) != (found["delay_timeout"] > 0):
        raise _bad("The request body is missing `delay_id` or `delay_timeout`")


def _bad(error: str) -> RefusedError:
    return RefusedError(400, "M_BAD_JSON", error)


def not_json() -> RefusedError:
    return RefusedError(400, "M_NOT_JSON", "Error reading request")


def decode(body: bytes, shape: Shape) -> dict[str, Any]:
    """The values of a body, absent ones empty; RefusedError where it is not of that shape."""
    try:
        text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
        value, _ = _decoder.raw_decode(text)
        found = _empty(shape)
        _fill(found, value, shape)
    except (ValueError, RecursionError):
        raise not_json() from None
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity, which Python would take


# Objects become tuples of pairs, so that repeated and unknown names are seen.
_decoder = json.JSONDecoder(object_pairs_hook=tuple, parse_constant=_no_constant)


def _empty(shape: Shape) -> dict[str, Any]:
    return {name: _empty(kind) if isinstance(kind, dict) else kind() for name, kind in shape.items()}


def _fill(found: dict[str, Any], value: Any, shape: Shape) -> None:
    if value is None:
        return
    if not isinstance(value, tuple):
        raise ValueError("not an object")
    for name, part in value:
        known = name if name in shape else name.lower()
        kind = shape.get(known)
        if kind is None:
            raise ValueError("unknown name")
        if part is None:
            continue
        if isinstance(kind, dict):
            _fill(found[known], part, kind)
        elif type(part) is not kind or (kind is int and not -INT64 <= part < INT64):
            raise ValueError("wrong type")
        else:
            found[known] = _text(part) if kind is str else part


def _text(value: str) -> str:
    """Half a surrogate pair is no character; upstream puts the replacement character in its place."""
    return value if value.isascii() else _SURROGATES.sub("\ufffd", value)
