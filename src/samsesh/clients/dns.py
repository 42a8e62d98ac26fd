"""What the DNS says of a host, and what this machine itself makes of the name (its /etc/hosts, too)."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeVar

SECONDS = 3.0  # one question
T = TypeVar("T")


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
    """What getaddrinfo(3) says."""

    def ask() -> list[str]:
        with suppress(OSError, UnicodeError):
            answer = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            return [str(info[4][0]).partition("%")[0] for info in answer]
        return []

    return tuple(dict.fromkeys(in_time(SECONDS, ask) or ()))


def in_time(seconds: float, ask: Callable[[], T]) -> T | None:
    """What `ask` gives, which cannot be told to hurry; None where it takes longer."""
    answers: list[T] = []
    asking = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    asking.start()
    asking.join(seconds)
    return answers[0] if answers else None


@dataclass(frozen=True)
class Caa:
    """One CAA record (RFC 8659): "issue" or another tag, and its value."""

    flags: int
    tag: str
    value: str


def caa(host: str) -> tuple[Caa, ...]:
    """The CAA records that count for a host: its own, else those of the nearest name above it (RFC 8659, 3).

    Blocks. Raises OSError where the DNS does not answer.
    """
    from dns import exception, resolver

    try:
        asking = resolver.Resolver()
    except exception.DNSException as error:
        raise OSError(type(error).__name__) from None
    asking.lifetime = SECONDS
    labels = host.split(".")
    for start in range(len(labels)):
        try:
            answer = asking.resolve(".".join(labels[start:]), "CAA", raise_on_no_answer=False, search=False)
        except resolver.NXDOMAIN:
            continue  # a name that is not there yet: what is above it counts all the same
        except exception.DNSException as error:
            raise OSError(type(error).__name__) from None
        if records := [
            Caa(one.flags, one.tag.decode(errors="replace").lower(), one.value.decode(errors="replace"))
            for one in answer.rrset or ()
        ]:
            return tuple(records)
    return ()
