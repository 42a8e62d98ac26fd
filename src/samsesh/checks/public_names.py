"""Every name of a public server leads to this machine, by the DNS that the world asks."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from samsesh import names, stranger
from samsesh.clients.dns import Resolved
from samsesh.diagnosis import Patient, Result
from samsesh.ops.addresses import behind_cdn, set_address
from samsesh.stranger import Addresses

TITLE = "names lead here"
GROUPS = ("public", "preflight")
SECONDS = 20  # for a DNS that does not answer
STAYS = (
    "if a web site is at {site} and stays there: samsesh config set hosts.delegation elsewhere, and have it serve what "
    "this prints: samsesh proxy-config well-known"
)


@dataclass(frozen=True)
class Problem:
    """What is wrong with one name, and what to do. A grave one stops a start."""

    summary: str
    advice: str
    grave: bool = True


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    resolved = await stranger.all_resolved(patient)
    ours = await stranger.addresses(patient)
    if not resolved:
        if ours.doubt:
            return Result("warning", ours.doubt.summary, advice=ours.doubt.advice)
        return Result("ok", f"people come by the address {server.access.host('api')}, which needs no DNS")
    lan, trial = server.settings.server.access == "lan", server.settings.server.trial
    # Of a network of one's own nobody knows what it makes of names; a proxy may be elsewhere.
    mild = lan or server.access.proxied or trial
    site = server.access.host("domain") if "domain" in server.access.sites() else ""
    cdns = await stranger.cdns(patient, [one.host for one in resolved])
    return judged(resolved, ours, mild=mild, lan=lan, private=lan or trial, site=site, cdns=cdns)


def judged(
    resolved: Iterable[Resolved],
    ours: Addresses,
    *,
    mild: bool = False,
    lan: bool = False,
    private: bool = False,
    site: str = "",
    cdns: Mapping[str, str] | None = None,
) -> Result:
    """`private`: whether addresses of a private network will do. `cdns`: host -> the CDN that it leads to.

    `site`: the server name, where it is no host of a service: it may be somebody's web site, and stay so.
    """
    problems, well = list[Problem](), list[str]()
    for one in resolved:
        problem = problem_of(one, ours, lan=lan, cdn=(cdns or {}).get(one.host, ""))
        if not problem and not private:
            problem = only_inside(one, ours)
        if problem and problem.grave and one.host == site and one.published:
            problem = replace(problem, advice=f"{STAYS.format(site=site)}\nelse {problem.advice}")
        if problem:
            problems.append(problem)
        else:
            well.append(f"{one.host} leads to {', '.join(one.published or one.here)}")
    if not problems:
        return Result("ok", "; ".join(well))
    problems.sort(key=lambda problem: not problem.grave)
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return Result(
        "failed" if problems[0].grave and not mild else "warning",
        problems[0].summary + more,
        seen="\n".join([*(problem.summary for problem in problems), *well]),
        advice="\n".join(dict.fromkeys(problem.advice for problem in problems)),
    )


def problem_of(one: Resolved, ours: Addresses, *, lan: bool, cdn: str = "") -> Problem | None:
    """What is wrong with one name; None where it leads here, as far as its DNS says."""
    wanted = record(one.host, ours, lan=lan)
    make = f"make this DNS record where the domain is kept: {wanted}; a new one may take an hour to be seen"
    if one.problem.startswith("the DNS does not answer") and not (lan and one.here):
        return Problem(
            f"nobody can say where {one.host} leads: {one.problem}",
            "see whether this machine can ask its DNS",
        )
    if not one.published:
        if not one.here:
            return Problem(f"{one.host} leads nowhere: {one.problem}", make)
        if lan:
            return None
        return Problem(f"only this machine knows {one.host} ({', '.join(one.here)}): {one.problem}", make)
    if cdn and not ours.doubt:
        return None  # calls have an address of their own, and the web may stay there
    if cdn:
        mine = [address for address in ours.own if names.is_public(address)]
        doubt = behind_cdn(one.host, one.published, cdn, mine)
        return Problem(doubt.summary, doubt.advice, grave=False)
    elsewhere = [address for address in one.published if not ours.here(address)]
    if not elsewhere or (not ours.ipv6 and all(":" in address for address in elsewhere)):
        return None  # without IPv6 here, `public-ipv6` tells of it
    return Problem(
        f"{one.host} leads to {', '.join(elsewhere)}, which is not this machine",
        f"{make}\nif a router or load balancer leads from {elsewhere[0]} to this machine, say so: "
        f"samsesh config set server.address {elsewhere[0]}",
    )


def only_inside(one: Resolved, ours: Addresses) -> Problem | None:
    """Of a name for which this network's DNS has private addresses alone, the world's may say anything."""
    if not one.published or any(map(names.is_public, one.published)):
        return None
    world = [address for address in ours.public() if names.is_public(address)]
    return Problem(
        f"{one.host} leads to {', '.join(one.published)} in this network: where the internet is led, only others see",
        f"from outside, such as a phone without Wi-Fi, these names must lead to {', '.join(world)}"
        if world
        else f"name the address by which the internet reaches this server: {set_address('')}",
        grave=False,
    )


def record(host: str, ours: Addresses, *, lan: bool) -> str:
    """The record that a name wants, as zone files have it."""
    known = [address for address in ours.public() if lan or names.is_public(address)]
    rows = [f"{host}. {'AAAA' if ':' in address else 'A'} {address}" for address in known]
    return (
        " and ".join(rows) or f"{host}. A and the address by which the internet reaches you (your router's)"
    )
