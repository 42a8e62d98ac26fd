"""The questions of who should reach a server and under which names, and what people then have to do elsewhere."""

import socket
from functools import partial
from typing import Any

from rich.console import Console
from rich.text import Text

from samsesh import facts, names
from samsesh.access import Access
from samsesh.cli.interview import PROBLEM, Back, Interview, Step
from samsesh.cli.output import print_rows
from samsesh.ops import addresses
from samsesh.ops import setup as ops
from samsesh.ops.setup import Answers
from samsesh.settings import Settings

TITLES = {
    "local": "this machine only, as a trial",
    "lan": "the network it is in",
    "domain": "the internet, under a domain",
    "ip": "the internet, by an address",
}
_CHOICES = (
    ("local", "this machine: to try it out, under the name localhost"),
    ("lan", "my network: the people in this house or office"),
    ("domain", "the internet: anybody I invite, under a domain of mine"),
    ("ip", "the internet, without a domain: by this machine's public address"),
)
_PERMANENT = "It cannot be changed later: take the name that it should have in the end, such as example.org."
_EMAIL = "It hears of trouble with certificates. It may stay empty."
INSIDE = (
    "If your network's DNS or a hosts file gives these names this machine's own address, so that people at home find it, "
    "also name the one by which the internet reaches you: samsesh config set server.address ADDRESS"
)


def _who(interview: Interview, answers: Answers) -> Answers:
    """Who should reach it; of a server that has a name already, only what that name can be reached as."""
    before = {**answers, "server.name": interview.name} if interview.name else dict(answers)
    if not interview.settings.server.trial:
        before.pop("server.trial", None)  # an answer that was for another name
    while True:
        mode = _mode(interview, before)
        after = {**before, "server.access": mode}
        if not interview.name:
            return after
        agreed = _trial(interview, after, interview.name)
        reason = ops.problem(interview.settings, {**after, **(agreed or {"server.trial": True})})
        if not reason and agreed is not None:
            return {**after, **agreed}
        if reason:
            interview.explain(f"  {reason}", PROBLEM)


def _mode(interview: Interview, answers: Answers) -> str:
    interview.console.print("\nWho should reach this server?")
    modes = {str(number): mode for number, (mode, _) in enumerate(_CHOICES, 1)}
    for number, (_, meaning) in zip(modes, _CHOICES, strict=True):
        interview.console.print(Text(f"  {number}  {meaning}"))
    now = interview.offered(answers, "server.access")
    default = next(number for number, mode in modes.items() if mode == now)
    mode = modes[interview.line("Your choice", default, list(modes))]
    interview.typed["server.access"] = mode
    return mode


def _address(interview: Interview, answers: Answers) -> Answers | None:
    if answers["server.access"] != "ip":
        return None
    before = interview.offered(answers, "server.address")
    trial = answers.get("server.trial", interview.settings.server.trial)
    known = [
        address
        for address in (before, *facts.outward_addresses())
        if names.is_address(address) and (trial or not names.unreachable(names.in_url(address)))
    ]
    note = "Behind a router it is the router's, which its own pages tell."
    # The name is still to be asked: until then it may be any.
    passing, proposed = {**answers, "server.trial": True}, next(iter(known), "")
    while True:
        address = str(
            interview.setting(passing, "server.address", "Public address", default=proposed, note=note)
        )
        if not names.is_address(address):
            interview.explain(
                "  an address is wanted, such as '203.0.113.7'; a name is for a domain", PROBLEM
            )
        elif (agreed := _trial(interview, answers, names.in_url(address))) is not None:
            return {**answers, **agreed, "server.address": address}


def _name(interview: Interview, answers: Answers) -> Answers | None:
    if interview.name:
        return None
    mode = answers["server.access"]
    default = _proposal(interview, answers, mode)
    label = {"domain": "Domain of the server", "local": "Name of the server"}.get(mode, "Name or address")
    passing = {**answers, "server.trial": True}
    while True:
        name = interview.setting(passing, "server.name", label, default=default, note=_PERMANENT)
        if (agreed := _trial(interview, answers, name)) is not None:
            return {**answers, **agreed, "server.name": name}


def _proposal(interview: Interview, answers: Answers, mode: str) -> str:
    """A name that would be taken: what was answered before, else what this machine is called; "": there is none."""
    name = str(interview.offered(answers, "server.name"))
    if mode != "local" and name == "localhost":
        here = {"ip": names.in_url(str(answers.get("server.address", ""))), "lan": _host_name()}
        name = here.get(mode, "")
    taken = {**answers, "server.trial": True, "server.name": name}
    return "" if name and ops.problem(interview.settings, taken) else name


def _trial(interview: Interview, answers: Answers, name: str) -> dict[str, Any] | None:
    """What else is to be set so that a name or address is taken; None: it is not, since others never reach it."""
    reason = names.unreachable(name)
    trial = answers.get("server.trial", interview.settings.server.trial)
    if answers["server.access"] not in ("ip", "domain") or trial or not reason:
        return {}
    interview.explain(f"  {name} {reason}", PROBLEM)
    try:
        return {"server.trial": True} if interview.yes("Is this a trial?", False) else None
    except Back:  # to the name
        return None


def _delegation(interview: Interview, answers: Answers) -> Answers | None:
    """Who answers at the domain itself."""
    if answers["server.access"] != "domain":
        return None
    domain = names.split_name(answers.get("server.name", interview.settings.server.name))[0]
    before = interview.offered(answers, "hosts.delegation") == "elsewhere"
    interview.explain(f"\nIs there a web site at {domain} already, which stays where it is?", "")
    there = interview.yes("A web site", before)
    if there:
        interview.explain(
            "It then has to serve two small files, which this prints: samsesh proxy-config well-known", ""
        )
    interview.typed["hosts.delegation"] = "elsewhere" if there else "here"
    return {**answers, "hosts.delegation": interview.typed["hosts.delegation"]}


def _email(interview: Interview, answers: Answers) -> Answers | None:
    if answers["server.access"] not in ("domain", "ip"):
        return None
    return {**answers, "tls.email": interview.setting(answers, "tls.email", "E-mail address", note=_EMAIL)}


def steps(interview: Interview) -> list[Step]:
    return [partial(step, interview) for step in (_who, _address, _name, _delegation, _email)]


def show_records(console: Console, settings: Settings) -> None:
    """The DNS records that are wanted; nothing where none are."""
    found = addresses.records(Access(settings), facts.outward_addresses())
    if not found:
        return
    console.print(
        "\nThese records have to be in the DNS, where the domain is kept, before the server starts:"
    )
    print_rows(found, indent="  ")
    if not settings.server.address and (doubt := addresses.carrier_nat(facts.outward_addresses(), ())):
        console.print(Text(f"{doubt.summary}; {doubt.advice}"))
    if addresses.ROUTER in {row[2] for row in found}:
        console.print(Text(INSIDE))


def _host_name() -> str:
    """This machine's name if a server could have it."""
    try:
        return names.server_name(socket.gethostname().lower())
    except ValueError:
        return ""
