"""Whether certificates can be had: the operator's own files are right, or the ACME directory answers."""

import ssl
from collections.abc import Mapping
from typing import Any

import httpx2

from samsesh import stranger
from samsesh.diagnosis import Patient, Result, aside
from samsesh.ops import certificate_files
from samsesh.ops.server import Server
from samsesh.services.gateway import tls

TITLE = "certificates to be had"
GROUPS = ("public", "preflight")
NEEDED = ("newNonce", "newAccount", "newOrder")  # RFC 8555, 7.1.1


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    kind = server.access.certificates
    if kind == "files":
        return await aside(lambda: files(server))
    if kind == "acme":
        return await acme(server)
    if kind == "internal":
        root = await aside(lambda: stranger.root_fingerprint(server))
        known = f"; SHA-256 of its root: {root}" if root else ""
        return Result("ok", f"this server has an authority of its own{known}")
    return Result("skipped", "tls.mode is proxy: the web server before this one has them")


def files(server: Server) -> Result:
    own, home, ca = server.file("tls.certificate"), server.home, server.file("federation.ca")
    assert own is not None  # which counts in this mode
    if own.problem and own.content is None:
        raise own.problem
    chain, key = own.place(home), own.place(home, server.settings.tls.certificate_key)
    roots = (ca.place(home),) if ca and ca.content else ()
    problems = certificate_files.judge(chain, key, server.access.expected(), more_roots=roots)
    if not problems:
        return Result("ok", f"{chain} is for every host")
    grave = any(one.grave for one in problems) and server.settings.server.access != "lan"
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return Result(
        "failed" if grave else "warning",
        problems[0].told + more,
        seen="\n".join(one.told for one in problems[1:]),
        advice="\n".join(dict.fromkeys(one.advice for one in problems)),
    )


async def acme(server: Server) -> Result:
    """Whether the directory answers. That it does not stops no start: the gateway tries again by itself."""
    url, profile = (
        tls.directory(server.settings.tls),
        "shortlived" if server.settings.server.access == "ip" else "",
    )
    trust = ssl.create_default_context()
    authorities = server.file("tls.directory_ca")
    if authorities and authorities.content:
        trust.load_verify_locations(cadata=authorities.content.decode())
    try:
        async with httpx2.AsyncClient(verify=trust, timeout=stranger.SECONDS, trust_env=False) as http:
            status, found = await stranger.ask(http, url)
    except (httpx2.HTTPError, ssl.SSLError) as error:
        why = str(error) or type(error).__name__
        return Result(
            "warning",
            f"the certificate authority does not answer at {url}",
            seen=why,
            advice="this machine must reach it over https; with its own authority: tls.directory_ca; "
            "without the internet: tls.mode internal or files",
        )
    return judged(url, status, found, profile, staging=server.settings.tls.staging)


def judged(url: str, status: int, found: Mapping[str, Any], profile: str, *, staging: bool) -> Result:
    """`found`: the directory object (RFC 8555, 7.1.1)."""
    if status == 429:
        return Result(
            "warning",
            f"{url} says that too much was asked of it (429)",
            advice="wait an hour; the gateway tries again by itself, and what it has goes on",
        )
    if status != 200 or not all(name in found for name in NEEDED):
        return Result(
            "warning",
            f"{url} is no ACME directory (HTTP status {status})",
            advice="correct tls.directory, or leave it empty for Let's Encrypt",
        )
    meta = found.get("meta") if isinstance(found.get("meta"), dict) else {}
    assert isinstance(meta, dict)
    profiles = meta.get("profiles")
    if profile and isinstance(profiles, dict) and profile not in profiles:
        return Result(
            "warning",
            f"{url} has no profile {profile}, in which it would certify an address",
            seen=", ".join(map(str, profiles)),
            advice="take another directory, or a domain: server.access domain",
        )
    terms = meta.get("termsOfService", "")
    told = f"the authority answers{f'; by starting you agree to its terms: {terms}' if terms else ''}"
    if staging:
        return Result(
            "warning",
            "tls.staging is on: browsers and apps trust none of these certificates",
            seen=told,
            advice="when all is well: samsesh config set tls.staging false, samsesh up",
        )
    return Result("ok", told)
