"""Secrets among the settings, which nothing prints: those that are ours to name, and those that `extra` passes on."""

import re
from typing import Any

HIDDEN = "***"
SECRET_KEYS = frozenset({"database.url"})
# What programs call theirs: `client_secret`, `smtp_pass`, `recaptcha_private_key`, `pepper`. Not where it names a file.
_SECRET = re.compile(
    r"secret|passw|pass$|token|pepper|credential|apikey|(?<!public)_key$|^key$|dsn", re.IGNORECASE
)
_IN_URL = re.compile(r"(://[^:/@\s]*:)[^@/\s]+@")
_PLACE = re.compile(r"(_path|_file|_uri|_url|_endpoint|_lifetime|_name|_alg\w*)$", re.IGNORECASE)


def masked(key: str, value: Any) -> Any:
    """A setting's value without secrets. `key`: its dotted name, also of a part of `extra`."""
    if key in SECRET_KEYS:
        return HIDDEN if value else value
    return _in(key.split(".")[-1], value) if key.startswith("extra.") else value


def _in(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {part: _in(part, inner) for part, inner in value.items()}
    if isinstance(value, list):
        return [_in(name, inner) for inner in value]
    if not isinstance(value, str):
        return value
    secret = value and _SECRET.search(name) and not _PLACE.search(name)
    return HIDDEN if secret else _IN_URL.sub(rf"\1{HIDDEN}@", value)
