"""The grammar of `database.url`: where somebody else's PostgreSQL is. Pure; errors are ValueError."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from samsesh.names import CONTROL

# Parameters of a database URL (PostgreSQL's manual: libpq, "Parameter Key Words").
# fmt: off
PARAMETERS = frozenset({
    "application_name", "channel_binding", "client_encoding", "connect_timeout", "fallback_application_name",
    "gssencmode", "hostaddr", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
    "load_balance_hosts", "options", "require_auth", "ssl_max_protocol_version", "ssl_min_protocol_version",
    "sslcert", "sslcertmode", "sslcompression", "sslcrl", "sslkey", "sslmode", "sslnegotiation", "sslrootcert", "sslsni",
    "target_session_attrs", "tcp_user_timeout",
})
# fmt: on
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")  # those of them that name a file
SYSTEM = "system"  # what libpq calls the authorities that the machine trusts, as a value of sslrootcert

FULL = "verify-full"
MODES = ("disable", "allow", "prefer", "require", "verify-ca", FULL)


def parameters(value: str) -> dict[str, str | int]:
    """A PostgreSQL URL -> host, port, user, password, dbname and further parameters, as libpq names them.

    None of them makes libpq load a library, as `sslkey=FILE:KEY` does: the process that asks may become root again.
    """
    try:
        parts = urlsplit(value)
        port = parts.port or 5432
    except ValueError:
        raise ValueError("the port in this database URL is no number from 1 to 65535") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError("a database URL begins with postgresql://")
    more = dict(parse_qsl(parts.query))
    host = parts.hostname or more.get("host")  # a socket's folder is written so, too
    if not (host and parts.username and parts.path.strip("/")):
        raise ValueError(
            "a database URL has user, host and database: postgresql://user:password@host:5432/name"
        )
    found: dict[str, str | int] = {
        "host": unquote(host),
        "port": port,
        "user": unquote(parts.username),
        "password": unquote(parts.password or ""),
        "dbname": unquote(parts.path.strip("/")),
    }
    if unknown := sorted(more.keys() - PARAMETERS - found.keys()):
        raise ValueError(f"a database URL takes no parameter {unknown[0]!r} here")
    if any(CONTROL.search(str(part)) for part in (*found.values(), *more.values())):
        raise ValueError("a database URL has no line breaks and other control characters, not even as %0A")
    if ":" in more.get("sslkey", ""):
        raise ValueError("sslkey in a database URL is the path of a file, without a colon")
    return {**_verified(more), **found}


def _verified(more: dict[str, str]) -> dict[str, str]:
    """The parameters with what libpq takes for granted about TLS. Without `sslrootcert` it would look for a file in the
    user's home, where the user of the services has none: the machine's authorities count in its place.
    """
    if more.get("sslrootcert") == SYSTEM:
        more = {"sslmode": FULL, **more}
    mode = more.get("sslmode", "prefer")
    if mode not in MODES:
        raise ValueError(f"sslmode in a database URL is one of {', '.join(MODES)}")
    if mode == FULL:
        more = {"sslrootcert": SYSTEM, **more}
    if mode != FULL and more.get("sslrootcert", SYSTEM if mode == "verify-ca" else "") == SYSTEM:
        raise ValueError(
            f"every authority that the machine trusts goes with sslmode={FULL} only; or name sslrootcert"
        )
    return more


def files(value: str) -> dict[str, str]:
    """Parameter of a PostgreSQL URL -> the path that it names. `SYSTEM` is the path of no file."""
    found = parameters(value)
    return {name: str(found[name]) for name in FILES if name in found}


def with_files(value: str, moved: Mapping[str, str]) -> str:
    """The URL with other paths of files: `moved` has the new by the old."""
    parts = urlsplit(value)
    query = [
        (name, moved.get(part, part) if name in FILES else part) for name, part in parse_qsl(parts.query)
    ]
    return parts._replace(query=urlencode(query, safe="/", quote_via=quote)).geturl()
