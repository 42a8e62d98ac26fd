"""Networks: which are not the public internet, and how the settings write them.

Those below are never fetched from and never relayed to, wherever a stranger says so: IANA's special-purpose registries
(RFC 6890 and later), and what clouds have for their machines alone. Most of those are in them already: 169.254.169.254,
100.100.100.200 (Alibaba), 192.0.0.192 (Oracle), fd00:ec2::254 (Amazon), fd20:ce::254 (Google).
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

_NAT64 = 0x0064FF9B << 96
AZURE = "168.63.129.16/32"  # public to look at, and answers Azure's machines only
SPECIAL_V4 = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
    *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", AZURE),
)
# Without what holds IPv4 addresses: of those, each program has its own way.
SPECIAL_V6 = (
    *("64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16"),
    *("fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
)
# The same behind an IPv6-only host's translator (RFC 6052); through it, that host reaches all the others.
SPECIAL_NAT64 = tuple(
    str(IPv6Network((_NAT64 | int(one.network_address), 96 + one.prefixlen)))
    for one in map(IPv4Network, SPECIAL_V4)
)

CARRIER = "100.64.0.0/10"  # RFC 6598: between a provider's NAT and its customers; nobody outside leads there
# https://www.cloudflare.com/ips-v4 and ips-v6, as of February 2026. Other such networks change too often
# for a table, and are recognised by what they answer (stranger.py).
CLOUDFLARE = (
    *("103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "104.16.0.0/13", "104.24.0.0/14"),
    *("108.162.192.0/18", "131.0.72.0/22", "141.101.64.0/18", "162.158.0.0/15", "172.64.0.0/13"),
    *("173.245.48.0/20", "188.114.96.0/20", "190.93.240.0/20", "197.234.240.0/22", "198.41.128.0/17"),
    *("2400:cb00::/32", "2405:8100::/32", "2405:b500::/32", "2606:4700::/32", "2803:f800::/32"),
    *("2a06:98c0::/29", "2c0f:f248::/32"),
)


def within(address: str, *networks: str) -> bool:
    """Whether an address is in one of these networks; one of another family is not."""
    return any(ip_address(address) in ip_network(network) for network in networks)


def without(networks: Iterable[str], allowed: Iterable[str]) -> list[str]:
    """The same networks, but for those that are allowed."""
    left: list[IPv4Network | IPv6Network] = [ip_network(one) for one in networks]
    for hole in map(ip_network, allowed):
        left = [part for one in left for part in _around(one, hole)]
    return [str(one) for one in left]


def _around(
    network: IPv4Network | IPv6Network, hole: IPv4Network | IPv6Network
) -> list[IPv4Network | IPv6Network]:
    """What is left of a network; of two that meet, one is always within the other."""
    if network.version != hole.version or not network.overlaps(hole):
        return [network]
    if network.prefixlen >= hole.prefixlen:
        return []
    return sorted(network.address_exclude(hole))  # type: ignore[arg-type]


def network(value: str) -> str:
    """'10.1.0.0/16' or '10.1.2.3' -> the network in its usual form."""
    try:
        found = ip_network(value)
    except ValueError:
        raise ValueError(f"a network is written as {_example(value)}") from None
    if found.prefixlen == 0:
        raise ValueError("that is every address there is, which is no network of anybody's")
    return str(found)


def _example(value: str) -> str:
    """How the network that was probably meant is written, such as that of '10.1.2.3/16'."""
    try:
        return repr(str(ip_network(value, strict=False)))
    except ValueError:
        return "'10.1.0.0/16' or '2001:db8::/32'"


def outer_network(value: str) -> str:
    """A network of other machines."""
    found = ip_network(network(value))
    here = ("127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10")
    if any(one.version == found.version and found.overlaps(one) for one in map(ip_network, here)):
        raise ValueError(
            "this machine itself is in that network: whoever may name it could reach what is private here"
        )
    return str(found)
