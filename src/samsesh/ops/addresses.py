"""The addresses by which others reach this server: those of this machine, or behind NAT the ones its name leads to.

Found by `up` and kept in the home's state, so that a plan is the same until the next `up`. Nobody on the internet is
asked "what is my address".
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from samsesh import names, networks
from samsesh.access import LOCAL, Access
from samsesh.clients import dns
from samsesh.facts import Facts, own_address
from samsesh.home import Home
from samsesh.settings import Settings

ROUTER = "the address by which the internet reaches you"
LOOK_SECONDS = 2.0  # for who only wants to know how the server is
KEPT = "addresses"  # in the home's state: {"for": ..., "found": [...]}


@dataclass(frozen=True)
class Doubt:
    """Why people's sound and video may not reach the addresses that were found, and what to do."""

    summary: str
    advice: str


@dataclass(frozen=True)
class Found:
    """Addresses, one of a family at most, IPv4 first; `own`: whether this machine has them all."""

    addresses: tuple[str, ...]
    own: bool
    doubt: Doubt | None = None


def public_host(settings: Settings, own: tuple[str, ...]) -> str:
    """The host whose addresses are this server's; "" where they are this machine's own."""
    if settings.server.access not in ("ip", "domain"):
        return ""
    if settings.server.address:
        return settings.server.address
    if settings.server.access == "domain":
        return Access(settings, own).host("api")
    return names.split_name(settings.server.name)[0]


def find(
    settings: Settings, facts: Facts, known: tuple[str, ...] = (), resolve: dns.Resolve = dns.resolve
) -> Found:
    """Look now. `facts`: with this machine's own addresses; `known`: what was found before.

    A name that leads nowhere yet counts as ours. Neither a private address, as the DNS at home may give, nor a CDN's
    takes the place of a public one that is known.
    """
    host = public_host(settings, facts.addresses)
    if not host or host == "localhost":
        return Found(facts.addresses, own=True)
    answer = resolve(host)
    led = [
        one for one in answer.published or answer.here if not networks.within(one, "127.0.0.0/8", "::1/128")
    ]
    if names.is_address(host):  # the other family is this machine's own, where it has it
        return _chosen([*led, *facts.addresses], _given_doubt(settings, host, facts))
    public = [one for one in known if _reachable(one)]
    if led and answer.problem:  # the DNS did not answer for one family
        led += [one for one in public if not _same_family(one, led)]
    if not led:
        return _chosen(public or list(facts.addresses), carrier_nat(facts.addresses, public))
    mine = [one for one in facts.addresses if names.is_public(one)]
    fit = [one for one in led if settings.server.trial or _reachable(one)]
    fit = [one for one in fit if own_address(one) or not _same_family(one, mine)]
    if set(led) == set(fit):
        return _chosen(led, carrier_nat(facts.addresses, led))
    inner = [one for one in led if not networks.within(one, *networks.CLOUDFLARE)]
    addresses = one_of_a_family([*fit, *mine, *public, *inner, *facts.addresses])
    doubt = carrier_nat(facts.addresses, addresses) or _doubt(host, led, addresses, mine)
    return replace(_chosen(list(addresses)), doubt=doubt)


def _chosen(addresses: list[str], doubt: Doubt | None = None) -> Found:
    chosen = one_of_a_family(addresses)
    return Found(chosen, all(map(own_address, chosen)), doubt)


def _reachable(address: str) -> bool:
    """Whether media sent there over the internet can come to this server."""
    return names.is_public(address) and not networks.within(address, *networks.CLOUDFLARE)


def _same_family(address: str, others: Iterable[str]) -> bool:
    return any((":" in address) == (":" in other) for other in others)


def _doubt(host: str, led: list[str], addresses: tuple[str, ...], mine: list[str]) -> Doubt | None:
    """`led`: where the DNS leads `host`; `addresses`: those that were chosen; `mine`: this machine's public ones."""
    if any(networks.within(one, *networks.CLOUDFLARE) for one in led):
        return behind_cdn(host, led, "Cloudflare", mine)
    if inner := [one for one in led if not names.is_public(one)]:
        if all(_same_family(one, mine) for one in inner):
            return None  # where people come to is certain all the same
        public = [one for one in addresses if names.is_public(one)]
        missing = [one for one in inner if not _same_family(one, public)]
        effect = (
            "calls with people elsewhere cannot work well"
            if missing
            else f"people are still told {', '.join(public)}"
        )
        return Doubt(
            f"the DNS that this machine asks leads {host} to {', '.join(inner)}, which only this network reaches: "
            f"{effect}",
            "name the address by which the internet reaches this server, or a name that always leads to it: "
            f"{set_address('' if missing else public[0])}",
        )
    away = ", ".join(one for one in led if not own_address(one))
    return Doubt(
        f"{host} leads to {away}, and this machine has a public address of its own, by which its calls go: "
        f"{', '.join(mine)}",
        f"if that is right, keep it: {set_address(mine[0])}; if all comes by {away}: "
        f"{set_address(away.partition(',')[0])}",
    )


def set_address(address: str) -> str:
    """The commands that name the server's public address; "": people know it, and we do not."""
    return f"samsesh config set server.address {address or 'ADDRESS'}, samsesh up"


def behind_cdn(host: str, led: Iterable[str], cdn: str, mine: Iterable[str]) -> Doubt:
    """`led`: addresses of the CDN; `mine`: this machine's public ones, if it has any."""
    own = next(iter(mine), "")
    return Doubt(
        f"{host} leads to {cdn} ({', '.join(led)}), which passes web pages on, and neither LiveKit's ports nor TURN's: "
        "sound and video have to reach this server itself",
        f"name the address by which the internet reaches it: {set_address(own)}; and make a DNS record for TURN that "
        f"{cdn} does not stand before ('DNS only'): samsesh config set turn.host turn.EXAMPLE.ORG, samsesh up",
    )


def _given_doubt(settings: Settings, address: str, facts: Facts) -> Doubt | None:
    """What is wrong with an address that the settings name."""
    if not settings.server.trial and networks.within(address, *networks.CLOUDFLARE):
        return behind_cdn("server.address", [address], "Cloudflare", filter(names.is_public, facts.addresses))
    return carrier_nat((address,), (address,))


def carrier_nat(own: Iterable[str], public: Iterable[str]) -> Doubt | None:
    """A provider's NAT, as far as it shows: `own` addresses on the way out, or where the name leads, are within it.

    `public`: addresses by which others are to reach this server.
    """
    public = tuple(public)
    if public and all(":" in one for one in public):
        return None
    shared = next((one for one in (*own, *public) if networks.within(one, networks.CARRIER)), "")
    if not shared:
        return None
    v6 = next((one for one in own if ":" in one and names.is_public(one)), "")
    come = f", with AAAA records to {v6} alone" if v6 else ", once this machine has that"
    return Doubt(
        f"the IPv4 address {shared} is within the provider's own network (carrier-grade NAT): whatever the router leads "
        "to this machine, nobody reaches it from the internet by IPv4",
        "ways out: ask the provider for a public IPv4 address; "
        f"or be reached by IPv6{come}, by those who have it; "
        "or take a small server with a public address that leads these ports here through a tunnel, such as WireGuard "
        f"(samsesh ports), and name its address: {set_address('')}",
    )


def one_of_a_family(addresses: Iterable[str]) -> tuple[str, ...]:
    """The first IPv4 and the first IPv6 address."""
    every = list(addresses)
    first = [next((one for one in every if (":" in one) == v6), "") for v6 in (False, True)]
    return tuple(filter(None, first))


def settle(home: Home, settings: Settings, facts: Facts, resolve: dns.Resolve = dns.resolve) -> str:
    """Find and remember them, for what is planned from now on; what has changed, and what is in doubt, for people."""
    if settings.server.access == "local":
        if KEPT in home.state():
            home.remember(**{KEPT: None})
        return ""
    before = kept(home, settings)
    found = find(settings, facts, before, resolve)
    told = [f"{found.doubt.summary}; {found.doubt.advice}"] if found.doubt else []
    if before != found.addresses:
        home.remember(**{KEPT: {"for": _key(settings), "found": list(found.addresses)}})
        now = ", ".join(found.addresses) or "none"
        changed = f"the address of this server was {', '.join(before)}, and is {now} now"
        nat = f"this machine is behind NAT: others reach it at {now}"
        told = [*([changed] if before else []), *([] if found.own else [nat]), *told]
    return "; ".join(told)


def changed(home: Home, settings: Settings, facts: Facts, resolve: dns.Resolve = dns.resolve) -> str:
    """Whether it is another one now than apps are told, in a sentence; "" where it is not, or cannot be seen soon."""
    before = kept(home, settings)
    if not before:
        return ""
    now = dns.in_time(LOOK_SECONDS, lambda: find(settings, facts, before, resolve).addresses)
    if now is None or now == before:
        return ""
    return (
        f"The address of this server is {', '.join(now) or 'none'} now, and apps are told {', '.join(before)}: calls go "
        "to the old one. Take the new one: samsesh up"
    )


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
