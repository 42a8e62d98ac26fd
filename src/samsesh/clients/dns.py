"""What the DNS says of a host, and what this machine itself makes of the name (its /etc/hosts, too)."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address

SECONDS = 3.0  # one question


@dataclass(frozen=True)
class Resolved:
    """Addresses of a host. `published`: by the DNS; `here`: what programs of this machine get.

    `problem`: why the DNS gave nothing, in a few words.
    """

    host: str
    published: tuple[str, ...] = ()
    here: tuple[str, ...] = ()
    problem: str = ""

    def of(self, family: int) -> tuple[str, ...]:
        """Published addresses of family 4 or 6."""
        return tuple(address for address in self.published if ip_address(address).version == family)


Resolve = Callable[[str], Resolved]


def resolve(host: str) -> Resolved:
    """Ask the DNS for A and AAAA, and the system. Blocks for a few seconds at most. An address is its own answer."""
    from dns import exception, resolver

    try:
        return Resolved(host, (str(ip_address(host)),), (str(ip_address(host)),))
    except ValueError:
        pass
    published, problem = [], ""
    try:
        asking = resolver.Resolver()
        asking.lifetime = SECONDS
        for kind in ("A", "AAAA"):
            answer = asking.resolve(host, kind, raise_on_no_answer=False, search=False)
            published += [str(ip_address(str(record))) for record in answer.rrset or ()]
        problem = "" if published else "it has no address"
    except resolver.NXDOMAIN:
        problem = "there is no such name"
    except (exception.DNSException, OSError) as error:
        problem = f"the DNS does not answer ({type(error).__name__})"
    return Resolved(host, tuple(published), _here(host), problem)


def _here(host: str) -> tuple[str, ...]:
    """What getaddrinfo(3) says, which cannot be told to hurry: what takes too long counts as nothing."""
    found: list[str] = []

    def ask() -> None:
        with suppress(OSError, UnicodeError):
            answer = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            found.extend(str(info[4][0]).partition("%")[0] for info in answer)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)
    return tuple(dict.fromkeys(found))
