"""`samsesh setup`: the questions. Plain prompts, so that any terminal will do."""

import os
import socket
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.prompt import Confirm, Prompt
from rich.table import Table
from rich.text import Text

from samsesh.errors import SamseshError, SettingsError
from samsesh.home import Home

if TYPE_CHECKING:  # pydantic takes long to import; --help need not wait for it
    from rich.console import Console

    from samsesh.settings import Settings

INTERRUPTED = 130
NOT_YET_PUBLIC = (
    "Certificates and publishing come with a later version. Until then the server answers on this machine only;"
    " from another one, reach it with: ssh -L 8080:localhost:8080 -L 8008:localhost:8008 YOU@THIS-MACHINE"
)


class Registration(StrEnum):
    closed = "closed"
    token = "token"  # noqa: S105 - a mode's name
    open = "open"


class Provider(StrEnum):
    element_call = "element-call"
    jitsi = "jitsi"
    off = "off"


def setup(
    ctx: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take the options and the defaults.")] = False,
    server_name: Annotated[str | None, typer.Option(help="The Matrix server name, such as example.org.")] = None,
    admin: Annotated[str | None, typer.Option(help="User name of the first administrator.")] = None,
    admin_password_stdin: Annotated[
        bool, typer.Option("--admin-password-stdin", help="Read the administrator's password from standard input.")
    ] = False,
    timezone: Annotated[str | None, typer.Option(help="Time zone, such as Europe/Berlin.")] = None,
    registration: Annotated[Registration | None, typer.Option(help="Who may make an account.")] = None,
    calls: Annotated[Provider | None, typer.Option(help="Where video calls take place.")] = None,
    jitsi_domain: Annotated[str | None, typer.Option(help="The Jitsi server, with --calls jitsi.")] = None,
    port_offset: Annotated[int | None, typer.Option(help="Shift every default port by so much.")] = None,
    start: Annotated[bool | None, typer.Option("--start/--no-start", help="Start everything at the end.")] = None,
) -> None:
    """Ask what the server should be like, write it down, and start it. Run it again to change an answer.

    Examples: `samsesh setup`, `samsesh setup --yes --server-name example.org --registration closed --start`.
    """
    from samsesh.cli.output import console, say
    from samsesh.load import load
    from samsesh.ops import setup as ops

    home: Home = ctx.obj
    given = {
        "server.name": server_name,
        "admin.name": admin,
        "server.timezone": timezone,
        "registration.mode": registration and registration.value,
        "calls.provider": calls and calls.value,
        "calls.jitsi_domain": jitsi_domain,
        "ports.offset": port_offset,
    }
    flags = {setting: value for setting, value in given.items() if value is not None}
    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SettingsError(
            "setup asks questions, and there is no terminal to ask them on", "run it in a terminal, or add --yes"
        )
    if admin_password_stdin and not yes:
        raise SettingsError("--admin-password-stdin works with --yes only", "leave it away: setup asks for the password")
    home.check_format()
    ops.check_name(home, flags)
    loaded = load(home, os.environ, flags=flags, adopt=True)
    settings = loaded.settings
    answers = {**loaded.adopted, **flags}
    if "timezone" not in settings.server.model_fields_set:
        answers["server.timezone"] = ops.machine_timezone()
        settings = ops.with_answers(settings, answers)
    password = ""
    if admin_password_stdin:
        password = _password_from_stdin(home, settings)
    if not yes:
        answers, password = _ended_cleanly(lambda: _interview(console, home, settings, answers))
    ops.keep(home, answers, password, say)
    console.print(Text(f"The settings are in {home.settings_file}."))
    if start is None and not yes:
        start = _ended_cleanly(lambda: Confirm.ask("Start the server now?", console=console, default=True), kept=True)
    if start:
        from samsesh.cli.up import run_up

        run_up(home, yes=True)
    else:
        console.print("Start the server with: samsesh up")


def first_question(home: Home, console: "Console") -> dict[str, Any]:
    """The one question of `up` on a terminal without settings: who should reach the server, under which name?"""
    from samsesh.ops.setup import machine_timezone
    from samsesh.settings import Settings

    settings = Settings()
    answers: dict[str, Any] = {"server.timezone": machine_timezone()}

    def ask() -> dict[str, Any]:
        console.print("Who should reach this server?")
        console.print("  1  this machine: to try it out, under the name localhost")
        console.print("  2  my network: the people in this house or office")
        console.print("  3  the internet: anybody I invite, under a domain of mine")
        reach = Prompt.ask("Your choice", console=console, choices=["1", "2", "3"], default="1")
        if reach == "1":
            return answers
        console.print(Text(NOT_YET_PUBLIC, style="yellow"))
        name = _host_name() if reach == "2" else ""
        return _ask_setting(console, settings, answers, "server.name", "Name of the server", name, note=_PERMANENT)

    return _ended_cleanly(ask)


_PERMANENT = "It cannot be changed later, so take the name that it should have in the end, such as example.org."


def _interview(
    console: "Console", home: Home, settings: "Settings", answers: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """Ask everything until the summary is agreed to. Returns the answers and the administrator's password, or ""."""
    console.print(Text(f"Setting up the server in {home.path}. Press Enter to take what stands in brackets."))
    while True:
        answers, password = _ask_all(console, home, settings, answers)
        _summary(console, home, settings, answers, password)
        choice = Prompt.ask("Write these settings?", console=console, choices=["yes", "again", "quit"], default="yes")
        if choice == "quit":
            raise SamseshError("setup was left; nothing was written", "run `samsesh setup` when you are ready")
        if choice == "yes":
            return answers, password


def _ask_all(
    console: "Console", home: Home, settings: "Settings", answers: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    from samsesh.ops import setup as ops

    def ask(setting: str, label: str, choices: tuple[str, ...] = (), note: str = "") -> None:
        nonlocal answers
        section, name = setting.split(".")
        default = getattr(getattr(ops.with_answers(settings, answers), section), name)
        answers = _ask_setting(console, settings, answers, setting, label, default, choices, note)

    password = ""
    if home.started:
        name = home.state()["server_name"]
        console.print(Text(f"\nServer name: {name}, which stays: it is part of every user ID.", style="bold"))
    else:
        ask("server.name", "Address or domain of the server", note=_PERMANENT)
        if answers["server.name"] != "localhost":
            console.print(Text(NOT_YET_PUBLIC, style="yellow"))
    if ops.may_make_admin(home):
        ask("admin.name", "User name of the administrator")
        password = _ask_password(console, ops.with_answers(settings, answers))
    ask("registration.mode", "Who may make an account", ("closed", "token", "open"))
    ask("server.timezone", "Time zone")
    ask("calls.provider", "Video calls", ("element-call", "jitsi", "off"))
    if ops.with_answers(settings, answers).calls.provider == "jitsi":
        ask("calls.jitsi_domain", "Domain of the Jitsi server")
    return _ask_ports(console, settings, answers), password


def _ask_setting(
    console: "Console",
    settings: "Settings",
    answers: dict[str, Any],
    setting: str,
    label: str,
    default: Any,
    choices: tuple[str, ...] = (),
    note: str = "",
) -> dict[str, Any]:
    """Ask for one setting until the settings model takes it; the answers with it."""
    from samsesh.ops.setup import describe, problem

    console.print(Text(f"\n{describe(setting)} {note}".rstrip(), style="dim"))
    while True:
        text = _prompt(console, label, default, choices)
        value: Any = int(text) if isinstance(default, int) and text.isascii() and text.isdigit() else text
        reason = problem(settings, {**answers, setting: value})
        if not reason:
            return {**answers, setting: value}
        console.print(Text(f"  {reason}", style="red"))


def _ask_ports(console: "Console", settings: "Settings", answers: dict[str, Any]) -> dict[str, Any]:
    from samsesh.ops import setup as ops
    from samsesh.settings import Ports

    ports = ops.with_answers(settings, answers).ports
    now = "one-by-one" if ports.model_fields_set - {"offset"} else "offset" if ports.offset else "default"
    console.print(
        Text(
            "\nPorts: default takes the usual ones (8080 for the web, 8008 for apps, ...); offset shifts them all,"
            " so that several servers run side by side; one-by-one asks for each.",
            style="dim",
        )
    )
    choice = _prompt(console, "Ports", now, ("default", "offset", "one-by-one"))
    if choice == "default":
        return {**answers, **ops.ports_answers(ports, 0)}
    if choice == "offset":
        others = {setting: value for setting, value in answers.items() if not setting.startswith("ports.")}
        unmoved = settings.model_copy(update={"ports": Ports()})
        asked = _ask_setting(console, unmoved, others, "ports.offset", "Offset", ports.offset or 1000)
        return {**asked, **ops.ports_answers(ports, asked["ports.offset"])}
    for name in (*Ports.numbers(), "turn_relay"):
        default = "{}-{}".format(*ports.relay()) if name == "turn_relay" else ports.of(name)
        asked = _ask_setting(console, settings, answers, f"ports.{name}", name, default)
        if asked[f"ports.{name}"] != default:
            answers = asked
    return answers


def _ask_password(console: "Console", settings: "Settings") -> str:
    """A password typed twice and never shown, or "" where one is to be generated."""
    from samsesh.ops.setup import password_problem

    console.print(
        Text("\nPassword of the administrator. Press Enter to have one made: it is shown at the first start.", style="dim")
    )
    while True:
        password = Prompt.ask("Password", console=console, password=True, default="", show_default=False)
        if not password:
            return ""
        reason = password_problem(password, settings)
        if not reason and Prompt.ask("The same again", console=console, password=True) != password:
            reason = "these were two different passwords"
        if not reason:
            return password
        console.print(Text(f"  {reason}", style="red"))


def _password_from_stdin(home: Home, settings: "Settings") -> str:
    from samsesh.ops.setup import may_make_admin, password_problem

    if not may_make_admin(home):
        raise SettingsError("the first administrator is already there", "use `samsesh user password NAME`")
    password = sys.stdin.readline().rstrip("\r\n")
    if reason := password_problem(password, settings):
        raise SettingsError(f"standard input: {reason}")
    return password


def _prompt(console: "Console", label: str, default: Any, choices: tuple[str, ...] = ()) -> str:
    shown = str(default) or ...
    given = Prompt.ask(Text(label), console=console, default=shown, choices=list(choices) or None)
    return str(given).strip()


def _summary(console: "Console", home: Home, settings: "Settings", answers: dict[str, Any], password: str) -> None:
    from samsesh.ops import setup as ops

    chosen = ops.with_answers(settings, answers)
    ports = chosen.ports
    calls = f"jitsi, on {chosen.calls.jitsi_domain}" if chosen.calls.provider == "jitsi" else chosen.calls.provider
    rows = {
        "Server name": chosen.server.name,
        "Administrator": f"@{chosen.admin.name}:{chosen.server.name}",
        "Accounts": {"closed": "administrators make them", "token": "with an invitation", "open": "open to anybody"}[
            chosen.registration.mode
        ],
        "Time zone": chosen.server.timezone,
        "Video calls": calls,
        "Ports": f"web {ports.of('web')}, apps {ports.of('api')}, admin {ports.of('admin')}, calls {ports.of('call')}",
        "Settings file": str(home.settings_file),
    }
    if ops.may_make_admin(home):
        rows["Administrator"] += ", with your password" if password else ", with a password that is made"
    table = Table(show_header=False)
    for name, value in rows.items():
        table.add_row(name, Text(value))
    console.print()
    console.print(table)


def _host_name() -> str:
    """This machine's name if a server could have it."""
    from samsesh import names

    try:
        return names.server_name(socket.gethostname().lower())
    except ValueError:
        return ""


Answer = TypeVar("Answer")


def _ended_cleanly(ask: Callable[[], Answer], *, kept: bool = False) -> Answer:
    """Ctrl-C and the end of input are answers too."""
    written = "the settings were written, the server was not started" if kept else "nothing was written"
    try:
        return ask()
    except KeyboardInterrupt:
        raise SamseshError(f"setup was interrupted; {written}", code=INTERRUPTED) from None
    except EOFError:
        raise SamseshError(f"setup came to the end of its input; {written}", "run it in a terminal, or add --yes") from None
