"""The gateway's ports: free before a start, and reached at the public address.

What only shows from outside, the firewall of a provider, no machine can see of itself.
"""

import secrets
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import product

from samsesh import facts, names, ports, stranger, web_servers
from samsesh.access import Access
from samsesh.diagnosis import Patient, Result, aside
from samsesh.model import Endpoint
from samsesh.ops.server import Server
from samsesh.proxies import KINDS

TITLE = "ports for people"
GROUPS = ("public", "preflight")
SECONDS = 20
TRY = 3.0  # seconds for a way through a router


@dataclass(frozen=True)
class Tried:
    """A public address and port that was tried from here: "reached", "other" (something else answers) or "silent"."""

    address: str
    port: int
    how: str

    def __str__(self) -> str:
        return f"{names.in_url(self.address)}:{self.port}"


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    states = {service["name"]: service["state"] for service in (await patient.status())["services"]}
    if states.get("gateway") == "stopped" and (found := await aside(lambda: taken(server))):
        return found
    if server.access.proxied:
        return await aside(lambda: proxied(server))
    tried = await aside(lambda: try_all(server))
    found = judged(tried, [endpoint.port for _, endpoint in binds(server)])
    return (unusual(server.access) if found.status == "ok" else None) or found


def proxied(server: Server) -> Result:
    """Behind a web server: which, and what it needs."""
    program = web_servers.before(server.settings.ports.of("https"))
    if program is None or not program.kind:
        return Result("ok", "the web server before this one has them: tls.mode is proxy")
    how = f"its configuration: samsesh proxy-config {program.kind}"
    return Result("ok", f"{program.name}, before this server, has them ({how})")


def unusual(access: Access) -> Result | None:
    """Ports of a domain at which nobody asks of himself."""
    asked = {"https": (443, "browsers, apps and other servers ask")}
    if access.certificates == "acme":
        asked["http"] = (80, "certificate authorities ask")
    if access.federates:
        asked["federation"] = (8448, "servers that were told no other port ask")
    ours = {name: access.settings.ports.of(name) for name in asked}
    moved = [name for name in asked if ours[name] != asked[name][0]]
    if access.mode != "domain" or access.proxied or not moved:
        return None
    told = [f"ports.{name} is {ours[name]}, and {asked[name][1]} at {asked[name][0]}" for name in moved]
    back = ", ".join(f"samsesh config set ports.{name} {asked[name][0]}" for name in moved)
    if "https" in moved and access.settings.turn.on_https:
        relay = f"turn.on_https tells clients {ours['https']}, so a router that leads 443 there does not help the relay"
        return Result("warning", "; ".join([*told, relay]), advice=back)
    led = ", ".join(f"{asked[name][0]} to {ours[name]}" for name in moved)
    return Result("warning", "; ".join(told), advice=f"{back}; or let a router or firewall lead TCP {led}")


def binds(server: Server) -> list[tuple[str, Endpoint]]:
    """Where the gateway, and the splitter before it, are to be open for others: (setting, endpoint)."""
    loopback = server.facts.loopback
    units = [unit for unit in server.plan.units if unit.name in ("gateway", "splitter")]
    return [(name, one) for unit in units for name, one in unit.binds if one.host not in loopback]


def taken(server: Server) -> Result | None:
    """What another program holds of them."""
    for setting, endpoint in binds(server):
        if endpoint.port < server.facts.lowest_port or ports.free(endpoint):
            continue  # a port that is too low for this user is told by the engine
        who = ports.holder(endpoint)
        program = web_servers.at_port(endpoint.port, who) or web_servers.running()
        named = f" by {program.name}" if program and program.name.lower() not in who else ""
        move = f"stop that program, or move: samsesh config set ports.{setting} NUMBER"
        if setting in ("http", "https") and server.access.mode == "domain":
            kind = program.kind if program and program.kind else KINDS[0]
            move = (
                f"let it stand before this server: samsesh config set tls.mode proxy, samsesh proxy-config {kind} "
                f"(there are: {', '.join(KINDS)}), samsesh up; or stop it: it and this server cannot share port "
                f"{endpoint.port}"
            )
        return Result(
            "failed",
            f"port {endpoint.port} (ports.{setting}) is in use{who or named or ' by another program'}"
            + (f", which answers as {program.name}" if program and who and named else ""),
            advice=move,
        )
    return None


def try_all(server: Server) -> list[Tried]:
    """Connect to every public port at the public addresses that this machine does not have itself."""
    far = [address for address in server.facts.addresses if not facts.own_address(address)]
    wanted = {one.port: one for _, one in binds(server) if one.protocol == "tcp"}
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda pair: _try(*pair), product(far, wanted.values())))


def _try(address: str, endpoint: Endpoint) -> Tried:
    host = "::" if ":" in address else "0.0.0.0"  # noqa: S104 - what comes through the router may come to any
    nonce = secrets.token_bytes(16)
    with _listening(host, endpoint.port, nonce) as open_:
        try:
            with socket.create_connection((address, endpoint.port), TRY) as link:
                link.settimeout(TRY)
                if not open_:  # the gateway itself runs there
                    return Tried(address, endpoint.port, "reached")
                return Tried(address, endpoint.port, "reached" if link.recv(16) == nonce else "other")
        except OSError:
            return Tried(address, endpoint.port, "silent")


@contextmanager
def _listening(host: str, port: int, nonce: bytes) -> Iterator[bool]:
    """A listener of ours for a moment, which says `nonce` to whoever comes; False where something listens already."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in host:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            made.bind((host, port))
            made.listen()
        except OSError:
            yield False
            return
        made.settimeout(TRY)

        def answer() -> None:
            with suppress(OSError):
                link, _ = made.accept()
                with link:
                    link.sendall(nonce)

        answering = threading.Thread(target=answer, daemon=True)
        answering.start()
        try:
            yield True
        finally:  # while it waits there, closing alone would not give the port back
            with suppress(OSError):
                made.shutdown(socket.SHUT_RDWR)
            answering.join(TRY)


def judged(tried: Sequence[Tried], numbers: Sequence[int]) -> Result:
    open_ = ", ".join(map(str, sorted(set(numbers))))
    if not tried:
        return Result(
            "ok",
            f"{open_}: whether a firewall before this machine lets people through, only shows from outside",
        )
    seen = "\n".join(f"{one}: {one.how}" for one in tried)
    bad = [one for one in tried if one.how != "reached"]
    if not bad:
        return Result("ok", f"{', '.join(map(str, tried))}: reached through the router", seen)
    if any(one.how == "other" for one in bad):
        told = next(one for one in bad if one.how == "other")
        return Result(
            "warning",
            f"something else than this server answers at {told}, as seen from this network",
            seen,
            f"the router must lead TCP {open_} (all: samsesh ports) to this machine; its own pages may stand in the way",
        )
    return Result(
        "warning",
        f"this machine does not reach itself at {', '.join(map(str, bad))}",
        seen,
        f"either the router does not lead TCP {open_} (all: samsesh ports) to this machine, or it leads nobody of its "
        "own network back in (no NAT hairpin): try from outside, such as a phone without Wi-Fi; "
        "where only hairpin is missing, your network's DNS may give this machine's own address for these names, once the "
        f"public one is in the settings: samsesh config set server.address {bad[0].address}, samsesh up",
    )
