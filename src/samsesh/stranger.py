"""The doctor as somebody from outside: what the checks of public modes learn once and share, before and after a start."""

import asyncio
import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samsesh import facts, names
from samsesh.clients import dns, own
from samsesh.diagnosis import NeedError, Patient, Result, aside
from samsesh.errors import SamseshError
from samsesh.ops.server import Server

SECONDS = 8.0  # one answer


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
    """This machine's own outward addresses now, and those by which others reach the server, as it is planned."""

    own: tuple[str, ...]
    planned: tuple[str, ...]
    given: str = ""  # server.address, where it is one

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


def addresses(server: Server) -> Addresses:
    given = server.settings.server.address
    return Addresses(
        facts.outward_addresses(),
        server.facts.addresses,
        given if given and names.is_address(given) else "",
    )


def trust(server: Server) -> ssl.SSLContext:
    """Whose certificates those take who are to come: of the system's authorities, of `federation.ca`, and our own."""
    made = ssl.create_default_context()
    if path := server.settings.federation.ca:
        try:
            made.load_verify_locations(cafile=server.home.path / Path(path).expanduser())
        except OSError as error:  # ssl.SSLError is one, too
            raise SamseshError(
                f"federation.ca, {path}, cannot be used: {error.strerror or error}",
                "name a file with certificates in PEM form: samsesh config set federation.ca PATH",
            ) from None
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
