"""What a client speaks, by its first bytes; and the line that tells the gateway who it is. Pure."""

from typing import Literal

MAGIC_COOKIE = bytes.fromhex("2112a442")  # RFC 8489, 5: at offset 4 of every STUN message
NEEDED = 8
# A STUN message begins with two zero bits, and so does a TLS record (0x16). But the methods of STUN and TURN are below
# 0x80, so that the first byte of a request is 0x00. ChannelData (0x40 to 0x4f) needs an allocation first.
STUN = 0x00

Kind = Literal["stun", "other"]


def kind(head: bytes) -> Kind | None:
    """Of a connection that began with `head`: STUN, or whatever the gateway may make of it; None: too early to say."""
    if not head:
        return None
    if head[0] != STUN:
        return "other"
    if len(head) < NEEDED:
        return None
    return "stun" if head[4:NEEDED] == MAGIC_COOKIE else "other"


def proxy_line(client: tuple[str, int], server: tuple[str, int]) -> bytes:
    """The PROXY protocol's version 1 (HAProxy's proxy-protocol.txt, 2.1): addresses and ports of one connection."""
    family = "TCP6" if ":" in client[0] else "TCP4"
    source, target = (address.partition("%")[0] for address in (client[0], server[0]))  # without a device
    return f"PROXY {family} {source} {target} {client[1]} {server[1]}\r\n".encode("ascii")
