"""How the program speaks: results to standard output, progress and problems to standard error.

Whatever is printed for people goes through here, names and logs of strangers too: `Speaker` and `write` let no control
character pass. Where a line break could forge a line (a cell of a table, a name in a sentence), `one_line` is for it.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from samsesh.errors import SamseshError
from samsesh.text import one_line, printable, printable_json

COMMANDS = (
    "--|backup|config|destroy|doctor|down|images|install-service|invite|logs|ports|proxy-config|renew-relay|restart|restore|rooms"
    "|rtc-auth|setup|status|up|user|version"
)
_MENTIONED = re.compile(rf"(?<![\w./-])samsesh (?=({COMMANDS}))")


class Speaker(Console):
    """A console that writes our commands as this user called us, so that they can be copied, and texts as they are:
    neither Rich's markup nor control characters in them do anything.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(soft_wrap=True, highlight=False, markup=False, emoji=False, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*map(as_called, objects), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


def as_called(text: Any) -> Any:
    """`samsesh up` -> `./samsesh --home DIR up`, where that is how we were called."""
    program = os.environ.get("SAMSESH_COMMAND", "samsesh")
    called = os.environ.get("SAMSESH_CALLED", program)  # with the home that was named
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


def add_row(table: Table, *cells: str | Text) -> None:
    """A row of a table, each text in it on one line."""
    table.add_row(*(Text(one_line(cell)) if isinstance(cell, str) else cell for cell in cells))


def print_rows(rows: Sequence[Sequence[str | Text]], indent: str = "") -> None:
    """Columns as wide as they have to be, however narrow the terminal is: addresses are to be copied whole."""
    cells = [[Text(one_line(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows]
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        line = Text(indent)
        for cell, width in zip(row, widths, strict=True):
            line.append_text(cell).append(" " * (width - cell.cell_len + 2))
        line.rstrip()
        console.print(line)


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
