"""Whether the ports of a plan can be had, and who holds those that cannot."""

import os
import socket
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from samsesh.errors import SamseshError
from samsesh.facts import Facts
from samsesh.home import user_name
from samsesh.model import Endpoint, Unit

PASSING = Path("/proc/sys/net/ipv4/ip_local_port_range")
RESERVED = Path("/proc/sys/net/ipv4/ip_local_reserved_ports")
ENDING_SECONDS = 3.0  # a program that has just ended may keep its ports for a moment


Port = tuple[str, int]  # protocol, number


def check(units: list[Unit], facts: Facts, ours: Collection[Port] = ()) -> dict[str, SamseshError]:
    """Try every address that these units (none of them running) are to listen on.

    `ours`: what other units of this server hold, which give up what is no longer theirs before these are started.
    Gives what is wrong with units that can be spared, by name; raises for the others.
    """
    failed = {}
    for unit in units:
        try:
            _check_unit(unit, facts, ours)
        except SamseshError as error:
            if not unit.spare:
                raise
            failed[unit.name] = error
    return failed


def _check_unit(unit: Unit, facts: Facts, ours: Collection[Port]) -> None:
    for setting, endpoint in unit.binds:
        if endpoint.port < facts.lowest_port:
            raise SamseshError(
                f"ports.{setting} is {endpoint.port}: this user may not listen below {facts.lowest_port}",
                f"run as root, or choose a higher one: samsesh config set ports.{setting} {endpoint.port + 8000}",
            )
        if (endpoint.protocol, endpoint.port) in ours:
            continue
        if problem := _problem(endpoint):
            raise SamseshError(
                f"port {endpoint.port} (ports.{setting}) {problem}",
                f"stop that program, or move: samsesh config set ports.{setting} NUMBER, or up --port-offset 1000",
            )


def _problem(endpoint: Endpoint) -> str:
    """Why we cannot listen there; a port that no program can be seen to hold is waited for."""
    end = time.monotonic() + ENDING_SECONDS
    while not free(endpoint):
        if (who := holder(endpoint)) or time.monotonic() > end:
            return f"is in use{who or ' by another program'}"
        time.sleep(0.05)
    return ""


def free(endpoint: Endpoint) -> bool:
    """Whether we could listen there now."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    kind = socket.SOCK_DGRAM if endpoint.protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as probe:
        if endpoint.protocol == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # 0.0.0.0 is asked for by itself
        try:
            probe.bind((endpoint.host, endpoint.port))
        except PermissionError:
            return True  # lowest_port said we may have it: the unit gets the right that we lack
        except OSError:
            return False
    return True


def holder(endpoint: Endpoint) -> str:
    """` by NAME (process N)`, which Linux shows for our own processes; for those of others ` by a program of USER`.

    Empty where none is to be seen, or only that it was ours.
    """
    inodes, owner = set(), ""
    for port, uid, inode in _bound(
        endpoint.protocol, listening=False
    ):  # a connection to elsewhere has a port, too
        if port == endpoint.port:
            inodes.add(f"socket:[{inode}]")
            owner = "" if uid == os.geteuid() else user_name(uid)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if any(str(link.readlink()) in inodes for link in (entry / "fd").iterdir()):
                    return (
                        f" by {(entry / 'comm').read_text(errors='replace').strip()} (process {entry.name})"
                    )
            except OSError:
                continue
    return f" by a program of {owner}" if owner else ""


def held_by(pids: Iterable[int]) -> set[Port]:
    """What these processes listen at."""
    links = _links(pids)
    return {
        (protocol, port)
        for protocol in ("tcp", "udp")
        for port, _, inode in _bound(protocol)
        if f"socket:[{inode}]" in links
    }


def of_others(ports: Collection[Port], pids: Iterable[int]) -> list[str]:
    """Those of these ports that a program beside these processes has now, and which one it is."""
    links = _links(pids)
    held = {
        (protocol, port)
        for protocol in ("tcp", "udp")
        for port, _, inode in _bound(protocol, listening=False)
        if (protocol, port) in ports and f"socket:[{inode}]" not in links
    }
    return [
        f"{port} ({protocol}) is held{holder(Endpoint(port=port, protocol=protocol)) or ' by another program'}"
        for protocol, port in sorted(held)
    ]


def passing() -> range:
    """The ports from which the kernel takes one for a connection (ip-sysctl: ip_local_port_range)."""
    try:
        low, high = map(int, PASSING.read_text().split())
    except (OSError, ValueError):
        return range(32_768, 61_000)
    return range(low, high + 1)


def reserved() -> set[int]:
    """Those among them that it does not take (ip_local_reserved_ports)."""
    try:
        return numbers(RESERVED.read_text())
    except (OSError, ValueError):
        return set()


def numbers(text: str) -> set[int]:
    """`8000,49160-49200`, as the kernel has it, as a set."""
    spans = (part.partition("-") for part in text.strip().split(",") if part)
    return {number for first, _, last in spans for number in range(int(first), int(last or first) + 1)}


def spans(ports: Iterable[int]) -> str:
    """The reverse of `numbers`."""
    found: list[list[int]] = []
    for port in sorted(ports):
        if found and port == found[-1][1] + 1:
            found[-1][1] = port
        else:
            found.append([port, port])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in found)


def _links(pids: Iterable[int]) -> set[str]:
    links = set[str]()
    for pid in pids:
        with suppress(OSError):  # it has ended
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):  # closed meanwhile
                    links.add(str(link.readlink()))
    return links


def _bound(protocol: str, *, listening: bool = True) -> Iterator[tuple[int, int, str]]:
    """(port, user, inode) of every socket that something can come in by, or of all that have a port (proc(5))."""
    state = "07" if protocol == "udp" else "0A"  # how the kernel says: nobody at the other end; listening
    for table in (Path(f"/proc/net/{protocol}"), Path(f"/proc/net/{protocol}6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            words = line.split()
            if words[3] == state or (not listening and words[9] != "0"):
                yield int(words[1].rpartition(":")[2], 16), int(words[7]), words[9]
