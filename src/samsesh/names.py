"""Grammars of the names, sizes and times that settings and commands take. Pure functions; errors are ValueError."""

import re
from ipaddress import ip_address as _ip_address
from ipaddress import ip_network
from math import isfinite
from typing import Any
from zoneinfo import ZoneInfo

# C0, C1, Unicode's own line breaks, and halves of surrogate pairs: bytes that are no UTF-8 (PEP 383).
CONTROL = re.compile(r"[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_USER_LOCALPART = re.compile(r"[a-z0-9._=/+-]+")
_SIZE = re.compile(r"(\d+)\s*([KMGT]?)(i?B)?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d+)\s*(s|m|h|d|w|y)", re.IGNORECASE | re.ASCII)
# The account by which Samsesh works. Not a name that begins with _: Synapse refuses those to administrators, too.
SERVICE_ACCOUNT = "samsesh.service"
DOCTOR_ACCOUNT = "samsesh.doctor"  # with which the doctor tries what people do
RESERVED = frozenset({SERVICE_ACCOUNT, DOCTOR_ACCOUNT})
# Ports to which browsers make no requests (Fetch standard, "bad port").
# fmt: off
BLOCKED_PORTS = frozenset({
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109, 110,
    111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532,
    540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061,
    6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
})
# fmt: on
# Top-level names that are nobody's (RFC 2606, 6761, 6762, and ICANN's .internal), or commonly used so at home.
NOWHERE = frozenset(
    {
        "test",
        "example",
        "invalid",
        "localhost",
        "local",
        "internal",
        "lan",
        "home",
        "corp",
        "intranet",
        "private",
    }
)
# Names of images (github.com/distribution/reference, regexp.go).
_HOST_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[0-9a-fA-F:]+\])(?::\d+)?"
_PATH = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_IMAGE = re.compile(
    rf"(?P<name>(?:{_HOST}/)?{_PATH}(?:/{_PATH})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
    re.ASCII,
)
_REGISTRY = re.compile(rf"(?P<host>{_HOST})(?:/{_PATH})*", re.ASCII)
LONGEST_PATH = 1024
LARGEST_SIZE = 1024**4
LONGEST_DURATION = 100 * 31_536_000  # seconds: what programs calculate with it stays a date
DEEPEST = 20  # tables within tables of [extra]
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}


def server_name(value: str) -> str:
    """A Matrix server name: host name, IPv4 address or [IPv6 address], with an optional port.

    Stricter than the spec (appendices, "Server Name"): lower case only, so that one server has one name.
    """
    if value != value.lower():
        raise ValueError(f"a server name is written in lower case: {value.lower()!r}")
    if "://" in value or "/" in value:
        raise ValueError(
            "a server name is a name, not a URL: 'example.org', without https:// and without a path"
        )
    if len(value) > 230:
        raise ValueError("a server name has at most 230 characters, so that user IDs fit in 255")
    host, port = value, ""
    if value.startswith("["):
        host, bracket, rest = value[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or "%" in host or ":" not in host:
            raise ValueError("an IPv6 address in a server name is written in brackets: '[2001:db8::1]:8448'")
        ip_address(host)
        colon, port = rest[:1], rest[1:]
    else:
        host, colon, port = value.partition(":")
        _check_host(host)
    if colon and not port:
        raise ValueError("a port is missing behind the colon")
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise ValueError("the port in a server name is a number from 1 to 65535")
    return value


def _check_host(host: str) -> None:
    labels = host.split(".")
    if not host:
        raise ValueError("a server name is wanted: a domain such as 'example.org'")
    if not all(_DNS_LABEL.fullmatch(label) for label in labels):
        raise ValueError("a server name has letters, digits, '-' and '.', such as 'example.org'")
    if all(label.isdigit() for label in labels) and not _is_ipv4(labels):
        raise ValueError("this looks like an IPv4 address, but is not one")


def _is_ipv4(labels: list[str]) -> bool:
    return len(labels) == 4 and all(len(part) <= 3 and int(part) <= 255 for part in labels)


def ip_address(value: str) -> str:
    """An IPv4 or IPv6 address in its shortest form."""
    try:
        found = _ip_address(value)
    except ValueError:
        raise ValueError("an address is wanted, such as '203.0.113.7' or '2001:db8::7'") from None
    if found.is_unspecified or found.is_multicast:
        raise ValueError("an address that one machine has is wanted")
    return str(found)


def host_name(value: str) -> str:
    """A host name of DNS in lower case, without a port."""
    if ":" in server_name(value) or is_address(value):
        raise ValueError("a host name is wanted, such as 'chat.example.org'")
    return value


def is_address(host: str) -> bool:
    """Whether a host is written as an address (without brackets)."""
    return ":" in host or (host.isascii() and host.replace(".", "").isdigit())


def is_public(address: str) -> bool:
    """Whether an address is none of those that only a network of one's own knows (RFC 1918, 6598, 4193, link-local)."""
    found = _ip_address(address)
    own = ("100.64.0.0/10", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
    inside = any(found in ip_network(one) for one in own if ip_network(one).version == found.version)
    return not (inside or found.is_loopback or found.is_link_local or found.is_unspecified)


def host_address(value: str) -> str:
    """A host name or an address, as `ip_address` has it."""
    return ip_address(value) if is_address(value) else host_name(value)


def bind_address(value: str) -> str:
    """An address to listen on; `0.0.0.0` and `::` are all there are."""
    return value if value in ("0.0.0.0", "::") else ip_address(value)  # noqa: S104 - the operator's choice


def split_name(name: str) -> tuple[str, int | None]:
    """A server name -> (host, an IPv6 address without brackets; port if it has one)."""
    match = re.fullmatch(r"(\[[^]]*\]|[^:]*)(?::(\d+))?", name)
    assert match is not None  # it is a server name
    return match[1].strip("[]"), int(match[2]) if match[2] else None


def access_problem(name: str, access: str, *, trial: bool) -> str:
    """Why a server of that name cannot be reached as `server.access` says; empty where it can, or is a trial."""
    host, _ = split_name(name)
    if access == "domain" and is_address(host):
        return f"server.access is domain, and server.name {name} is an address: take a domain, or access ip"
    if access not in ("ip", "domain") or trial or not (reason := unreachable(name)):
        return ""
    return f"server.name {name} {reason}; if this is a trial: samsesh config set server.trial true"


def unreachable(name: str) -> str:
    """Why other servers can never reach one of that name, as the end of a sentence; empty where they can."""
    host, _ = split_name(name)
    if is_address(host):
        found = _ip_address(host)
        reason = "" if found.is_global else "is no address of the internet"
    elif "." not in host:
        reason = "is no domain"
    else:
        top = host.rpartition(".")[2]
        nowhere = top in NOWHERE or host.endswith(".home.arpa")
        reason = f"ends in .{top}, which the internet's DNS does not have" if nowhere else ""
    return f"{reason}, so other servers could never reach it" if reason else ""


def in_url(host: str) -> str:
    """A name or address as URLs have it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def path(value: str) -> str:
    """A path, relative to the home folder or not."""
    if value.startswith("~") and value[:2] not in ("~", "~/"):
        raise ValueError("a path is written out: of the homes of users, only ~/ is known here")
    if len(value) > LONGEST_PATH:
        raise ValueError(f"a path has at most {LONGEST_PATH} characters")
    return value


def version(value: str) -> tuple[int, ...]:
    """'4.6.1' or 'v1.13.5' -> (4, 6, 1); what comes behind the numbers is left out."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", value.strip(), re.ASCII)
    if not match:
        raise ValueError("a version is written as '1.2.3'")
    return tuple(map(int, match[1].split(".")))


def localpart(value: str) -> str:
    """The part of a user ID between @ and the colon (spec: appendices, "User Identifiers")."""
    if not value or not _USER_LOCALPART.fullmatch(value):
        raise ValueError("a user name has lower-case letters, digits and . _ = - / +")
    if value.startswith("_"):
        raise ValueError("names that begin with _ are kept for bridges and for Samsesh itself")
    return value


def person(value: str) -> str:
    """The localpart of an account that may be somebody's."""
    if localpart(value) in RESERVED:
        raise ValueError("this is an account by which Samsesh works; take another name")
    return value


def timezone(value: str) -> str:
    """A name of the IANA time zone database, such as 'Europe/Berlin'."""
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):  # ZoneInfo's own error is a KeyError
        raise ValueError("this is no time zone name; they look like 'Europe/Berlin' or 'UTC'") from None
    return value


def size(value: str | int) -> int:
    """'100M', '2 GiB' or a number of bytes -> bytes (powers of 1024, as Synapse counts)."""
    if isinstance(value, int):
        return value
    match = _SIZE.fullmatch(value.strip())
    if not match:
        raise ValueError("a size is a number with K, M or G, such as '100M'")
    factor: int = 1024 ** " KMGT".index(match[2].upper() or " ")
    number = int(match[1][:20]) * factor
    if number > LARGEST_SIZE:
        raise ValueError("a size is at most 1024G")
    return number


def duration(value: str) -> int:
    """'7d', '1h' or '30s' -> seconds."""
    match = _DURATION.fullmatch(value.strip())
    if not match:
        raise ValueError("a duration is a number with s, m, h, d, w or y, such as '7d'")
    seconds = int(match[1][:20]) * _SECONDS[match[2].lower()]
    if seconds > LONGEST_DURATION:
        raise ValueError("a duration is at most 100y")
    return seconds


def port_range(value: str) -> tuple[int, int]:
    """'49160-49200' -> (49160, 49200)."""
    first, dash, last = value.partition("-")
    if not (dash and value.isascii() and first.strip().isdigit() and last.strip().isdigit()):
        raise ValueError("a port range is written as '49160-49200'")
    low, high = int(first), int(last)
    if not 0 < low <= high <= 65_535:
        raise ValueError("a port range goes from a lower to a higher port, within 1 and 65535")
    return low, high


def user_id(value: str) -> str:
    """The ID of a user of any server (spec: appendices, "User Identifiers")."""
    return _identifier(value, "@", "a Matrix ID looks like '@help:example.org'")


def room_alias(value: str) -> str:
    """An alias of a room (spec: appendices, "Room Aliases")."""
    return _identifier(value, "#", "a room alias looks like '#welcome:example.org'")


def _identifier(value: str, sigil: str, problem: str) -> str:
    """A sigil, a name and a server name (spec: appendices, "Common Identifier Format")."""
    name, colon, host = value.partition(":")
    if not (name.startswith(sigil) and len(name) > 1 and colon) or len(value) > 255:
        raise ValueError(problem)
    server_name(host)
    return value


def plain_data(value: Any, depth: int = 0) -> Any:
    """What every format can say: no dates, no infinity, nothing that is nested without end."""
    if depth > DEEPEST:
        raise ValueError("tables and lists are nested too deeply")
    if isinstance(value, dict | list):
        for part in (*value, *value.values()) if isinstance(value, dict) else value:
            plain_data(part, depth + 1)
    elif not isinstance(value, str | int | float) or (isinstance(value, float) and not isfinite(value)):
        raise ValueError("text, numbers, true, false, lists and tables can be passed on, nothing else")
    elif isinstance(value, str) and re.search("[\ud800-\udfff]", value):
        raise ValueError("text can be passed on that is UTF-8, nothing else")
    return value


def merge_deeply(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """`theirs` over `ours`, table by table; the list of modules is appended to, other lists are replaced."""
    merged = dict(ours)
    for key, value in theirs.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge_deeply(merged[key], value)
        elif key == "modules" and isinstance(value, list):
            merged[key] = [*merged.get(key, []), *value]
        else:
            merged[key] = value
    return merged


def image(value: str) -> str:
    """An image of a container with its tag, its digest or both, so that it is the same tomorrow."""
    match = _IMAGE.fullmatch(value)
    if not match or len(match["name"]) > 255:
        raise ValueError("an image is written as 'registry.example.org/synapse:v1.2.3' or with '@sha256:...'")
    if not (match["tag"] or match["digest"]):
        raise ValueError(f"give the image its version or digest, as in '{value}:v1.2.3'")
    return value


def registry(value: str) -> str:
    """A registry's address, with a path or without: 'registry.example.org/mirror'."""
    match = _REGISTRY.fullmatch(value)
    # What has neither dot nor port is read as a folder of Docker Hub.
    if not match or not (re.search(r"[.:]", match["host"]) or match["host"] == "localhost"):
        raise ValueError(
            "a registry is written as 'registry.example.org' or 'registry.example.org:5000/mirror'"
        )
    return value
