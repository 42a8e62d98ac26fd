"""Who listens: every port of the plan where it should, and nothing of ours anywhere else. By /proc/net (proc(5))."""

import os
import struct
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from samsesh import ports as ports_
from samsesh.diagnosis import Patient, Result, aside
from samsesh.ops.server import Server

TITLE = "ports"
TABLES = {"tcp": "0A", "udp": "07"}  # the state of a listening socket, of one that is bound and not connected
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, order=True)
class Place:
    """A protocol ("tcp", "udp"), address and port that something listens at."""

    protocol: str
    address: Address
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else f"{self.address}"
        return f"{host}:{self.port}" + (" (udp)" if self.protocol == "udp" else "")


@dataclass(frozen=True)
class Found:
    """What listens on this machine, and which of it is ours."""

    ours: frozenset[Place]
    others: frozenset[Place]


async def check(patient: Patient) -> Result:
    server = patient.server
    states = {service["name"]: service["state"] for service in (await patient.status())["services"]}
    running = {name for name, state in states.items() if state == "running"}
    found = await aside(lambda: look(server))
    wanted = planned(server, running)
    problems = [
        *missing(wanted, found.ours),
        *elsewhere(found.ours, {*planned(server, states)}, local=server.settings.server.access == "local"),
        *taken(planned(server, states.keys() - running), found.others),
    ]
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        seen = "\n".join(what for what, _ in problems)
        advice = "\n".join(dict.fromkeys(do for _, do in problems))
        return Result("failed", f"{problems[0][0]}{more}", seen, advice)
    if not running:
        return Result("skipped", "the server is not running; its ports are free")
    seen = ", ".join(f"{place}" for place in sorted(wanted, key=lambda place: (place.port, str(place))))
    if foreign := sorted(
        str(place) for place in found.others if place.port in {ours.port for ours in wanted}
    ):
        return Result(
            "warning",
            f"another program listens on {', '.join(foreign)}, beside us",
            seen=seen,
            advice="who comes by that address reaches the other program; see: ss -ltnp",
        )
    return Result("ok", f"listening on {seen}, and nowhere else")


def planned(server: Server, units: Iterable[str]) -> dict[Place, tuple[str, str]]:
    """Where these units are to listen -> (unit, setting of the port)."""
    return {
        Place(endpoint.protocol, plain(endpoint.host), endpoint.port): (unit.name, setting)
        for unit in server.plan.units
        if unit.name in set(units)
        for setting, endpoint in unit.binds
    }


def missing(wanted: dict[Place, tuple[str, str]], ours: Iterable[Place]) -> list[tuple[str, str]]:
    """Places of running units where nothing of ours listens; one on all addresses would, and is told elsewhere."""
    listening = set(ours)
    everywhere = {(place.protocol, place.port) for place in listening if place.address.is_unspecified}
    anywhere = {
        (place.protocol, place.port) for place in listening
    }  # a plan for all is met by each in turn, too
    return [
        (f"{unit} does not listen on {place} (ports.{setting})", f"start it again: samsesh restart {unit}")
        for place, (unit, setting) in wanted.items()
        if place not in listening
        and (place.protocol, place.port) not in (anywhere if place.address.is_unspecified else everywhere)
    ]


def elsewhere(ours: Iterable[Place], wanted: set[Place], *, local: bool) -> list[tuple[str, str]]:
    """Places where something of ours listens that the plan does not have; in `local` only loopback is right at all.

    The exception is a port that its program cannot bind to one address: the plan has it on all (LiveKit's, over TCP).
    """
    found = []
    everywhere = {(place.protocol, place.port) for place in wanted if place.address.is_unspecified}
    for place in sorted(set(ours), key=str):
        if (place.protocol, place.port) in everywhere:
            continue
        if local and not place.address.is_loopback:
            told = f"{place} can be reached from other machines, but server.access is local"
        elif place not in wanted:
            told = f"something of this server listens on {place}, which is not planned"
        else:
            continue
        found.append(
            (
                told,
                "start the server as it is planned: samsesh down, then samsesh up; report it if it comes again",
            )
        )
    return found


def taken(wanted: dict[Place, tuple[str, str]], others: Iterable[Place]) -> list[tuple[str, str]]:
    """Places that a unit which does not run cannot have."""
    listening = set(others)
    everywhere = {(place.protocol, place.port) for place in listening if place.address.is_unspecified}
    return [
        (
            f"another program listens on {place}, which {unit} needs (ports.{setting})",
            f"stop that program (see: ss -ltnp), or move: samsesh config set ports.{setting} NUMBER",
        )
        for place, (unit, setting) in wanted.items()
        if place in listening or (place.protocol, place.port) in everywhere
    ]


def look(server: Server) -> Found:
    """Everything that listens. A client's or relay's passing UDP socket is left out, unless the plan has that port."""
    ports = {endpoint.port for unit in server.plan.units for _, endpoint in unit.binds}
    low, high = server.settings.ports.relay()
    inodes, all_seen = _sockets(server.engine.leftovers())
    passing = ports_.passing()
    ours, others = set[Place](), set[Place]()
    for place, uid, inode in _listening():
        if (
            place.protocol == "udp"
            and place.port not in ports
            and (place.port in passing or low <= place.port <= high)
        ):
            continue
        mine = inode in inodes or (not all_seen and uid == os.geteuid() and place.port in ports)
        (ours if mine else others).add(place)
    for protocol, host, port in server.engine.published() or ():  # Docker holds these open for containers
        ours.add(Place(protocol, plain(host or "0.0.0.0"), port))  # noqa: S104 - nothing is opened
    return Found(frozenset(ours), frozenset(others - ours))


def _sockets(pids: Iterable[int]) -> tuple[set[str], bool]:
    """Inodes of the sockets of these processes, and whether we could look into all of them."""
    found, all_seen = set(), True
    for pid in pids:
        try:
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):  # closed meanwhile
                    found.add(str(link.readlink()))
        except FileNotFoundError:
            continue  # it has ended
        except OSError:
            all_seen = False
    return {name[8:-1] for name in found if name.startswith("socket:[")}, all_seen


def _listening() -> Iterable[tuple[Place, int, str]]:
    """(place, user, inode) of every socket that something can come in by."""
    for protocol, state in TABLES.items():
        for table in (Path(f"/proc/net/{protocol}"), Path(f"/proc/net/{protocol}6")):
            for line in table.read_text().splitlines()[1:] if table.exists() else []:
                words = line.split()
                if words[3] == state:
                    yield place_of(protocol, words[1]), int(words[7]), words[9]


def place_of(protocol: str, text: str) -> Place:
    """`0100007F:1F90` -> 127.0.0.1:8080; words of 32 bits in the machine's order."""
    host, _, port = text.partition(":")
    words = [int(host[start : start + 8], 16) for start in range(0, len(host), 8)]
    return Place(protocol, plain(ip_address(struct.pack(f"={len(words)}I", *words))), int(port, 16))


def plain(address: str | Address) -> Address:
    """An address in its plain form: ::ffff:127.0.0.1 is 127.0.0.1."""
    found = ip_address(address)
    return (found.version == 6 and found.ipv4_mapped) or found
