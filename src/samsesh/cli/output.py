"""How the program speaks: results to standard output, progress and problems to standard error."""

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from samsesh.errors import SamseshError

COMMANDS = (
    "--|backup|config|destroy|doctor|down|images|install-service|invite|logs|ports|proxy-config|restart|restore|rooms"
    "|rtc-auth|setup|status|up|user|version"
)
_MENTIONED = re.compile(rf"(?<![\w./-])samsesh (?=({COMMANDS}))")


class Speaker(Console):
    """A console that writes our commands as this user called us, so that they can be copied."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*map(as_called, objects), **options)


def as_called(text: Any) -> Any:
    """`samsesh up` -> `./samsesh --home DIR up`, where that is how we were called."""
    program = os.environ.get("SAMSESH_COMMAND", "samsesh")
    called = os.environ.get("SAMSESH_CALLED", program)  # with the home that was named
    if not isinstance(text, str):
        return text
    return _MENTIONED.sub(lambda found: f"{program if found[1] == '--' else called} ", text)


console = Speaker(soft_wrap=True, highlight=False)
errors = Speaker(stderr=True, soft_wrap=True, highlight=False)


def say(text: str) -> None:
    """One line of progress."""
    errors.print(f"  {text}", style="dim", markup=False)


def warn(text: str) -> None:
    errors.print(f"! {text}", style="yellow", markup=False)


def print_rows(rows: Sequence[Sequence[str | Text]], indent: str = "") -> None:
    """Columns as wide as they have to be, however narrow the terminal is: addresses are to be copied whole."""
    cells = [[Text.assemble(cell) for cell in row] for row in rows]
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        line = Text(indent)
        for cell, width in zip(row, widths, strict=True):
            line.append_text(cell).append(" " * (width - cell.cell_len + 2))
        line.rstrip()
        console.print(line)


def print_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def print_error(error: SamseshError) -> None:
    errors.print(f"samsesh: {error.message}", style="bold red", markup=False)
    if error.hint:
        errors.print(f"  {error.hint}", markup=False)
    if error.detail:
        errors.print(error.detail, style="dim", markup=False)
