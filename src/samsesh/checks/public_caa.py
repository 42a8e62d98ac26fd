"""Whether the domain's CAA records (RFC 8659) let Let's Encrypt certify the hosts as the gateway asks for it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from samsesh import names, stranger
from samsesh.clients import dns
from samsesh.diagnosis import Patient, Result, aside
from samsesh.ops.server import Server
from samsesh.services.gateway import tls

TITLE = "CAA records"
GROUPS = ("public", "preflight")
SECONDS = 20  # for a DNS that does not answer
AUTHORITY = "letsencrypt.org"  # https://letsencrypt.org/docs/caa/
METHODS = {"http-01", "tls-alpn-01"}  # which the gateway can answer
# IANA's registry "Certification Authority Restriction Properties".
TAGS = {"issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"}
CRITICAL = 128


@dataclass(frozen=True)
class Refusal:
    """Why a host gets no certificate. What only `possibly` holds stops no start."""

    summary: str
    possibly: bool = False


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    if server.access.certificates != "acme":
        return Result("skipped", "no certificate of a public authority is asked for")
    if server.settings.tls.directory:
        return Result("skipped", "tls.directory is set: by which name its authority goes in CAA is not known")
    hosts = [host for host in server.access.names() if not names.is_address(host)]
    if not hosts:
        return Result("skipped", "a certificate for an address heeds none (RFC 8738)")
    account = await aside(lambda: account_uri(server))
    try:
        records = await aside(lambda: {host: dns.caa(host) for host in hosts})
    except OSError as error:
        return Result("skipped", f"the DNS does not say whether there are any ({error})")
    return judged(records, account, mild=server.settings.server.trial)


def account_uri(server: Server) -> str:
    """The gateway's account at the authority (certmagic's file of it); "" before the first start."""
    host = tls.directory(server.settings.tls).removeprefix("https://").replace("/", "-")
    email = server.settings.tls.email.lower() or "default"
    path = Path("acme", host, "users", email, f"{email.partition('@')[0]}.json")
    content = server.engine.read_kept("gateway", path)
    try:
        return str(json.loads(content or b"{}").get("location", ""))
    except (ValueError, AttributeError):
        return ""


def judged(records: Mapping[str, Iterable[dns.Caa]], account: str, *, mild: bool = False) -> Result:
    """`records`: host -> those that count for it. `account`: the URI of ours, "" where there is none yet."""
    refusals = {host: refusal for host, rows in records.items() if (refusal := refused(rows, account))}
    if not refusals:
        return Result("ok", f"{AUTHORITY} may certify {', '.join(records)}")
    hosts, first = ", ".join(refusals), next(iter(refusals.values()))
    grave = any(not refusal.possibly for refusal in refusals.values()) and not mild
    return Result(
        "failed" if grave else "warning",
        f"no certificate for {hosts} can be had from Let's Encrypt: {first.summary}",
        seen="\n".join(
            f"{host}: {', '.join(f'{row.flags} {row.tag} {row.value}' for row in records[host])}"
            for host in refusals
        ),
        advice=f'correct its records where the domain is kept, so that this one counts: CAA 0 issue "{AUTHORITY}"; or '
        "take certificates of the authority that they name: tls.directory, or tls.mode files",
    )


def refused(rows: Iterable[dns.Caa], account: str) -> Refusal | None:
    """Why these records keep Let's Encrypt from certifying a host (RFC 8659, 4; RFC 8657); None where they do not."""
    rows = list(rows)
    if unknown := [row.tag for row in rows if row.flags & CRITICAL and row.tag not in TAGS]:
        return Refusal(f"its CAA record {unknown[0]} is critical, and no authority knows it")
    issue = [row for row in rows if row.tag == "issue"]
    if not issue:
        return None
    ours = [parameters for row in issue for who, parameters in [parsed(row.value)] if who == AUTHORITY]
    if not ours:
        others = ", ".join(filter(None, (parsed(row.value)[0] for row in issue))) or "nobody"
        return Refusal(f"its CAA records allow {others} alone, not {AUTHORITY}")
    methods = [one for one in ours if _allows_methods(one)]
    if not methods:
        return Refusal(
            f"its CAA records name validation methods, and neither {' nor '.join(sorted(METHODS))}"
        )
    if any(one.get("accounturi", account) == account for one in methods):
        return None
    known = f"ours is {account}" if account else "ours is made at the first start"
    return Refusal(
        f"its CAA records allow the account {methods[0]['accounturi']} alone, and {known}",
        possibly=not account,
    )


def _allows_methods(parameters: Mapping[str, str]) -> bool:
    given = parameters.get("validationmethods")
    return given is None or bool(METHODS & {one.strip() for one in given.split(",")})


def parsed(value: str) -> tuple[str, dict[str, str]]:
    """`letsencrypt.org; validationmethods=http-01` -> (issuer's domain, parameters); "" is nobody."""
    issuer, *parameters = (part.strip() for part in value.split(";"))
    pairs = (one.partition("=") for one in parameters if one)
    return issuer.lower().rstrip("."), {name.strip().lower(): given.strip() for name, _, given in pairs}
