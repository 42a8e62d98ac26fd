"""Keeps strangers from sending us to private addresses (SSRF).

The one place that decides is where a socket is about to connect: names, literals, redirects, SRV targets and changing
DNS answers all come past it, and what was checked is what is connected to.
"""

import errno
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from samsesh.networks import SPECIAL_V4, SPECIAL_V6
from samsesh.rtc.config import Config

_FORBIDDEN_V4 = tuple(map(IPv4Network, SPECIAL_V4))
_PUBLIC_V6 = IPv6Network("2000::/3")
_FORBIDDEN_V6 = tuple(map(IPv6Network, SPECIAL_V6))
_NAT64 = IPv6Network("64:ff9b::/96")  # how a host without IPv4 reaches it (RFC 6052)
PRIVATE = "a private address, which SAMSESH_RTC_ALLOW_PRIVATE does not name"


class Guard:
    """What this service may connect to on behalf of others."""

    def __init__(self, config: Config) -> None:
        self._allowed = config.allow_private
        self._anything = config.insecure  # upstream's tests talk to loopback

    def permits(self, text: str) -> bool:
        """Whether this address is public, or allowed by the settings."""
        if self._anything:
            return True
        try:
            address = ip_address(text)
        except ValueError:
            return False
        return any(address in network for network in self._allowed) or _is_public(address, self)

    def open_socket(self, info: tuple[Any, Any, Any, str, Any]) -> socket.socket:
        """A socket for getaddrinfo's `info`, which is about to be connected to its address."""
        family, kind, protocol, _, address = info
        if not self.permits(address[0]):
            raise PermissionError(errno.EACCES, PRIVATE)
        return socket.socket(family, kind, protocol)


def _is_public(address: IPv4Address | IPv6Address, guard: Guard) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _FORBIDDEN_V4)
    if address in _NAT64:
        return guard.permits(str(IPv4Address(int(address) & 0xFFFFFFFF)))
    return address in _PUBLIC_V6 and not any(address in network for network in _FORBIDDEN_V6)
