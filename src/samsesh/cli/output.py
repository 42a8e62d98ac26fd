"""How the program speaks: results to standard output, progress and problems to standard error.

Whatever is printed for people goes through here, names and logs of strangers too: `Speaker` and `write` let no control
character pass. Where a line break could forge a line (a cell of a table, a name in a sentence), `one_line` is for it.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from samsesh.errors import SamseshError
from samsesh.text import one_line, printable, printable_json

COMMANDS = (
    "--|backup|completion|config|destroy|doctor|down|engine|images|install-service|invite|link|logs|ports|proxy-config"
    "|render|renew-relay|restart|restore|rooms|rtc-auth|setup|status|up|user|version"
)
_MENTIONED = re.compile(rf"(?<![\w./-])samsesh (?=({COMMANDS}))")


# A command that people copy, up to a mark or to prose; or what stands in backquotes. It is never wrapped.
_PROSE = (
    "after|again|and|as|before|for|from|in|into|is|it|on|once|or|says|so|that|then|there|to|where|which|with"
)
_COMMAND = re.compile(
    rf"`[^`]*`|(?<![\w./-])(?:\S*samsesh (?=--|(?:{COMMANDS.removeprefix('--|')})\b)"
    rf"|ssh -|sudo |docker compose |git clone )"
    rf"(?:[^\s,;()`]|(?<![.:]) (?!\(|(?:{_PROSE})\b))*"
)
_SPACE = re.compile(r"(?<=[^ ]) (?=[^ ])")
LEAST_ROOM = 24  # columns of words that are still a pleasure to read
# Where the following lines of a text begin: behind its indentation and mark, or below the last column of a row.
_HANG = re.compile(r".{0,40}\S {2,}(?=\S)| *(?:(?:[!-]|->|\d) )?")


class Speaker(Console):
    """A console that writes our commands as this user called us, so that they can be copied, and texts as they are:
    neither Rich's markup nor control characters in them do anything. On a terminal, texts are wrapped.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(soft_wrap=True, highlight=False, markup=False, emoji=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        texts = [as_called(text) for text in objects]
        if self.is_terminal and not options.get("no_wrap"):
            texts = [wrapped(text, self.width) if isinstance(text, str | Text) else text for text in texts]
        super().print(*texts, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


def wrapped(text: str | Text, width: int) -> Text:
    """The text in lines of at most `width` cells, broken at spaces alone; no command is broken and no address.

    What is longer than a line stays whole: a terminal then goes on in the next line, and copies it as a single line.
    """
    whole = Text(text) if isinstance(text, str) else text
    lines = [line for start, end in _lines(whole.plain) for line in _fitting(whole.plain, start, end, width)]
    parts = [Text(" " * indent) + whole[start:end] for start, end, indent in lines]
    return Text("\n", style=whole.style, end=whole.end).join(parts)


def _lines(plain: str) -> Iterable[tuple[int, int]]:
    start = 0
    for line in plain.split("\n"):
        yield start, start + len(line)
        start += len(line) + 1


def _fitting(plain: str, start: int, end: int, width: int) -> Iterable[tuple[int, int, int]]:
    """One line of a text as (start, end, indentation) of those that fit."""
    mark = _HANG.match(plain, start, end)
    hang = mark.end() - start if mark else 0
    commands = [found.span() for found in _COMMAND.finditer(plain, start, end)]
    spaces = [found.start() for found in _SPACE.finditer(plain, start + hang, end)]
    breaks = [place for place in spaces if not any(left <= place < right for left, right in commands)]
    hang = min(hang, width // 3)
    first, indent, last = start, 0, start
    for place in [*breaks, end]:
        if last > first and indent + cell_len(plain[first:place]) > width:
            yield first, last, indent
            first, indent = last + 1, hang
        last = place
    yield first, end, indent


def as_called(text: Any) -> Any:
    """`samsesh up` -> `./samsesh --home DIR up`, where that is how we were called."""
    program = os.environ.get("SAMSESH_COMMAND", "samsesh")
    if program == shutil.which("samsesh"):
        program = "samsesh"
    called = os.environ.get("SAMSESH_CALLED", program)  # with the home that was named
    if isinstance(text, Text) and not text.spans:
        return Text(as_called(text.plain), text.style, end=text.end)
    if not isinstance(text, str):
        return text
    return _MENTIONED.sub(lambda found: f"{program if found[1] == '--' else called} ", text)


console = Speaker()
errors = Speaker(stderr=True)


def say(text: str) -> None:
    """One line of progress."""
    errors.print(f"  {_indented(text)}", style="dim")


def warn(text: str) -> None:
    errors.print(f"! {_indented(text)}", style="yellow")


def print_rows(rows: Sequence[Sequence[str | Text]], indent: str = "") -> None:
    """Columns as wide as they have to be, however narrow the terminal is: addresses are to be copied whole.

    On a terminal, words of the last column go on below it.
    """
    cells = [[Text(one_line(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows]
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        line = Text(indent)
        for cell, width in zip(row[:-1], widths, strict=False):
            line.append_text(cell).append(" " * (width - cell.cell_len + 2))
        room = console.width - line.cell_len if console.is_terminal else row[-1].cell_len
        below = Text("\n" + " " * line.cell_len)
        line.append_text(below.join(wrapped(row[-1], max(room, LEAST_ROOM)).split("\n")))
        line.rstrip()
        console.print(line, no_wrap=True)


def print_json(data: Any) -> None:
    sys.stdout.write(printable_json(json.dumps(data, indent=1, ensure_ascii=False)) + "\n")


def write(text: str) -> None:
    """What is to be copied or piped on: as it is, but for control characters."""
    sys.stdout.write(printable(text))


def print_error(error: SamseshError) -> None:
    errors.print(f"samsesh: {_indented(error.message)}", style="bold red")
    if error.hint:
        errors.print(f"  {_indented(error.hint)}")
    if error.detail:
        errors.print(f"  {_indented(error.detail)}", style="dim")


def _indented(text: str) -> str:
    """So that what a text quotes cannot begin a line as we do, or as a record of a log does."""
    return printable(text).replace("\n", "\n  ")
