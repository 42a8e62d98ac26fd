"""Names that strangers chose, looked up without a thread: a name server that does not answer takes no place of others.

dnspython does it, which finds SRV records here, too; c-ares (aiodns) would be a compiled library more.
"""

import asyncio
import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from samsesh.rtc.guard import PRIVATE, Guard

SECONDS = 5.0  # for one name
LATER = 0.2  # that the other family's answer may take longer
HOSTS = Path("/etc/hosts")


async def records(name: str, kind: str) -> list[Any]:
    """dnspython's records of this name; OSError where its servers say that there are none, or nothing in time."""
    import dns.exception  # most servers are known or ours, and it is not small
    from dns.asyncresolver import Resolver

    try:
        return list(await Resolver().resolve(name, kind, lifetime=SECONDS))
    except dns.exception.Timeout:
        raise TimeoutError from None
    except (dns.exception.DNSException, ValueError) as error:
        raise OSError(None, type(error).__name__) from None


class StrangersResolver(AbstractResolver):
    """Looks names up in /etc/hosts and DNS, and leaves out what the guard refuses."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = list(_in_hosts(host)) or await _in_dns(host)
        permitted = [address for address in found if self._guard.permits(address)]
        if not permitted:
            raise PermissionError(errno.EACCES, PRIVATE)
        return [_result(host, port, address) for address in permitted]

    async def close(self) -> None:
        """Nothing is kept open."""


def _in_hosts(host: str) -> Iterator[str]:
    """What the system's own table says, as everything else on this machine believes it (hosts(5))."""
    try:
        lines = HOSTS.read_text(errors="replace").lower().splitlines()
    except OSError:
        return
    for line in lines:
        address, *names = line.partition("#")[0].split() or [""]
        if host.lower() in names:
            yield address


async def _in_dns(host: str) -> list[str]:
    """Addresses of both families; one whose answer is late, or none, does not count against the other."""
    asked = [asyncio.create_task(records(host.rstrip(".") + ".", kind)) for kind in ("AAAA", "A")]
    try:
        done, late = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        if late:
            await asyncio.wait(late, timeout=LATER if any(not task.exception() for task in done) else None)
        answers = [task for task in asked if task.done()]
        found = [record.address for task in answers if not task.exception() for record in task.result()]
        if not found:
            raise answers[0].exception() or OSError(None, "no address")
        return found
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )
