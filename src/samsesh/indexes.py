"""Where Python packages are: what the settings of uv and pip say, for `wheels.py` and for uv itself.

Any Python from 3.8 on runs this before anything of ours is installed: the standard library alone. Who calls has taken
away what others could have set (scripts/trust.sh, tools.py). What the settings mean:
pip.pypa.io/en/stable/topics/configuration, docs.astral.sh/uv/reference/environment, docs.astral.sh/uv/reference/settings.
"""

from __future__ import annotations

import configparser
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

USUAL_INDEX = "https://pypi.org/simple"
BUNDLES = (
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
)  # each takes the place of its program's own list
SECONDS = 60.0  # without a byte
RETRIES = 2


@dataclass(frozen=True)
class Sources:
    """Where packages are, and how to get there. `links`: folders, or pages with links to wheels, beside the indexes."""

    indexes: list[str]
    links: list[str]
    bundles: list[Path]  # files and folders with certificates that count beside the system's
    client_certificate: str  # file with a certificate and its key
    trusted_hosts: list[str]  # whose certificates are not checked
    proxy: str
    timeout: float
    retries: int
    from_uv: bool  # whether uv's own settings name them


@dataclass(frozen=True)
class UvSettings:
    default: list[str]
    extra: list[str]
    links: list[str]
    no_index: bool
    unreadable: bool  # this Python is too old to read uv.toml


def read(environ: Mapping[str, str]) -> Sources:
    """What uv's settings name, else what pip's do, else PyPI. Raises OSError if a file of settings cannot be read."""
    pip, uv = pip_options(environ), _uv_settings(environ)
    default = uv.default or pip.get("index-url", "").split() or [USUAL_INDEX]
    extra = [*uv.extra, *pip.get("extra-index-url", "").split()]
    no_index = uv.no_index or pip.get("no-index", "").lower() in ("1", "true", "yes", "on")
    timeout = pip.get("timeout") or pip.get("default-timeout") or ""
    retries = pip.get("retries") or environ.get("UV_HTTP_RETRIES") or ""
    return Sources(
        indexes=[] if no_index else [*default[:1], *extra],
        links=[*uv.links, *pip.get("find-links", "").split()],
        bundles=_bundles(pip, environ),
        client_certificate=pip.get("client-cert") or environ.get("SSL_CLIENT_CERT", ""),
        trusted_hosts=[*pip.get("trusted-host", "").split(), *environ.get("UV_INSECURE_HOST", "").split()],
        proxy=pip.get("proxy", ""),
        timeout=float(timeout) if timeout.isdigit() else SECONDS,
        retries=min(int(retries), RETRIES) if retries.isdigit() else RETRIES,
        from_uv=bool(uv.default or uv.extra or uv.links or uv.no_index or uv.unreadable),
    )


def for_uv(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that give uv pip's indexes, unless its own settings name some, pip's proxy, and certificates: pip's, else
    those of this machine, if it has any; uv's own know no company's."""
    pip, sources = pip_options(environ), read(environ)
    named = {name.upper() for name, value in environ.items() if value}
    own_certificates = sources.bundles or named & {"SSL_CERT_FILE", "SSL_CERT_DIR", "UV_NATIVE_TLS"}
    variables = {
        "UV_SYSTEM_CERTS": "1"
        if not own_certificates and has_certificates(ssl.create_default_context())
        else "",
        "UV_INSECURE_HOST": " ".join(sources.trusted_hosts),
        "SSL_CERT_FILE": str(next(filter(Path.is_file, sources.bundles), "")),
        "SSL_CERT_DIR": str(next(filter(Path.is_dir, sources.bundles), "")),
        "SSL_CLIENT_CERT": sources.client_certificate,
        "HTTPS_PROXY": pip.get("proxy", ""),
        "HTTP_PROXY": pip.get("proxy", ""),
    }
    if not sources.from_uv:
        default, extra = sources.indexes[:1], sources.indexes[1:]
        variables["UV_DEFAULT_INDEX"] = "" if default == [USUAL_INDEX] else "".join(default)
        variables["UV_INDEX"] = " ".join(extra)
        # pip looks at all of its indexes; whichever has the file, it has to have the locked checksum.
        variables["UV_INDEX_STRATEGY"] = "unsafe-best-match" if extra else ""
        variables["UV_FIND_LINKS"] = ",".join(sources.links)
        variables["UV_NO_INDEX"] = "" if default else "1"
    return {name: value for name, value in variables.items() if value and name not in named}


def pip_options(environ: Mapping[str, str]) -> dict[str, str]:
    """Of pip's files in its order, then of its variables; lists are separated by spaces or line breaks."""
    home = environ.get("HOME") or "/nonexistent"
    config = environ.get("XDG_CONFIG_HOME") or f"{home}/.config"
    named = environ.get("PIP_CONFIG_FILE", "")
    files = [
        "/etc/xdg/pip/pip.conf",
        "/etc/pip.conf",
        f"{home}/.pip/pip.conf",
        f"{config}/pip/pip.conf",
        named,
    ]
    parsers = []
    for path in [] if named == os.devnull else files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise OSError(f"{path} cannot be read: {error}") from None
        parsers.append(parser)
    options: dict[str, str] = {}
    for section in ("global", "install"):
        for parser in parsers:
            options.update(parser.items(section) if parser.has_section(section) else ())
    options.update(
        (name[4:].lower(), value) for name, value in environ.items() if name.startswith("PIP_") and value
    )
    return {name.replace("_", "-"): value for name, value in options.items()}


def has_certificates(tls: ssl.SSLContext) -> bool:
    """Whether it has any to check others by: not on a bare Debian."""
    named = os.environ.get("SSL_CERT_DIR") or ssl.get_default_verify_paths().openssl_capath
    folders = filter(Path.is_dir, map(Path, named.split(os.pathsep)))
    return any(any(folder.iterdir()) for folder in folders) or tls.cert_store_stats()["x509_ca"] > 0


def _bundles(pip: Mapping[str, str], environ: Mapping[str, str]) -> list[Path]:
    names = [pip.get("cert", ""), *(environ.get(name, "") for name in BUNDLES)]
    return [Path(name) for name in names if name and Path(name).exists()]


def _uv_settings(environ: Mapping[str, str]) -> UvSettings:
    path = environ.get("UV_CONFIG_FILE", "")
    try:
        file = _toml(path) if path else {}
    except ImportError:
        file = {}
    tables = [file, file.get("pip", {})]
    rows = [row for row in file.get("index", []) if "url" in row]

    def words(*names: str) -> list[str]:
        return [word for name in names for word in environ.get(name, "").split()]

    def listed(key: str) -> list[str]:
        return [text for table in tables for text in table.get(key, [])]

    default = words("UV_DEFAULT_INDEX", "UV_INDEX_URL") or [row["url"] for row in rows if row.get("default")]
    extra = [
        *words("UV_INDEX", "UV_EXTRA_INDEX_URL"),
        *(row["url"] for row in rows if not row.get("default")),
    ]
    return UvSettings(
        default=[
            _url(text) for text in default or [table["index-url"] for table in tables if "index-url" in table]
        ],
        extra=[_url(text) for text in [*extra, *listed("extra-index-url")]],
        links=[*environ.get("UV_FIND_LINKS", "").replace(",", " ").split(), *listed("find-links")],
        no_index=environ.get("UV_NO_INDEX", "") not in ("", "0", "false")
        or any(table.get("no-index") for table in tables),
        unreadable=bool(path) and not file,
    )


def _toml(path: str) -> dict[str, Any]:
    """Raises ImportError where Python is older than 3.11."""
    import tomllib

    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise OSError(f"{path} cannot be read: {error}") from None


def _url(index: str) -> str:
    """An index without the name that uv lets it have: `NAME=URL`."""
    name, equals, url = index.partition("=")
    return url if equals and re.fullmatch(r"[\w.-]+", name) else index
