"""The gateway's certificates while it runs: waiting for the first ones, and why one is not to be had."""

import re
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from samsesh.access import Access
from samsesh.clients import own
from samsesh.errors import SamseshError
from samsesh.ops import logs

if TYPE_CHECKING:
    from samsesh.ops.server import Server

WAIT_SECONDS = {"acme": 90.0, "internal": 15.0, "files": 5.0}
LOOKED_AT = 400  # last lines of the gateway's log
STARTED = "\tadmin endpoint on"  # the first that Caddy writes
# What Go says of a host that it asks and that does not answer; what an authority says of ours has a type (RFC 8555, 6.7).
UNREACHED = ("dial tcp", "proxyconnect tcp", "deadline exceeded", "Client.Timeout")
_FIELD = re.compile(r'"(\w+)":\s*"((?:[^"\\]|\\.)*)"')
STAGING = "try with its generous twin until all is well: samsesh config set tls.staging true, samsesh up"


def wait(
    server: "Server", say: Callable[[str], None], since: datetime | None = None
) -> tuple[own.Own, SamseshError | None]:
    """Until the gateway has a certificate for every host, or for as long as is worth waiting.

    `since`: when the gateway was started, where that was now: what its log says of before does not count.
    Gives the way to our own sites, and what is wrong where certificates are missing: the gateway goes on trying.
    """
    access, loopback = server.access, server.facts.loopback
    end = time.monotonic() + WAIT_SECONDS.get(access.certificates, 0)
    told = ""
    while True:
        found = own.look(access, loopback)
        missing = tuple(host for host in found.missing if host in access.expected())
        reasons = {host: why for host, why in troubles(_log(server, since)).items() if host in missing}
        settled = set(reasons) == set(missing)  # each has been refused: the next try is minutes away
        if settled or time.monotonic() > end:
            return found, _missing(access, missing, reasons, _log(server, since)) if missing else None
        line = f"waiting for certificates: {', '.join(missing)}"
        if line != told:
            say(line)
            told = line
        time.sleep(0.5)


def _missing(access: Access, hosts: tuple[str, ...], reasons: dict[str, str], log: list[str]) -> SamseshError:
    if access.certificates == "files":
        return SamseshError(
            f"the certificate in {access.settings.tls.certificate} is not for {', '.join(hosts)}",
            "take one that names every host of this server; how it stands: samsesh doctor public",
        )
    why = next((reasons[host] for host in hosts if host in reasons), "")
    return SamseshError(
        f"there is no certificate for {', '.join(hosts)} yet{': ' if why else ''}{why}",
        f"{advice(why)}; the server runs, and tries again by itself, later and later (at once: samsesh restart gateway); "
        "how it stands: samsesh doctor public",
        detail="" if why else "\n".join(log[-6:]),
    )


def reasons(server: "Server") -> dict[str, str]:
    """Why the gateway got no certificate lately, by host, in its authority's words."""
    return troubles(_log(server))


def _log(server: "Server", since: datetime | None = None) -> list[str]:
    if "gateway" not in server.engine.logged():
        return []
    return [line for _, line in logs.lines(server.home, ["gateway"], LOOKED_AT, since)]


def troubles(lines: Iterable[str]) -> dict[str, str]:
    """host -> what its authority said last, of lines of Caddy's log (its loggers `tls.obtain` and `tls.renew`).

    A host that got its certificate since is left out; so is what was before the gateway's last start.
    """
    found: dict[str, str] = {}
    for line in lines:
        if STARTED in line:
            found.clear()
        if "tls." not in line:
            continue
        fields = dict(_FIELD.findall(line))
        host, error = fields.get("identifier", ""), fields.get("error", "")
        if "obtained successfully" in line or "renewed successfully" in line:
            found.pop(host, None)
        elif host and error:
            found[host] = error.replace('\\"', '"').replace("\\n", " ")
    return found


def advice(reason: str) -> str:
    """What to do about what a certificate authority said (RFC 8555, 6.7; RFC 8738)."""
    if "rateLimited" in reason or " 429 " in f" {reason} ":
        return f"the authority gives no more for now: wait until it says (often an hour, at most a week), and {STAGING}"
    if "ietf:params:acme" not in reason and any(word in reason for word in UNREACHED):
        return (
            "this machine cannot reach the certificate authority's directory, and must, over https; "
            "without the internet: tls.mode internal or files"
        )
    if any(word in reason for word in ("acme:error:dns", "NXDOMAIN", "no such host")):
        return "its name must lead to this machine, for everybody: samsesh doctor --only public-names"
    if any(word in reason for word in ("acme:error:connection", "acme:error:unauthorized", "acme:error:tls")):
        return "port 80 or 443 of this machine must be open for the whole internet: samsesh ports"
    if "acme:error:caa" in reason:
        return "the domain's CAA records forbid this authority: allow it there"
    if "rejectedIdentifier" in reason:
        return "the authority gives no certificate for such a name or address: take another name, or tls.directory"
    if "x509:" in reason or "certificate signed by" in reason:
        return "the ACME directory's own certificate is not trusted: samsesh config set tls.directory_ca PATH"
    return "see: samsesh logs gateway"
