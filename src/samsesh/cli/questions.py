"""The questions of `samsesh setup` and of a first `samsesh up`: plain prompts, for any terminal."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from rich.console import Console
from rich.prompt import Confirm, Prompt
from rich.table import Table
from rich.text import Text

from samsesh.cli import reach
from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.ops import setup as ops
from samsesh.settings import Settings
from samsesh.settings_server import Ports

INTERRUPTED = 130
_CALLS = "Nothing of a call leaves this machine with element-call."
_ACCOUNTS = {"closed": "administrators make them", "token": "with an invitation", "open": "anybody"}
_PORTS = (
    "Ports: default takes the usual ones (8080 for the web, 8008 for apps, ...); offset shifts them all, so"
    " that several servers run side by side; one-by-one asks for each."
)

Answer = TypeVar("Answer")


def first_question(console: Console, settings: Settings, adopted: Mapping[str, Any]) -> dict[str, Any]:
    """Who should reach the server, and under which name? Returns settings by their dotted names.

    `settings`: those in force; `adopted`: what of them comes from the environment.
    """

    def ask() -> dict[str, Any]:
        answers = dict(adopted)
        if "timezone" not in settings.server.model_fields_set:
            answers["server.timezone"] = ops.machine_timezone()
        answers = reach.ask(console, settings, answers, _ask_setting)
        reach.show_records(console, ops.with_answers(settings, answers))
        return answers

    return ended_cleanly(ask)


def interview(
    console: Console, home: Home, settings: Settings, answers: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    """Ask everything until the summary is agreed to: the answers, and the administrator's password or ""."""
    console.print(Text(f"Setting up the server in {home.path}. Press Enter to take what stands in brackets."))
    while True:
        answers, password = _ask_all(console, home, settings, answers)
        _summary(console, home, settings, answers, password)
        choice = Prompt.ask(
            "Write these settings?", console=console, choices=["yes", "again", "quit"], default="yes"
        )
        if choice == "quit":
            raise SamseshError(
                "setup was left; nothing was written", "run `samsesh setup` when you are ready"
            )
        if choice == "yes":
            return answers, password


def _ask_all(
    console: Console, home: Home, settings: Settings, answers: dict[str, Any]
) -> tuple[dict[str, Any], str]:
    def ask(setting: str, label: str, choices: tuple[str, ...] = (), note: str = "") -> None:
        nonlocal answers
        section, name = setting.split(".")
        default = getattr(getattr(ops.with_answers(settings, answers), section), name)
        answers = _ask_setting(console, settings, answers, setting, label, default, choices, note)

    password = ""
    name = ""
    if home.started:
        name = home.state()["server_name"]
        console.print(Text(f"\nServer name: {name}, which stays: it is part of every user ID.", style="bold"))
    answers = reach.ask(console, settings, answers, _ask_setting, name)
    if ops.may_make_admin(home):
        ask("admin.name", "User name of the administrator")
        password = _ask_password(console, ops.with_answers(settings, answers))
    ask("registration.mode", "Who may make an account", ("closed", "token", "open"))
    ask("server.timezone", "Time zone")
    ask("calls.provider", "Video calls", ("element-call", "jitsi", "off"), note=_CALLS)
    if ops.with_answers(settings, answers).calls.provider == "jitsi":
        ask("calls.jitsi_domain", "Domain of the Jitsi server")
    return _ask_ports(console, settings, answers), password


def _ask_setting(
    console: Console,
    settings: Settings,
    answers: dict[str, Any],
    setting: str,
    label: str,
    default: Any,
    choices: tuple[str, ...] = (),
    note: str = "",
) -> dict[str, Any]:
    """Ask for one setting until the settings model takes it; the answers with it."""
    console.print(Text(f"\n{ops.describe(setting)} {note}".rstrip(), style="dim"))
    while True:
        text = _prompt(console, label, default, choices)
        value: Any = int(text) if isinstance(default, int) and text.isascii() and text.isdigit() else text
        reason = ops.problem(settings, {**answers, setting: value})
        if not reason:
            return {**answers, setting: value}
        console.print(Text(f"  {reason}", style="red"))


def _ask_ports(console: Console, settings: Settings, answers: dict[str, Any]) -> dict[str, Any]:
    ports = ops.with_answers(settings, answers).ports
    now = "one-by-one" if ports.model_fields_set - {"offset"} else "offset" if ports.offset else "default"
    console.print(Text(f"\n{_PORTS}", style="dim"))
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


def _ask_password(console: Console, settings: Settings) -> str:
    """A password typed twice and never shown, or "" where one is to be generated."""
    console.print(
        Text(
            "\nPassword of the administrator. Press Enter to have one made: it is shown at the first start.",
            style="dim",
        )
    )
    while True:
        password = Prompt.ask("Password", console=console, password=True, default="", show_default=False)
        if not password:
            return ""
        reason = ops.password_problem(password, settings)
        if not reason and Prompt.ask("The same again", console=console, password=True) != password:
            reason = "these were two different passwords"
        if not reason:
            return password
        console.print(Text(f"  {reason}", style="red"))


def _prompt(console: Console, label: str, default: Any, choices: tuple[str, ...] = ()) -> str:
    shown = str(default) or ...
    given = Prompt.ask(Text(label), console=console, default=shown, choices=list(choices) or None)
    return str(given).strip()


def _summary(
    console: Console, home: Home, settings: Settings, answers: dict[str, Any], password: str
) -> None:
    chosen = ops.with_answers(settings, answers)
    jitsi = f", on {chosen.calls.jitsi_domain}" if chosen.calls.provider == "jitsi" else ""
    rows = {
        "Server name": chosen.server.name,
        "Reached by": reach.TITLES[chosen.server.access],
        "Administrator": f"@{chosen.admin.name}:{chosen.server.name}",
        "Accounts": _ACCOUNTS[chosen.registration.mode],
        "Time zone": chosen.server.timezone,
        "Video calls": chosen.calls.provider + jitsi,
        "Ports": ", ".join(f"{name} {chosen.ports.of(name)}" for name in _ports_that_count(chosen)),
        "Settings file": str(home.settings_file),
    }
    if ops.may_make_admin(home):
        rows["Administrator"] += ", with your password" if password else ", with a password that is made"
    table = Table(show_header=False)
    for name, value in rows.items():
        table.add_row(name, Text(value))
    console.print()
    console.print(table)
    reach.show_records(console, chosen)


def _ports_that_count(settings: Settings) -> tuple[str, ...]:
    """Those by which people come; behind a web server, those that it asks."""
    if settings.server.access == "domain" and settings.tls.mode != "proxy":
        return ("http", "https", "federation")
    return ("web", "api", "admin", "call")


def start_now(console: Console) -> bool:
    """The offer at the end, when everything is written."""
    question = "Start the server now?"
    return ended_cleanly(lambda: Confirm.ask(question, console=console, default=True), kept=True)


def ended_cleanly(ask: Callable[[], Answer], *, kept: bool = False) -> Answer:
    """Ctrl-C and the end of input are answers too."""
    written = "the settings were written, the server was not started" if kept else "nothing was written"
    try:
        return ask()
    except KeyboardInterrupt:
        raise SamseshError(f"setup was interrupted; {written}", code=INTERRUPTED) from None
    except EOFError:
        raise SamseshError(
            f"setup came to the end of its input; {written}", "run it in a terminal, or add --yes"
        ) from None
