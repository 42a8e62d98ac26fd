"""How commands are declared: their help is plain text, and `--yes` and `--no-color` are alike in all of them."""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

Function = TypeVar("Function", bound=Callable[..., Any])
UNASKED = frozenset({"--yes", "-y"})
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]

# The commands of the program as its help shows them, by what people want.
GROUPS = {
    "Daily": ("status", "up", "down", "restart", "user", "invite", "rooms", "backup", "doctor", "logs"),
    "Set-up": (
        *("setup", "config", "ports", "proxy-config", "install-service", "link", "completion", "restore"),
        "destroy",
    ),
    "Experts": ("engine", "images", "render", "rtc-auth", "version"),
}
_EXAMPLES = re.compile(r"\s*Examples?: (`.*)", re.DOTALL)
_COMMAND = re.compile(r"`([^`]+)`")
_SENTENCE = re.compile(r"(.+?\.)(\s|$)")


class _Plain(TyperCommand):
    """A command."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        _write_text(self.help or "", formatter)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, _without_yes(self.params, args))


class _PlainGroup(TyperGroup):
    """A command with commands of its own."""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        _write_text(self.help or "", formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        names = self.list_commands(ctx)
        for title, members in (GROUPS if "status" in names else {"Commands": names}).items():
            shown = [self.get_command(ctx, name) for name in members]
            with formatter.section(title):
                formatter.write_dl(
                    [(command.name, _first_sentence(command.help or "")) for command in shown if command]
                )


class App(typer.Typer):
    """A set of commands."""

    def __init__(self, **options: Any) -> None:
        usual = {
            "cls": _PlainGroup,
            "no_args_is_help": True,
            "add_completion": False,
            "rich_markup_mode": None,
        }
        super().__init__(**{**usual, **options})

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        return super().command(name, **{"cls": _Plain, **options})


def _first_sentence(text: str) -> str:
    sentence = _SENTENCE.match(text)
    return " ".join((sentence[1] if sentence else text).split()).replace("`", "")


def _write_text(text: str, formatter: Any) -> None:
    """What it does, then each example on a line of its own: commands are to be copied.

    A paragraph that begins with \\b is a list of terms, each with its meaning behind two spaces.
    """
    from samsesh.cli.output import as_called

    examples = _EXAMPLES.search(text)
    body = as_called(text[: examples.start()] if examples else text)
    with formatter.indentation():
        for paragraph in body.split("\n\n"):
            lines = re.sub(r"\n +", " ", paragraph.removeprefix("\b\n")).splitlines()
            terms = [tuple(line.split("  ", 1)) for line in lines]
            formatter.write_paragraph()
            if paragraph.startswith("\b") and all(len(term) == 2 for term in terms):
                formatter.write_dl(terms)
            else:
                formatter.write_text(" ".join(lines))
    if examples:
        with formatter.section("Examples"):
            for command in _COMMAND.findall(examples[1]):
                formatter.write(f"{'':{formatter.current_indent}}{as_called(' '.join(command.split()))}\n")


def _without_yes(params: Sequence[Any], args: list[str]) -> list[str]:
    """A command that has nothing to ask takes `--yes`, too: whoever automates it need not know which asks."""
    if any(UNASKED & {*param.opts} for param in params):
        return args
    end = args.index("--") if "--" in args else len(args)
    return [word for at, word in enumerate(args) if at >= end or word not in UNASKED]
