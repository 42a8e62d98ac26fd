"""Ports of servers that the kernel is to give to no connection of its own accord: one file of sysctl.d for all homes.

The kernel has one list for everybody (ip-sysctl: ip_local_reserved_ports). What others have in it stays, and comes back
where we no longer add to it; the file says what is whose.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from samsesh import ports
from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.write import set_kernel, write_file

FILE = Path("/etc/sysctl.d/99-samsesh.conf")
KEY = "net.ipv4.ip_local_reserved_ports"
MOST = 4096  # ports that one home may reserve
_LINE = re.compile(r"# (others|home (?P<home>[0-9a-f]+)): (?P<ports>[\d,-]*)")


@dataclass
class Kept:
    """What the file says: the ports of each home, by its id, and those that were others' before."""

    homes: dict[str, set[int]] = field(default_factory=dict)
    others: set[int] = field(default_factory=set)

    @property
    def ours(self) -> set[int]:
        return set().union(*self.homes.values())


def possible() -> bool:
    """Whether root can set it here: in many containers nobody can."""
    return os.access(ports.RESERVED, os.W_OK)


def read() -> Kept:
    kept = Kept()
    for line in FILE.read_text().splitlines() if FILE.exists() else []:
        if found := _LINE.fullmatch(line):
            if home := found["home"]:
                kept.homes[home] = ports.numbers(found["ports"])
            else:
                kept.others = ports.numbers(found["ports"])
    return kept


def reserve(home: Home, text: str) -> None:
    """As root: add these ports, for this home. The text comes from who may no longer do this."""
    wanted = ports.numbers(text)
    if len(wanted) > MOST or not wanted <= set(range(1024, 65_536)):
        raise SamseshError(f"these ports are not reserved: {text}")
    kept = _now()
    kept.homes[home.id] = kept.homes.get(home.id, set()) | wanted
    _write(kept)


def release(home: Home) -> None:
    """As root: take this home's ports away again."""
    kept = _now()
    kept.homes.pop(home.id, None)
    _write(kept)


def _now() -> Kept:
    """What the file says, and what others have added to the kernel's list since."""
    kept = read()
    kept.others |= ports.reserved() - kept.ours
    return kept


def _write(kept: Kept) -> None:
    value = ports.spans(kept.others | kept.ours)
    set_kernel(ports.RESERVED, value)
    if not kept.homes:
        FILE.unlink(missing_ok=True)
        return
    lines = [
        "# Written by Samsesh: ports of its servers, which connections of other programs do not take. `samsesh destroy`",
        "# takes those of its server away again.",
        f"# others: {ports.spans(kept.others)}",
        *(f"# home {home}: {ports.spans(found)}" for home, found in sorted(kept.homes.items())),
        f"{KEY} = {value}",
    ]
    write_file(FILE, "\n".join(lines) + "\n", mode=0o644)
