"""https of every site as a stranger's client sees it: the chain, the names, the end of its certificate."""

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from samsesh import names, stranger
from samsesh.access import LOCAL
from samsesh.diagnosis import Patient, Result, aside
from samsesh.ops import certificates

TITLE = "https"
GROUPS = ("public",)
SECONDS = 20
DAY = 86_400
SHARE = 0.25  # of its life: the gateway renews when a third is left
FILES_SOON = 14 * DAY  # seconds, for what the operator renews
WAIT = 5.0


@dataclass(frozen=True)
class Seen:
    """One site: `problem` in words, else when its certificate began and ends (Unix time), and by whom it is."""

    place: str
    host: str
    problem: str = ""
    begins: float = 0.0
    ends: float = 0.0
    issuer: str = ""


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    if not server.access.proxied:
        await patient.need("gateway")
    trust, way = stranger.trust(server), await stranger.way(patient)
    places = {(one.host, one.port) for one in server.access.sites().values() if one.tls and one.host != LOCAL}
    seen = await asyncio.gather(
        *(
            aside(lambda host=host, port=port: look(host, port, trust, way.route.get(host, host)))  # type: ignore[misc]
            for host, port in sorted(places)
        )
    )
    reasons = (
        await aside(lambda: certificates.reasons(server)) if server.access.certificates == "acme" else {}
    )
    found = judged(
        seen, reasons, files=server.access.certificates == "files", staging=server.settings.tls.staging
    )
    return Result(found.status, found.summary, "\n".join(filter(None, [found.seen, way.told])), found.advice)


def look(host: str, port: int, trust: ssl.SSLContext, address: str) -> Seen:
    """A handshake with `address`, asking for `host`."""
    place = f"{names.in_url(host)}:{port}"
    try:
        with (
            socket.create_connection((address, port), WAIT) as link,
            trust.wrap_socket(link, server_hostname=host) as session,
        ):
            shown = session.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return Seen(place, host, f"{place}: its certificate does not count: {error.verify_message}")
    except ssl.SSLError as error:
        return Seen(
            place, host, f"{place}: no https ({error.reason or 'no handshake'}): there is no certificate yet"
        )
    except OSError as error:
        return Seen(place, host, f"{place}: no answer ({error.strerror or error})")
    parts: Any = shown.get("issuer", ())
    issuer = {key: value for part in parts for key, value in part}
    begins, ends = (ssl.cert_time_to_seconds(str(shown[key])) for key in ("notBefore", "notAfter"))
    return Seen(
        place, host, "", begins, ends, str(issuer.get("organizationName") or issuer.get("commonName", ""))
    )


def judged(
    seen: list[Seen],
    reasons: Mapping[str, str],
    *,
    files: bool = False,
    staging: bool = False,
    now: float = 0,
) -> Result:
    """`reasons`: what the authority said last, by host."""
    now = now or time.time()
    if bad := [one for one in seen if one.problem]:
        why = next((reasons[one.host] for one in bad if one.host in reasons), "")
        told = "\n".join([*(one.problem for one in bad), *([why] if why else [])])
        if staging and not why and all("does not count" in one.problem for one in bad):
            advice = "tls.staging is on: nobody trusts these; when done: samsesh config set tls.staging false, samsesh up"
            return Result("warning", bad[0].problem, told, advice)
        return Result("failed", bad[0].problem, told, _advice(why, bad[0].problem, files=files))
    if late := [one for one in seen if soon(one, now, files=files)]:
        one = late[0]
        why = reasons.get(one.host, "")
        advice = (
            "renew it; the gateway reads the files anew when they change"
            if files
            else certificates.advice(why)
        )
        return Result(
            "warning",
            f"{one.place}: its certificate ends in {span(one.ends - now)}, and should have been renewed",
            seen=why,
            advice=advice,
        )
    first = min(seen, key=lambda one: one.ends)
    return Result(
        "ok",
        f"{', '.join(one.place for one in seen)}: by {first.issuer}, good for {span(first.ends - now)} at least",
    )


def soon(one: Seen, now: float, *, files: bool) -> bool:
    """Whether a certificate should have been renewed by now."""
    left = one.ends - now
    return left < FILES_SOON if files else left < SHARE * (one.ends - one.begins)


def span(seconds: float) -> str:
    return f"{int(seconds // DAY)} days" if seconds > 2 * DAY else f"{int(seconds // 3600)} hours"


def _advice(why: str, problem: str, *, files: bool) -> str:
    if why:
        return certificates.advice(why)
    if "no answer" in problem:
        return "see: samsesh doctor --only public-ports; samsesh status"
    if files:
        return "give it another: tls.certificate, tls.certificate_key; see: samsesh doctor --only public-certificate"
    if re.search(r"self.signed|unable to get", problem):
        return "what answers there has a certificate that nobody knows; see what stands before the gateway"
    return "see: samsesh logs gateway"
