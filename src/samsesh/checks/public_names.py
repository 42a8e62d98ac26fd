"""Every name of a public server leads to this machine, by the DNS that the world asks."""

from collections.abc import Iterable

from samsesh import names, stranger
from samsesh.clients.dns import Resolved
from samsesh.diagnosis import Patient, Result
from samsesh.stranger import Addresses

TITLE = "names lead here"
GROUPS = ("public", "preflight")
SECONDS = 20  # for a DNS that does not answer
STAYS = (
    "if a web site is at {site} and stays there: samsesh config set hosts.delegation elsewhere, and have it serve what "
    "this prints: samsesh proxy-config well-known"
)


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    found = await stranger.all_resolved(patient)
    if not found:
        return Result("ok", f"people come by the address {server.access.host('api')}, which needs no DNS")
    mode = server.settings.server.access
    # Of a network of one's own nobody knows what it makes of names; a proxy may be elsewhere.
    mild = mode == "lan" or server.access.proxied or server.settings.server.trial
    site = server.access.host("domain") if "domain" in server.access.sites() else ""
    return judged(found, stranger.addresses(server), mild=mild, lan=mode == "lan", site=site)


def judged(
    found: Iterable[Resolved], ours: Addresses, *, mild: bool = False, lan: bool = False, site: str = ""
) -> Result:
    """`site`: the server name, where it is no host of a service: it may be somebody's web site, and stay so."""
    problems, well = list[tuple[str, str]](), list[str]()
    for one in found:
        if problem := problem_of(one, ours, lan=lan):
            told, advice = problem
            if one.host == site and one.published:
                advice = f"{STAYS.format(site=site)}\nelse {advice}"
            problems.append((told, advice))
        else:
            well.append(f"{one.host} leads to {', '.join(one.published or one.here)}")
    if not problems:
        return Result("ok", "; ".join(well))
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return Result(
        "warning" if mild else "failed",
        problems[0][0] + more,
        seen="\n".join([*(told for told, _ in problems), *well]),
        advice="\n".join(dict.fromkeys(advice for _, advice in problems)),
    )


def problem_of(one: Resolved, ours: Addresses, *, lan: bool) -> tuple[str, str] | None:
    """(what is wrong with one name, what to do); None where it leads here."""
    wanted = record(one.host, ours, lan=lan)
    make = f"make this DNS record where the domain is kept: {wanted}; a new one may take an hour to be seen"
    if one.problem.startswith("the DNS does not answer") and not (lan and one.here):
        return (
            f"nobody can say where {one.host} leads: {one.problem}",
            "see whether this machine can ask its DNS",
        )
    if not one.published:
        if not one.here:
            return f"{one.host} leads nowhere: {one.problem}", make
        if lan:
            return None
        return f"only this machine knows {one.host} ({', '.join(one.here)}): {one.problem}", make
    elsewhere = [address for address in one.published if not ours.here(address)]
    if not elsewhere or (not ours.ipv6 and all(":" in address for address in elsewhere)):
        return None  # without IPv6 here, `public-ipv6` tells of it
    return (
        f"{one.host} leads to {', '.join(elsewhere)}, which is not this machine",
        f"{make}\nif a router or load balancer leads from {elsewhere[0]} to this machine, say so: "
        f"samsesh config set server.address {elsewhere[0]}",
    )


def record(host: str, ours: Addresses, *, lan: bool) -> str:
    """The record that a name wants, as zone files have it."""
    known = [address for address in ours.public() if lan or names.is_public(address)]
    found = [f"{host}. {'AAAA' if ':' in address else 'A'} {address}" for address in known]
    return (
        " and ".join(found) or f"{host}. A and the address by which the internet reaches you (your router's)"
    )
