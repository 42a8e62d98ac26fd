"""How often one client may ask: a bucket of requests each, which fills again with time."""

import time
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

PER_SECOND = 10.0
BURST = 100.0  # a whole office behind one address that joins a call, several requests each
CLIENTS = 10_000  # that are remembered; the one seen longest ago is forgotten first


def client_of(scope: Mapping[str, Any]) -> str:
    """The client's address: the connection's own; on a unix socket what the proxy added that was let in there."""
    if peer := scope.get("client"):
        return str(peer[0])
    for name, value in reversed(scope["headers"]):
        if name == b"x-forwarded-for":
            return str(value.decode("latin-1").rpartition(",")[2].strip())
    return "unix"


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """IPv4 as such, also where a socket for both families shows it as IPv6."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class Limits:
    """Buckets by client; an IPv6 client is its /64, which is what one customer has."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}  # client -> requests left, as of

    def wait(self, client: str) -> float:
        """Takes one request from the client's bucket: 0, or the seconds until it may ask again."""
        key, now = _key(client), time.monotonic()
        left, then = self._buckets.pop(key, (BURST, now))
        left = min(BURST, left + (now - then) * PER_SECOND)
        while len(self._buckets) >= CLIENTS:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = (left - 1 if left >= 1 else left, now)
        return 0.0 if left >= 1 else (1 - left) / PER_SECOND


def _key(client: str) -> str:
    address = _address(client)
    if not isinstance(address, IPv6Address):
        return str(address or client)
    return str(ip_network((int(address), 64), strict=False).network_address)
