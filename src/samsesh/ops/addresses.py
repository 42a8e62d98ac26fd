"""The addresses by which others reach this server: those of this machine, or behind NAT the ones its name leads to.

Found by `up` and kept in the home's state, so that a plan is the same until the next `up`. Nobody on the internet is
asked "what is my address".
"""

from dataclasses import dataclass, replace

from samsesh import names
from samsesh.access import LOCAL, Access
from samsesh.clients import dns
from samsesh.facts import Facts, own_address
from samsesh.home import Home
from samsesh.settings import Settings

ROUTER = "the address by which the internet reaches you"
KEPT = "addresses"  # in the home's state: {"for": ..., "found": [...]}


@dataclass(frozen=True)
class Found:
    """Addresses, one of a family at most, IPv4 first; `own`: whether this machine has them all."""

    addresses: tuple[str, ...]
    own: bool


def public_host(settings: Settings, own: tuple[str, ...]) -> str:
    """The host whose addresses are this server's; "" where they are this machine's own."""
    if settings.server.access not in ("ip", "domain"):
        return ""
    if settings.server.address:
        return settings.server.address
    if settings.server.access == "domain":
        return Access(settings, own).host("api")
    return names.split_name(settings.server.name)[0]


def find(settings: Settings, facts: Facts, resolve: dns.Resolve = dns.resolve) -> Found:
    """Look now. `facts`: with this machine's own addresses. A name that leads nowhere yet counts as ours."""
    host = public_host(settings, facts.addresses)
    if not host or host == "localhost":
        return Found(facts.addresses, own=True)
    answer = resolve(host)
    led = [*answer.published, *(one for one in answer.here if not one.startswith(("127.", "::1")))]
    found = one_of_a_family(led)
    if not found:
        return Found(facts.addresses, own=True)
    if names.is_address(host):  # the other family is this machine's own, where it has it
        found = one_of_a_family([*found, *facts.addresses])
    return Found(found, own=all(map(own_address, found)))


def one_of_a_family(addresses: list[str]) -> tuple[str, ...]:
    """The first IPv4 and the first IPv6 address."""
    first = [next((one for one in addresses if (":" in one) == v6), "") for v6 in (False, True)]
    return tuple(filter(None, first))


def settle(home: Home, settings: Settings, facts: Facts, resolve: dns.Resolve = dns.resolve) -> str:
    """Find and remember them, for what is planned from now on; what has changed since the last time, for people."""
    if settings.server.access == "local":
        if KEPT in home.state():
            home.remember(**{KEPT: None})
        return ""
    found = find(settings, facts, resolve)
    before = kept(home, settings)
    if before == found.addresses:
        return ""
    home.remember(**{KEPT: {"for": _key(settings), "found": list(found.addresses)}})
    now = ", ".join(found.addresses) or "none"
    told = [f"the address of this server was {', '.join(before)}, and is {now} now"] if before else []
    told += [] if found.own else [f"this machine is behind NAT: others reach it at {now}"]
    return "; ".join(told)


def kept(home: Home, settings: Settings) -> tuple[str, ...]:
    """What was found at the last `up` for these settings; nothing where it was for others."""
    found = home.state().get(KEPT, {})
    return tuple(found.get("found", ())) if found.get("for") == _key(settings) else ()


def planned(facts: Facts, home: Home, settings: Settings) -> Facts:
    """Facts as plans are made from: with the addresses that are remembered, else with this machine's own."""
    if settings.server.access == "local":
        return facts
    host = public_host(settings, facts.addresses)
    guess = one_of_a_family([host, *facts.addresses]) if names.is_address(host) else facts.addresses
    return replace(facts, addresses=kept(home, settings) or guess)


def _key(settings: Settings) -> str:
    """What the addresses go by: others settings, others addresses."""
    return f"{settings.server.access} {public_host(settings, ('192.0.2.1',))}".strip()


def records(access: Access, own: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """DNS records that the names of a server need: (name, type, address). `own`: addresses by which others reach it.

    An address of which only its own network knows is no use to the world: the router's is meant, which nobody here knows.
    """
    if access.mode != "domain":
        return []
    given = access.settings.server.address
    usable = [given] if names.is_address(given) else []
    usable += [one for one in own if names.is_public(one)]
    found = one_of_a_family(usable) or (ROUTER,)
    hosts = dict.fromkeys(site.host for site in access.sites().values() if site.host != LOCAL)
    return [(host, "AAAA" if ":" in address else "A", address) for host in hosts for address in found]
