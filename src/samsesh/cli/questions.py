"""The questions of `samsesh setup` and of a first `samsesh up`: plain prompts, for any terminal."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from rich.console import Console
from rich.prompt import Confirm

from samsesh.cli import interview, reach
from samsesh.cli.interview import PROBLEM, Interview, Step
from samsesh.cli.output import print_rows
from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.ops import setup as ops
from samsesh.ops.setup import Answers
from samsesh.settings import Settings
from samsesh.settings_server import Ports

INTERRUPTED = 130
_CALLS = "Nothing of a call leaves this machine with element-call."
_ACCOUNTS = {"closed": "administrators make them", "token": "with an invitation", "open": "anybody"}
_PORTS = (
    "Ports: default takes the usual ones (8080 for the web, 8008 for apps, ...); offset shifts them all, so"
    " that several servers run side by side; one-by-one asks for each."
)
_ADMIN = "Password of the administrator. Press Enter to have one generated: it is shown at the first start."

Answer = TypeVar("Answer")


def first_question(console: Console, settings: Settings, adopted: Mapping[str, Any]) -> Answers:
    """Who should reach the server, and under which name? Returns settings by their dotted names.

    `settings`: those in force; `adopted`: what of them comes from the environment.
    """

    def ask() -> Answers:
        answers = dict(adopted)
        if "timezone" not in settings.server.model_fields_set:
            answers["server.timezone"] = ops.machine_timezone()
        asking = Interview(console, settings)
        asking.explain(interview.HOW)
        answers = asking.walk(reach.steps(asking), answers)
        reach.show_records(console, asking.chosen(answers))
        return answers

    return ended_cleanly(ask)


def ask_everything(console: Console, home: Home, settings: Settings, answers: Answers) -> tuple[Answers, str]:
    """Ask until the summary is agreed to: the answers, and the administrator's password or ""."""
    return Setup(console, home, settings).run(answers)


class _AskAgain(Exception):  # noqa: N818 - it is no error
    """All questions are to be asked again."""


class Setup(Interview):
    """The questions of `samsesh setup`. `password`: the administrator's, or "" where it is to be generated."""

    def __init__(self, console: Console, home: Home, settings: Settings) -> None:
        super().__init__(console, settings, home.state()["server_name"] if home.started else "")
        self.home = home
        self.password = ""
        self.ports = ""  # how they are chosen

    def run(self, answers: Answers) -> tuple[Answers, str]:
        self.explain(f"Setting up the server in {self.home.path}. {interview.HOW}", "")
        if self.name:
            self.explain(f"\nServer name: {self.name}, which stays: it is part of every user ID.", "bold")
        while True:
            try:
                return self.walk(self._steps(), answers), self.password
            except _AskAgain:
                continue

    def _steps(self) -> list[Step]:
        return [
            *reach.steps(self),
            self._step("brand.name", "Display name"),
            self._step("admin.name", "User name of the administrator", due=self._makes_admin),
            self._password,
            self._step("registration.mode", "Who may make an account", ("closed", "token", "open")),
            self._step("server.timezone", "Time zone"),
            self._step("calls.provider", "Video calls", ("element-call", "jitsi", "off"), _CALLS),
            self._step("calls.jitsi_domain", "Domain of the Jitsi server", due=_with_jitsi),
            self._how_ports,
            self._offset,
            *(partial(self._port, name) for name in (*Ports.outer(), "turn_relay")),
            self._agree,
        ]

    def _step(
        self,
        setting: str,
        label: str,
        choices: tuple[str, ...] = (),
        note: str = "",
        due: Callable[[Settings], bool] = lambda settings: True,
    ) -> Step:
        """Asks for one setting, if it is due."""

        def step(answers: Answers) -> Answers | None:
            if not due(self.chosen(answers)):
                return None
            return {**answers, setting: self.setting(answers, setting, label, choices=choices, note=note)}

        return step

    def _makes_admin(self, settings: Settings) -> bool:
        return ops.may_make_admin(self.home)

    def _password(self, answers: Answers) -> Answers | None:
        """Typed twice and never shown."""
        if not ops.may_make_admin(self.home):
            return None
        self.explain(f"\n{_ADMIN}")
        while True:
            self.password = self.hidden_line("Password")
            if not self.password:
                return answers
            reason = ops.password_problem(self.password, self.chosen(answers))
            if not reason and self.hidden_line("The same again") != self.password:
                reason = "these were two different passwords"
            if not reason:
                return answers
            self.explain(f"  {reason}", PROBLEM)

    def _how_ports(self, answers: Answers) -> Answers:
        ports = self.chosen(answers).ports
        now = "one-by-one" if ports.model_fields_set - {"offset"} else "offset" if ports.offset else "default"
        self.explain(f"\n{_PORTS}")
        self.ports = self.line("Ports", self.ports or now, ("default", "offset", "one-by-one"))
        return {**answers, **ops.ports_answers(ports, 0)} if self.ports == "default" else answers

    def _offset(self, answers: Answers) -> Answers | None:
        if self.ports != "offset":
            return None
        ports = self.chosen(answers).ports
        others = {setting: value for setting, value in answers.items() if not setting.startswith("ports.")}
        unmoved = Interview(self.console, self.settings.model_copy(update={"ports": Ports()}))
        offset = unmoved.setting(others, "ports.offset", "Offset", default=ports.offset or 1000)
        return {**others, "ports.offset": offset, **ops.ports_answers(ports, offset)}

    def _port(self, name: str, answers: Answers) -> Answers | None:
        if self.ports != "one-by-one":
            return None
        ports = self.chosen(answers).ports
        now = "{}-{}".format(*ports.relay()) if name == "turn_relay" else ports.of(name)
        setting = f"ports.{name}"
        port = self.setting(answers, setting, name, default=self.typed.get(setting, now))
        return {**answers, setting: port} if port != now else answers

    def _agree(self, answers: Answers) -> Answers:
        """The summary, and the last word."""
        self._summary(self.chosen(answers))
        self.console.print()
        choice = self.line("Write these settings?", "yes", ("yes", "again", "quit"))
        if choice == "quit":
            raise SamseshError(
                "setup was left; nothing was written", "run `samsesh setup` when you are ready"
            )
        if choice == "again":
            raise _AskAgain
        return answers

    def _summary(self, chosen: Settings) -> None:
        jitsi = f", on {chosen.calls.jitsi_domain}" if chosen.calls.provider == "jitsi" else ""
        rows = {
            "Server name": chosen.server.name,
            "Reached by": reach.TITLES[chosen.server.access],
            "Display name": chosen.brand.name,
            "Administrator": f"@{chosen.admin.name}:{chosen.server.name}",
            "Accounts": _ACCOUNTS[chosen.registration.mode],
            "Time zone": chosen.server.timezone,
            "Video calls": chosen.calls.provider + jitsi,
            "Ports": ", ".join(f"{name} {chosen.ports.of(name)}" for name in _ports_that_count(chosen)),
            "Settings file": str(self.home.settings_file),
        }
        if ops.may_make_admin(self.home):
            rows["Administrator"] += (
                ", with your password" if self.password else ", with a generated password"
            )
        self.console.print()
        print_rows(list(rows.items()))
        reach.show_records(self.console, chosen)


def _with_jitsi(settings: Settings) -> bool:
    return settings.calls.provider == "jitsi"


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
