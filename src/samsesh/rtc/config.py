"""What the service is told: upstream's LIVEKIT_* variables, and a few SAMSESH_RTC_* that nobody needs.

`samsesh rtc-auth --help` (cli/rtc.py) says what each means."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from samsesh.errors import SettingsError

Network = IPv4Network | IPv6Network

SKIP_TLS = "YES_I_KNOW_WHAT_I_AM_DOING"  # upstream's word
LEVELS = {"debug": 10, "info": 20, "warn": 30, "warning": 30, "error": 40}
WORDS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}


@dataclass(frozen=True)
class Config:
    """The configuration, read once. `api_url`: http(s) base of LiveKit's room service."""

    key: str
    secret: str = field(repr=False)
    url: str
    api_url: str
    full_access: tuple[str, ...]
    bind: str = ":8080"
    webhook_bind: str = ""  # where LiveKit's webhooks are taken, too, and nothing else
    members_socket: str = ""  # where the homeserver says who is in a room; empty: anybody may join its call
    members_key: str = field(default="", repr=False)
    insecure: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict)
    sanity_seconds: int = 0
    redis_url: str = field(default="", repr=False)  # may hold a password
    level: int = LEVELS["info"]
    strict: bool = False
    homeserver: str = ""
    homeserver_url: str = ""
    allow_private: tuple[Network, ...] = ()
    ca: str = ""  # path of certificates (PEM) beside the system's
    allow_homeservers: tuple[str, ...] | None = None  # None: all
    deny_homeservers: tuple[str, ...] = ()
    state: Path | None = None
    update_own_metadata: bool = True
    only_full_access_publish: bool = False

    def has_full_access(self, server: str) -> bool:
        return self.full_access == ("*",) or server in self.full_access

    def takes(self, server: str) -> bool:
        """Whether users of that homeserver may come at all."""
        return server not in self.deny_homeservers and (
            self.allow_homeservers is None or server in self.allow_homeservers
        )


def read(environ: Mapping[str, str]) -> Config:
    """The configuration that these variables give; SettingsError names the one that is wrong."""
    key, secret = _key_and_secret(environ)
    url = environ.get("LIVEKIT_URL", "")
    for variable, value in {"LIVEKIT_URL": url, "LIVEKIT_KEY": key, "LIVEKIT_SECRET": secret}.items():
        if not value:
            raise _wrong(variable, "is not set")
    full_access = environ.get("LIVEKIT_FULL_ACCESS_HOMESERVERS", "")
    if not full_access:
        raise _wrong("LIVEKIT_FULL_ACCESS_HOMESERVERS", "is not set")
    own, own_url = _homeserver(environ)
    bind = _bind(environ)
    members_socket, members_key = _members(environ)
    state = environ.get("SAMSESH_RTC_STATE", "")
    metadata = "SAMSESH_RTC_UPDATE_OWN_METADATA"
    return Config(
        key=key,
        secret=secret,
        url=url,
        api_url=_api_url(environ, url),
        full_access=_names(environ, "LIVEKIT_FULL_ACCESS_HOMESERVERS"),
        bind=bind,
        webhook_bind=_webhook_bind(environ, bind),
        members_socket=members_socket,
        members_key=members_key,
        insecure=environ.get("LIVEKIT_INSECURE_SKIP_VERIFY_TLS") == SKIP_TLS,
        overrides=_overrides(environ.get("LIVEKIT_CS_API_URL_OVERRIDES", "")),
        sanity_seconds=_seconds(environ, "LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS"),
        redis_url=environ.get("LIVEKIT_REDIS_URL", ""),
        level=LEVELS.get(environ.get("LIVEKIT_LOG_LEVEL", "").lower(), LEVELS["info"]),
        strict=_yes(environ, "SAMSESH_RTC_STRICT"),
        homeserver=own,
        homeserver_url=own_url,
        allow_private=_networks(environ, "SAMSESH_RTC_ALLOW_PRIVATE"),
        ca=_authorities(environ, "SAMSESH_RTC_CA"),
        allow_homeservers=_names(environ, "SAMSESH_RTC_ALLOW_HOMESERVERS") or None,
        deny_homeservers=_names(environ, "SAMSESH_RTC_DENY_HOMESERVERS"),
        state=Path(state) if state else None,
        update_own_metadata=_yes(environ, metadata) if environ.get(metadata) else True,
        only_full_access_publish=_yes(environ, "SAMSESH_RTC_ONLY_FULL_ACCESS_PUBLISH"),
    )


def _key_and_secret(environ: Mapping[str, str]) -> tuple[str, str]:
    if environ.get("LIVEKIT_KEY_FILE"):
        parts = _file(environ, "LIVEKIT_KEY_FILE").split(":")
        if len(parts) != 2:
            raise _wrong("LIVEKIT_KEY_FILE", "does not name a file with `key:secret`")
        key, secret = parts
    else:
        key, secret = (
            _file(environ, f"{name}_FROM_FILE") if environ.get(f"{name}_FROM_FILE") else environ.get(name, "")
            for name in ("LIVEKIT_KEY", "LIVEKIT_SECRET")
        )
    return key.strip(" \r\n"), secret.strip(" \r\n")


def _file(environ: Mapping[str, str], variable: str) -> str:
    path = Path(environ[variable])
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise SettingsError(
            f"{variable}: {path} cannot be read: {reason}", "correct the path or the file"
        ) from None


def _bind(environ: Mapping[str, str]) -> str:
    bind, port = environ.get("LIVEKIT_JWT_BIND", ""), environ.get("LIVEKIT_JWT_PORT", "")
    if bind and port:
        raise _wrong("LIVEKIT_JWT_PORT", "is set together with LIVEKIT_JWT_BIND")
    bind = bind or f":{port or 8080}"
    if not (bind.startswith("unix:/") or _is_address(bind)):
        raise _wrong("LIVEKIT_JWT_BIND", f"is {bind!r}; it looks like :8080, 127.0.0.1:8080 or unix:/path")
    return bind


def _webhook_bind(environ: Mapping[str, str], bind: str) -> str:
    """Requests there are told from others by its port."""
    variable = "SAMSESH_RTC_WEBHOOK_BIND"
    webhook = environ.get(variable, "")
    if webhook and not _is_address(webhook):
        raise _wrong(variable, f"is {webhook!r}; it looks like :8081 or 127.0.0.1:8081")
    if webhook and webhook.rpartition(":")[2] == bind.rpartition(":")[2]:
        raise _wrong(variable, "has the port of LIVEKIT_JWT_BIND")
    return webhook


def _is_address(bind: str) -> bool:
    _, colon, number = bind.rpartition(":")
    return bool(colon) and number.isascii() and number.isdigit() and int(number) < 65_536


def _members(environ: Mapping[str, str]) -> tuple[str, str]:
    """Path of the socket, and the key."""
    variable, key_file = "SAMSESH_RTC_MEMBERS", "SAMSESH_RTC_MEMBERS_KEY_FILE"
    bind = environ.get(variable, "")
    if bool(bind) != bool(environ.get(key_file)):
        raise _wrong(
            *((variable, f"is set without {key_file}") if bind else (key_file, f"is set without {variable}"))
        )
    if not bind:
        return "", ""
    if not bind.startswith("unix:/"):
        raise _wrong(variable, f"is {bind!r}; it looks like unix:/path")
    key = _file(environ, key_file).strip()
    if not key:
        raise _wrong(key_file, "names a file that is empty")
    return bind.removeprefix("unix:"), key


def _api_url(environ: Mapping[str, str], url: str) -> str:
    """Upstream judges LIVEKIT_URL only when it uses it, and so do we; ours must be right."""
    given = environ.get("SAMSESH_RTC_LIVEKIT_API_URL", "")
    if given and not _is_http(given):
        raise _wrong("SAMSESH_RTC_LIVEKIT_API_URL", "is no http:// or https:// URL")
    api = given or url
    return ("http" + api[2:] if api.startswith("ws") else api).rstrip("/")


def _overrides(text: str) -> dict[str, str]:
    found = {}
    for entry in text.split(",") if text else ():
        server, _, url = (part.strip() for part in entry.partition("="))
        if not (server and url):
            raise _wrong("LIVEKIT_CS_API_URL_OVERRIDES", f"has the entry {entry!r}, which is not name=url")
        found[server] = url
    return found


def _homeserver(environ: Mapping[str, str]) -> tuple[str, str]:
    name, url = environ.get("SAMSESH_RTC_HOMESERVER", ""), environ.get("SAMSESH_RTC_HOMESERVER_URL", "")
    if bool(name) != bool(url):
        given, missing = ("", "_URL") if name else ("_URL", "")
        raise _wrong(f"SAMSESH_RTC_HOMESERVER{given}", f"is set without SAMSESH_RTC_HOMESERVER{missing}")
    if url and not (url.startswith("unix:/") or _is_http(url)):
        raise _wrong("SAMSESH_RTC_HOMESERVER_URL", "is no http://, https:// or unix:/path URL")
    return name, url.rstrip("/")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False


def _networks(environ: Mapping[str, str], variable: str) -> tuple[Network, ...]:
    try:
        return tuple(
            ip_network(part.strip()) for part in environ.get(variable, "").split(",") if part.strip()
        )
    except ValueError as error:
        raise _wrong(variable, f"is no list of networks: {error}") from None


def _names(environ: Mapping[str, str], variable: str) -> tuple[str, ...]:
    return tuple(environ.get(variable, "").replace(",", " ").split())


def _authorities(environ: Mapping[str, str], variable: str) -> str:
    if not environ.get(variable):
        return ""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=_file(environ, variable))
    except (ssl.SSLError, ValueError):
        raise _wrong(variable, "names a file that has no certificates (PEM)") from None
    return environ[variable]


def _seconds(environ: Mapping[str, str], variable: str) -> int:
    text = environ.get(variable, "") or "0"
    if not (text.isascii() and text.isdigit()):
        raise _wrong(variable, f"is {text!r}, not a number of seconds")
    return int(text)


def _yes(environ: Mapping[str, str], variable: str) -> bool:
    text = environ.get(variable, "").lower()
    if text not in WORDS:
        raise _wrong(variable, f"is {text!r}, neither yes nor no")
    return WORDS[text]


def _wrong(variable: str, what: str) -> SettingsError:
    return SettingsError(f"{variable} {what}", "`samsesh rtc-auth --help` says what each variable means")
