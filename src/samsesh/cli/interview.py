"""Questions in an order, on any terminal. At each one can go back to the one before."""

from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.prompt import Confirm, Prompt
from rich.text import Text

from samsesh.ops import setup as ops
from samsesh.ops.setup import Answers
from samsesh.settings import Settings

BACK = frozenset({"<", "back"})
HOW = "Press Enter to take what stands in brackets. To go back one question, type < and press Enter."
PROBLEM = "red"

Step = Callable[[Answers], Answers | None]  # the answers with its own, or None where it has nothing to ask


class Back(Exception):  # noqa: N818 - it is no error
    """The question before is to be asked again."""


def _heed_back(answer: str) -> None:
    if answer.strip().lower() in BACK:
        raise Back


class _Line(Prompt):
    def process_response(self, value: str) -> str:
        _heed_back(value)
        return super().process_response(value)


class _YesNo(Confirm):
    def process_response(self, value: str) -> bool:
        _heed_back(value)
        return super().process_response(value)


class Interview:
    """`settings`: those in force, on top of which answers count. `typed`: the last answers, which are offered again after
    going back. `name`: that of a server which has started, and keeps it.
    """

    def __init__(self, console: Console, settings: Settings, name: str = "") -> None:
        self.console = console
        self.settings = settings
        self.name = name
        self.typed: Answers = {}

    def chosen(self, answers: Answers) -> Settings:
        return ops.with_answers(self.settings, answers)

    def offered(self, answers: Answers, setting: str) -> Any:
        """What to propose for a setting: what was typed last, else what is in force."""
        section, name = setting.split(".")
        in_force = getattr(getattr(self.settings, section), name)
        return self.typed.get(setting, answers.get(setting, in_force))

    def explain(self, text: str, style: str = "dim") -> None:
        self.console.print(Text(text, style=style))

    def line(self, label: str, default: Any, choices: Sequence[str] = ()) -> str:
        """One line, `default` for an empty one; asked again until it is one of `choices`."""
        proposal = str(default) or ...
        answer = _Line.ask(
            Text(label),
            console=self.console,
            default=proposal,
            choices=list(choices) or None,
            case_sensitive=False,
        )
        return str(answer).strip()

    def hidden_line(self, label: str) -> str:
        answer = _Line.ask(Text(label), console=self.console, password=True, default="", show_default=False)
        return str(answer)

    def yes(self, question: str, default: bool) -> bool:
        return _YesNo.ask(Text(question), console=self.console, default=default)

    def setting(
        self,
        answers: Answers,
        setting: str,
        label: str,
        *,
        default: Any = None,
        choices: Sequence[str] = (),
        note: str = "",
    ) -> Any:
        """Ask for one setting until the settings model takes it beside the other answers."""
        proposal = self.offered(answers, setting) if default is None else default
        self.explain(f"\n{ops.describe(setting)} {note}".rstrip())
        while True:
            text = self.line(label, proposal, choices)
            is_number = isinstance(proposal, int) and text.isascii() and text.isdigit()
            value: Any = int(text) if is_number else text
            reason = ops.problem(self.settings, {**answers, setting: value})
            if not reason:
                self.typed[setting] = value
                return value
            self.explain(f"  {reason}", PROBLEM)

    def walk(self, steps: Sequence[Step], answers: Answers) -> Answers:
        """The answers after all steps, each of which may lead back to the one before that asked something."""
        asked: list[tuple[int, Answers]] = []
        at = 0
        while at < len(steps):
            try:
                more = steps[at](answers)
            except Back:
                if asked:
                    at, answers = asked.pop()
                else:
                    self.explain("  This is the first question.")
                continue
            if more is not None:
                asked.append((at, answers))
                answers = more
            at += 1
        return answers
