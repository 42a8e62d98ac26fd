"""The one look of tables: columns of plain text under bold titles, without lines. And times, as people read them."""

import textwrap
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from samsesh.text import one_line

if TYPE_CHECKING:  # takes long to import; --help need not wait for it
    from rich.text import Text

    Cell = str | Text

GAP = 2
NARROWEST = 12  # cells that the last column needs if its words are to be wrapped


def print_table(titles: Sequence[str], rows: "Sequence[Sequence[Cell]]") -> None:
    """Columns as wide as they have to be: addresses and commands are to be copied whole. On a terminal the words of the
    last one are wrapped; if the others alone do not fit, each row is printed as lines of title and cell.
    """
    from rich.text import Text

    from samsesh.cli.output import console, print_rows

    head = [Text(title, style="bold") for title in titles]
    cells = [[_cell(cell) for cell in row] for row in rows]
    widths = _widths([head, *cells])
    room = console.width - sum(widths[:-1]) - GAP * len(widths[:-1])
    if not console.is_terminal or widths[-1] <= room:
        print_rows([head, *cells])
    elif room >= NARROWEST:
        print_rows([part for row in [head, *cells] for part in _wrapped(row, room)])
    else:
        for number, row in enumerate(cells):
            if number:
                console.print()
            pairs = [(title, cell) for title, cell in zip(head, row, strict=True) if cell.plain]
            width = max(_widths(pairs)[0] + GAP, 0)
            print_rows(
                [part for pair in pairs for part in _wrapped(pair, max(console.width - width, NARROWEST))]
            )


def _cell(cell: "Cell") -> "Text":
    """On one line, whatever others wrote in it."""
    from rich.text import Text

    return cell if isinstance(cell, Text) else Text(one_line(cell))


def _widths(rows: "Sequence[Sequence[Text]]") -> list[int]:
    return [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]


def _wrapped(row: "Sequence[Text]", room: int) -> "list[list[Text]]":
    """A row as several, with the words of its last cell below each other; a word that is too long stays whole."""
    from rich.text import Text

    *others, last = row
    lines = textwrap.wrap(last.plain, room, break_long_words=False, break_on_hyphens=False) or [""]
    empty = [Text() for _ in others]
    return [[*(empty if number else others), Text(line, last.style)] for number, line in enumerate(lines)]


def moment(time: int | datetime | None, zone: str) -> str:
    """A time, or milliseconds since 1970, in a zone, whose name is with it; "" for none."""
    if time is None:
        return ""
    if isinstance(time, int):
        time = datetime.fromtimestamp(time / 1000, UTC)
    return time.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M %Z")
