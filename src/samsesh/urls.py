"""Grammars of addresses on the web and of e-mail. Pure; errors are ValueError."""

import re
from urllib.parse import urlsplit

from samsesh.names import host_name

_EMAIL_NAME = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(\.[\w!#$%&'*+/=?^`{|}~-]+)*", re.ASCII)


def web_origin(value: str) -> str:
    """Scheme, host and port of an http(s) address, as a content security policy takes it."""
    parts = urlsplit(web_url(value))
    if parts.username or not set(value).isdisjoint(";,'*"):
        raise ValueError("an address that begins with https:// or http:// is wanted")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def web_url(value: str) -> str:
    """An http(s) address with a host, such as people and programs can open."""
    try:
        parts = urlsplit(value)
        host = re.fullmatch(r"[\w.-]+|[0-9a-f:.]+", parts.hostname or "")
        usable = parts.scheme in ("http", "https") and host and parts.port != 0
        if usable and not re.search(r"[\s<>\"\\^`{|}]", value):
            return value
    except ValueError:  # a port that is none, a bracket that is not closed
        pass
    raise ValueError(
        "an address that begins with https:// or http:// is wanted, such as 'https://example.org/help'"
    )


def link(value: str) -> str:
    """An http(s) address, or `mailto:` and an e-mail address."""
    if value.startswith("mailto:"):
        return f"mailto:{email(value.removeprefix('mailto:'))}"
    return web_url(value)


def email(value: str) -> str:
    """An e-mail address: plain (RFC 5322's dot-atom), at a host with a dot in its name, as certificate authorities and
    clients take it.
    """
    name, _, host = value.rpartition("@")
    try:
        usable = _EMAIL_NAME.fullmatch(name) and len(name) <= 64 and "." in host_name(host.lower())
    except ValueError:
        usable = False
    if not usable or len(value) > 254:
        raise ValueError("an e-mail address looks like 'me@example.org'")
    return value
