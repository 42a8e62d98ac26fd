"""Certificates of the gateway: Caddy's apps `tls` and `pki`, and what each https port asks of a connection."""

from typing import Any

from samsesh.access import Access
from samsesh.formats import Verbatim
from samsesh.model import Context, File, Route
from samsesh.settings_server import Tls

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"
AUTHORITY = "local"  # Caddy's name of its own
ROOT = "/samsesh-ca.crt"
# Its own certificates. Not Caddy's 12 hours: a machine that wakes up in the morning is not to begin with expired ones.
LEAF, INTERMEDIATE = "720h", "4320h"


def apps(context: Context) -> dict[str, Any]:
    """What stands beside `http`; nothing where the gateway has no certificates."""
    access, place = context.access, context.place
    if not access.certificates:
        return {}
    authority = {"pki": {"certificate_authorities": {AUTHORITY: _authority(context)}}}
    if access.certificates == "files":
        both = str(place.operator_file("tls.certificate", context.settings.tls.certificate))
        pair = {"certificate": both, "key": both}
        return {"tls": {"certificates": {"load_files": [pair]}}, **authority}
    subjects = list(access.names())
    issuer = _acme(context) if access.certificates == "acme" else _internal()
    automation = {"policies": [{"subjects": subjects, "issuers": [issuer]}]}
    return {"tls": {"certificates": {"automate": subjects}, "automation": automation}, **authority}


def files(context: Context) -> tuple[File, ...]:
    """The operator's that Caddy reads. Where the agent sees a new certificate itself, it has Caddy load it."""
    watched = not context.place.apart
    return (*context.named_files("tls.certificate", live=watched), *context.named_files("tls.directory_ca"))


def routes(context: Context) -> tuple[Route, ...]:
    """The root of our own authority, for people to trust. One file: beside it lies its key."""
    if context.access.certificates != "internal":
        return ()
    folder = context.place.data("gateway") / "pki" / "authorities" / AUTHORITY
    headers = {"Content-Type": "application/x-x509-ca-cert", "Cache-Control": "no-cache"}
    route = Route("web", (ROOT,), root=folder, rewrite={"/*": "/root.crt"}, headers=headers, order=3)
    return (route,)


def policies(access: Access, listener: str) -> list[dict[str, Any]]:
    """TLS 1.2 at least; who names no host gets the API's certificate, or that of who is asked for federation."""
    return [
        {
            "protocol_min": "tls1.2",
            "default_sni": access.host("api" if listener != "federation" else listener),
        }
    ]


def directory(wanted: Tls) -> str:
    """The ACME directory in force."""
    return wanted.directory or (STAGING if wanted.staging else LETS_ENCRYPT)


def _acme(context: Context) -> dict[str, Any]:
    wanted = context.settings.tls
    ports = context.settings.ports
    challenges = {  # else it opens 80 and 443, whatever ours are; where they are open already it answers there
        "http": {"alternate_port": ports.of("http")},
        "tls-alpn": {"alternate_port": ports.of("https")},
    }
    issuer: dict[str, Any] = {"module": "acme", "ca": directory(wanted), "challenges": challenges}
    if wanted.email:
        issuer["email"] = wanted.email
    if wanted.directory_ca:
        roots = context.place.operator_file("tls.directory_ca", wanted.directory_ca)
        issuer["trusted_roots_pem_files"] = [Verbatim(roots)]
    if context.access.mode == "ip":
        issuer["profile"] = "shortlived"  # the only one in which Let's Encrypt certifies addresses
    return issuer


def _internal() -> dict[str, Any]:
    return {"module": "internal", "ca": AUTHORITY, "lifetime": LEAF}


def _authority(context: Context) -> dict[str, Any]:
    """Our own certificate authority. Caddy has one in any case, and would put it into this machine's trust store."""
    if context.access.certificates != "internal":
        return {"install_trust": False}
    name = f"{context.settings.brand.name} at {context.settings.server.name}"
    return {
        "name": Verbatim(name),
        "root_common_name": f"{name} (root)",
        "intermediate_lifetime": INTERMEDIATE,
        "install_trust": False,
    }
