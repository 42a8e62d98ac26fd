"""What the user's own tools that fetch (npm, uv, pip, Go, apt) may know: how to reach the network, and nothing else.

Variables count if they lead to proxies, certificates and registries, files if nobody but their user and root can change
them; scripts/trust.sh does the same for the launcher. The standard library alone: hatch_build.py imports this, too.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from samsesh.facts import system_authorities
from samsesh.owners import way_changed_by

NETWORK = re.compile(
    r"(https?|all|no)_proxy|ssl_cert_(file|dir)|ssl_client_cert|(requests|curl)_ca_bundle|node_extra_ca_certs|netrc"
    r"|apt_config|xdg_config_home"
    r"|pip_(index_url|extra_index_url|no_index|find_links|trusted_host|proxy|cert|client_cert|timeout|default_timeout"
    r"|retries|keyring_provider|config_file)"
    r"|uv_(index|index_.*|default_index|extra_index_url|no_index|find_links|offline|insecure_host|native_tls"
    r"|system_certs|http_.*|request_timeout|concurrent_downloads|keyring_provider|config_file)"
    r"|npm_config_(registry|proxy|https?_proxy|noproxy|ca|cafile|cert|key|strict_ssl|fetch_.*|userconfig)"
    r"|go(proxy|noproxy|private|sumdb|nosumdb|nosumcheck|insecure)",
    re.IGNORECASE,
)
# Each takes the place of the certificates that its program knows; Go reads the first of them alone.
BUNDLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
SYSTEM_PIP = (Path("/etc/pip.conf"), Path("/etc/xdg/pip/pip.conf"))
SYSTEM_UV = (Path("/etc/xdg/uv/uv.toml"), Path("/etc/uv/uv.toml"))


def network(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Variables for these tools. `folder` is private, and stands in for a home that is not the user's own."""
    env = {name: value for name, value in environ.items() if NETWORK.fullmatch(name) and _counts(value)}
    home = Path(environ.get("HOME") or "/nonexistent")
    env["HOME"] = str(home if is_own(home) else folder)
    user = Path(env.get("XDG_CONFIG_HOME", f"{env['HOME']}/.config"))
    if any(map(_is_foreign, (user / "pip/pip.conf", Path(env["HOME"], ".pip/pip.conf"), *SYSTEM_PIP))):
        env["PIP_CONFIG_FILE"] = "/dev/null"  # pip heeds all of its files or none
    if _is_foreign(Path(env["HOME"], ".npmrc")):
        env["npm_config_userconfig"] = "/dev/null"
    uv = next(filter(is_own, (user / "uv/uv.toml", *SYSTEM_UV)), None)
    env |= {"UV_CONFIG_FILE": str(uv)} if uv and "UV_CONFIG_FILE" not in env else {}
    env |= {} if "UV_CONFIG_FILE" in env else {"UV_NO_CONFIG": "1"}
    go = user / "go/env"
    return {**env, **_certificates(env), "GOENV": str(go) if is_own(go) else "off", "GOWORK": "off"}


def bundle(environ: Mapping[str, str]) -> str:
    """The file with the certificates that one of these programs is to use, and so all of them; empty if none is named."""
    paths = (environ.get(name, "") for name in BUNDLES)
    return next((path for path in paths if path and Path(path).is_file() and _counts(path)), "")


def _certificates(env: Mapping[str, str]) -> dict[str, str]:
    """For Go, and for Node.js, which takes a file beside its own: else that of this machine."""
    file = bundle(env)
    beside = file or str(system_authorities() or "")
    return {
        **({"SSL_CERT_FILE": file} if file else {}),
        **({"NODE_EXTRA_CA_CERTS": beside} if beside and "NODE_EXTRA_CA_CERTS" not in env else {}),
    }


def is_own(path: Path) -> bool:
    """Whether it is there, and nobody but this user and root can change it or put another in its place."""
    return os.access(path, os.F_OK) and not way_changed_by(path.absolute())


def _is_foreign(path: Path) -> bool:
    return os.access(path, os.F_OK) and not is_own(path)


def _counts(value: str) -> bool:
    return not value.startswith("/") or is_own(Path(value))
