"""The questions of who should reach a server and under which names, and what people then have to do elsewhere."""

import socket
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.prompt import Confirm, Prompt
from rich.text import Text

from samsesh import facts, names
from samsesh.access import Access
from samsesh.cli.output import print_rows
from samsesh.ops import addresses
from samsesh.ops import setup as ops
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
Ask = Callable[..., dict[str, Any]]


def ask(
    console: Console, settings: Settings, answers: dict[str, Any], ask_setting: Ask, name: str = ""
) -> dict[str, Any]:
    """Who, under which name, and what certificates and DNS need. `name`: that of a server which has one already."""
    mode = _mode(console, settings, answers)
    answers = {**answers, "server.access": mode}
    if not settings.server.trial:
        answers.pop("server.trial", None)  # an answer that was for another name
    if name:
        answers["server.name"] = name
    if mode == "ip":
        answers = _address(console, settings, answers, ask_setting)
    if not name:
        default = _name(settings, answers, mode)
        label = {"domain": "Domain of the server", "local": "Name of the server"}.get(mode, "Name or address")
        passing = {**answers, "server.trial": True}
        agreed = None
        while agreed is None:
            asked = ask_setting(console, settings, passing, "server.name", label, default, note=_PERMANENT)
            agreed = _trial(console, settings, answers, asked["server.name"])
        answers = {**answers, **agreed, "server.name": asked["server.name"]}
    else:
        agreed = _trial(console, settings, answers, name)
        reason = ops.problem(settings, {**answers, **(agreed or {"server.trial": True})})
        if reason:
            console.print(Text(f"  {reason}", style="red"))
        if reason or agreed is None:
            return ask(console, settings, {**answers, "server.access": "local"}, ask_setting, name)
        answers |= agreed
    if mode == "domain":
        answers = {**answers, **_delegation(console, settings, answers)}
    if mode in ("domain", "ip"):
        kept = answers.get("tls.email", settings.tls.email)
        answers = ask_setting(console, settings, answers, "tls.email", "E-mail address", kept, note=_EMAIL)
    return answers


def _mode(console: Console, settings: Settings, answers: dict[str, Any]) -> str:
    now = answers.get("server.access", settings.server.access)
    console.print("\nWho should reach this server?")
    for number, (_, told) in enumerate(_CHOICES, 1):
        console.print(Text(f"  {number}  {told}"))
    usual = str([mode for mode, _ in _CHOICES].index(now) + 1)
    given = Prompt.ask("Your choice", console=console, choices=["1", "2", "3", "4"], default=usual)
    return _CHOICES[int(given) - 1][0]


def _name(settings: Settings, answers: dict[str, Any], mode: str) -> str:
    """A proposal that would be taken: what was answered before, else what this machine is called; "": there is none."""
    proposed = _proposal(settings, answers, mode)
    taken = {**answers, "server.trial": True, "server.name": proposed}
    return "" if proposed and ops.problem(settings, taken) else proposed


def _proposal(settings: Settings, answers: dict[str, Any], mode: str) -> str:
    before = str(answers.get("server.name", settings.server.name))
    if mode == "local" or before != "localhost":
        return before
    if mode == "ip":
        return names.in_url(str(answers["server.address"]))
    return _host_name() if mode == "lan" else ""


def _trial(console: Console, settings: Settings, answers: dict[str, Any], name: str) -> dict[str, Any] | None:
    """What else is to be set so that a name or address is taken; None: it is not, since others never reach it."""
    reason = names.unreachable(name)
    trial = answers.get("server.trial", settings.server.trial)
    if answers["server.access"] not in ("ip", "domain") or trial or not reason:
        return {}
    console.print(Text(f"  {name} {reason}", style="red"))
    return {"server.trial": True} if Confirm.ask("Is this a trial?", console=console, default=False) else None


def _address(
    console: Console, settings: Settings, answers: dict[str, Any], ask_setting: Ask
) -> dict[str, Any]:
    before = answers.get("server.address", settings.server.address)
    trial = answers.get("server.trial", settings.server.trial)
    known = [
        address
        for address in (before, *facts.outward_addresses())
        if names.is_address(address) and (trial or not names.unreachable(names.in_url(address)))
    ]
    note = "Behind a router it is the router's, which its own pages tell."
    # The name is still to be asked: until then it may be any.
    passing, proposed = {**answers, "server.trial": True}, next(iter(known), "")
    while True:
        asked = ask_setting(
            console, settings, passing, "server.address", "Public address", proposed, note=note
        )
        if not names.is_address(found := str(asked["server.address"])):
            told = "  an address is wanted, such as '203.0.113.7'; a name is for a domain"
            console.print(Text(told, style="red"))
        elif (agreed := _trial(console, settings, answers, names.in_url(found))) is not None:
            return {**answers, **agreed, "server.address": found}


def _delegation(console: Console, settings: Settings, answers: dict[str, Any]) -> dict[str, Any]:
    """Who answers at the domain itself."""
    domain = names.split_name(answers.get("server.name", settings.server.name))[0]
    before = answers.get("hosts.delegation", settings.hosts.delegation) == "elsewhere"
    question = f"Is there a web site at {domain} already, which stays where it is?"
    there = Confirm.ask(Text(f"\n{question}"), console=console, default=before)
    if there:
        console.print(
            Text("It then has to serve two small files, which this prints: samsesh proxy-config well-known")
        )
    return {"hosts.delegation": "elsewhere" if there else "here"}


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
