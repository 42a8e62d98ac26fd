"""The doctor as somebody from outside: what the checks of public modes learn once and share, before and after a start."""

import asyncio
import hashlib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2

from samsesh import facts, names, networks
from samsesh.clients import dns, own
from samsesh.diagnosis import NeedError, Patient, Result, aside
from samsesh.ops.addresses import Doubt, Found, behind_cdn, find, kept
from samsesh.ops.server import Server

SECONDS = 8.0  # one answer
CDN_SECONDS = 4.0
# What the large networks that pass web pages on put into each answer: (header, the beginning of its value, name).
CDN_HEADERS = (
    ("cf-ray", "", "Cloudflare"),
    ("server", "cloudflare", "Cloudflare"),
    ("x-amz-cf-id", "", "Amazon CloudFront"),
    ("x-served-by", "cache-", "Fastly"),
)


def local(server: Server) -> Result | None:
    """The result of a check of public modes where there is none."""
    if server.settings.server.access != "local":
        return None
    return Result("skipped", "server.access is local: nobody comes from outside")


async def resolved(patient: Patient, host: str) -> dns.Resolved:
    found: dns.Resolved = await patient.once(f"dns {host}", lambda: aside(lambda: dns.resolve(host)))
    return found


async def all_resolved(patient: Patient) -> list[dns.Resolved]:
    """Of every host that is a name."""
    wanted = [host for host in patient.server.access.expected() if not names.is_address(host)]
    return list(await asyncio.gather(*(resolved(patient, host) for host in wanted)))


async def way(patient: Patient) -> own.Own:
    """How we reach our own sites, TURN's host included."""

    async def learn() -> own.Own:
        server, turn = patient.server, patient.server.plan.offer.turn
        more = [(turn.host.strip("[]"), turn.port)] if turn else []
        return await aside(lambda: own.look(server.access, server.facts.loopback, more))

    found: own.Own = await patient.once("way", learn)
    return found


async def way_to_relay(patient: Patient, host: str) -> str:
    """The address of this machine at which the relay is asked, where its host does not lead here; else ""."""
    if host not in (await way(patient)).route:
        return ""
    binds = patient.server.plan.unit("coturn").binds  # not all that the gateway listens at
    port = binds[0][1].port
    return await aside(lambda: own.inside([endpoint.host for _, endpoint in binds], port))


@dataclass(frozen=True)
class Addresses:
    """This machine's own outward addresses now, and those by which others reach the server, as it is planned.

    Before the first start they are those that `up` would find.
    """

    own: tuple[str, ...]
    planned: tuple[str, ...]
    given: str = ""  # server.address, where it is one
    doubt: Doubt | None = None

    @property
    def nat(self) -> bool:
        """Whether others reach us at an address that this machine does not have."""
        return any(not facts.own_address(address) for address in self.planned)

    @property
    def ipv6(self) -> bool:
        return any(":" in address for address in self.own)

    def public(self) -> tuple[str, ...]:
        """Where names ought to lead; empty where nobody can say."""
        mine = tuple(address for address in self.own if names.is_public(address))
        return tuple(dict.fromkeys([*([self.given] if self.given else []), *mine])) or self.planned

    def here(self, address: str) -> bool:
        """Whether an address leads to this machine.

        Where this machine has none that is public, and none is given, it is behind NAT: the one that the server was
        found to have is believed. `public_reach` tries it.
        """
        if address == self.given or facts.own_address(address):
            return True
        mine = [one for one in self.own if names.is_public(one) and (":" in one) == (":" in address)]
        same = self.given and (":" in self.given) == (":" in address)
        return not mine and not same and names.is_public(address) and address in self.planned


async def addresses_now(patient: Patient) -> Found:
    """What `up` would find now, and what is in doubt about it."""
    server = patient.server

    async def learn() -> Found:
        known = kept(server.home, server.settings)
        return await aside(lambda: find(server.settings, facts.gather(), known))

    now: Found = await patient.once("addresses", learn)
    return now


def planned(server: Server) -> Addresses:
    """As the server runs."""
    given = server.settings.server.address
    return Addresses(
        facts.outward_addresses(),
        server.facts.addresses,
        given if given and names.is_address(given) else "",
    )


async def addresses(patient: Patient) -> Addresses:
    """As the server runs, or would be started now; with what is in doubt."""
    server, now = patient.server, await addresses_now(patient)
    ours = planned(server)
    chosen, doubt = kept(server.home, server.settings) or now.addresses, now.doubt
    if server.settings.server.access == "domain" and not server.settings.server.address and not doubt:
        host = server.access.host("api")
        if name := await cdn(patient, host):
            mine = [one for one in ours.own if names.is_public(one)]
            doubt = behind_cdn(host, (await resolved(patient, host)).published, name, mine)
    return replace(ours, planned=chosen, doubt=doubt)


async def cdn(patient: Patient, host: str) -> str:
    """The CDN to which a name leads, by its addresses or by what answers there; "" where it is none that is known."""

    async def learn() -> str:
        led = (await resolved(patient, host)).published
        if any(networks.within(one, *networks.CLOUDFLARE) for one in led):
            return "Cloudflare"
        if not any(names.is_public(one) and not facts.own_address(one) for one in led):
            return ""
        try:
            async with httpx2.AsyncClient(timeout=CDN_SECONDS, trust_env=False) as http:
                return cdn_by_headers((await http.get(f"http://{host}/")).headers)
        except httpx2.HTTPError:
            return ""

    name: str = await patient.once(f"cdn {host}", learn)
    return name


async def cdns(patient: Patient, hosts: Sequence[str]) -> dict[str, str]:
    """Those of the hosts that lead to a CDN, each with its name."""
    named = await asyncio.gather(*(cdn(patient, host) for host in hosts))
    return {host: name for host, name in zip(hosts, named, strict=True) if name}


def cdn_by_headers(headers: Mapping[str, str]) -> str:
    """The CDN whose answer has these headers, which are found whatever their case; "" where it is none that is known."""
    known = {name.lower(): value.lower() for name, value in headers.items()}
    return next(
        (cdn for name, begins, cdn in CDN_HEADERS if name in known and known[name].startswith(begins)), ""
    )


def trust(server: Server) -> ssl.SSLContext:
    """Whose certificates those take who are to come: of the system's authorities, of `federation.ca`, and our own."""
    made = ssl.create_default_context()
    authorities = server.file("federation.ca")
    if authorities and authorities.content:
        made.load_verify_locations(cadata=authorities.content.decode())
    if server.access.certificates == "internal":
        root = root_certificate(server)
        if root is None:
            raise NeedError("needs the certificate of the server's own authority, which is not there yet")
        made.load_verify_locations(cadata=root)
    return made


def root_certificate(server: Server) -> str | None:
    """PEM of the gateway's own authority."""
    path = Path("pki", "authorities", "local", "root.crt")
    found = server.engine.read_kept("gateway", path)
    return found.decode() if found else None


def root_fingerprint(server: Server) -> str:
    """SHA-256 of that certificate as browsers and OpenSSL show it; "" where it is not there yet."""
    root = root_certificate(server)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(root)).digest().hex(":").upper() if root else ""


async def ask(client: Any, url: str, **options: Any) -> tuple[int, Mapping[str, Any]]:
    """(status, JSON object) of a GET; {} where the answer is none. Errors are httpx2's."""
    answer = await client.get(url, **options)
    try:
        found = answer.json()
    except ValueError:
        found = {}
    return answer.status_code, found if isinstance(found, dict) else {}
