"""Whether the ports of a plan can be had, and who holds those that cannot."""

import socket
from pathlib import Path

from samsesh.errors import SamseshError
from samsesh.facts import Facts
from samsesh.home import user_name
from samsesh.model import Endpoint, Unit


def check(units: list[Unit], facts: Facts) -> None:
    """Try every address that these units (none of them running) are to listen on."""
    for unit in units:
        for setting, endpoint in unit.binds:
            if endpoint.port < facts.lowest_port:
                raise SamseshError(
                    f"ports.{setting} is {endpoint.port}: this user may not listen below {facts.lowest_port}",
                    f"run as root, or choose a higher one: samsesh config set ports.{setting} {endpoint.port + 8000}",
                )
            if problem := _problem(endpoint):
                raise SamseshError(
                    f"port {endpoint.port} (ports.{setting}) {problem}",
                    f"stop that program, or move: samsesh config set ports.{setting} NUMBER, or up --port-offset 1000",
                )


def _problem(endpoint: Endpoint) -> str:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((endpoint.host, endpoint.port))
        except PermissionError:
            return ""  # lowest_port said we may have it: the unit gets the right that we lack
        except OSError:
            return f"is in use{_holder(endpoint.port)}"
    return ""


def _holder(port: int) -> str:
    """` by NAME (process N)`, which Linux shows for our own processes; for those of others ` by a program of USER`."""
    inodes, owner = set(), ""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:] if Path(table).exists() else []:
            words = line.split()
            if int(words[1].rpartition(":")[2], 16) == port and words[3] == "0A":  # listening
                inodes.add(f"socket:[{words[9]}]")
                owner = user_name(int(words[7]))
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if any(str(link.readlink()) in inodes for link in (entry / "fd").iterdir()):
                    return f" by {(entry / 'comm').read_text().strip()} (process {entry.name})"
            except OSError:
                continue
    return f" by a program of {owner}" if owner else " by another program"
