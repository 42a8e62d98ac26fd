"""Texts of strangers, as they are printed and logged."""

import json
import logging
import sys
import unicodedata
from io import StringIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

from samsesh.cli import output
from samsesh.cli.tables import print_table
from samsesh.errors import SamseshError
from samsesh.synapse_module import Formatter
from samsesh.text import has_controls, one_line, printable, printable_json

LINK = "\x1b]8;;https://evil.test\x1b\\click\x1b]8;;\x1b\\"
HOSTILE = f"{LINK}\x1b[2J\x9b31m\u202egnp.exe\u2066\u200f\u061c\u2028\u2029\x85\r\x00\x7f\x0b\x0c\x1c [bold]x[/] :smile:"
BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
MARKS = "\u200e\u200f\u061c"


def harmless(text: str) -> bool:
    """By Unicode's own tables: no control but tab and newline, no separator of lines, no turn of direction."""
    return all(
        (unicodedata.category(letter) not in ("Cc", "Zl", "Zp", "Cs") or letter in "\t\n")
        and unicodedata.bidirectional(letter) not in BIDI
        and letter not in MARKS
        for letter in text
    )


@given(st.text(st.characters()))
@example(HOSTILE)
@example("\ud800 \udce9")
def test_no_control_character_is_left(text: str) -> None:
    """Whatever a text has in it: nothing of it steers a terminal, and a name or record is on one line."""
    assert harmless(printable(text))
    assert harmless(one_line(text)) and "\n" not in one_line(text)
    assert has_controls(text) or printable(text) == one_line(text) or "\udc80" <= max(text) <= "\udcff"


@given(
    st.recursive(
        st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
@example(HOSTILE)
def test_json_says_the_same_without_them(data: Any) -> None:
    """`--json` shows a terminal no control character, and programs read what they read before."""
    told = printable_json(json.dumps(data, indent=1, ensure_ascii=False))
    assert harmless(told)
    assert json.loads(told) == data


@pytest.mark.parametrize("text", ["Zoë 🧑‍🚀 नमस्ते \t x", "a\nb", "", "ملف", "[bold]"])
def test_what_harms_nobody_stays(text: str) -> None:
    """Letters of any script, emoji with their joiners, tabs and line breaks are printed as they are."""
    assert printable(text) == text


def test_controls_are_written_out() -> None:
    """What was there can be seen; Windows' ends of lines are ends of lines."""
    assert printable("a\x1b[2Jb\x9b\u202e\r\nc\rd") == "a\\x1b[2Jb\\x9b\\u202e\nc\\rd"
    assert one_line("a\nb\tc") == "a\\nb\tc"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What a terminal gets, in colours."""
    written = StringIO()
    for name in ("console", "errors"):
        terminal = output.Speaker(file=written, force_terminal=True, color_system="truecolor", width=120)
        monkeypatch.setattr(output, name, terminal)
    return written


def own_escapes_apart(text: str) -> str:
    """Without the colours that Rich writes itself."""
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_nothing_printed_steers_a_terminal(heard: StringIO) -> None:
    """Sentences, styles, tables, rows and errors: no control character and no markup of a stranger does anything."""
    output.console.print(f"name: {HOSTILE}")
    output.console.print(f"name: {HOSTILE}", style="bold red")
    output.console.print(Text(HOSTILE, style="dim"))
    output.console.out(HOSTILE)
    output.say(HOSTILE)
    output.warn(HOSTILE)
    output.print_error(SamseshError(HOSTILE, HOSTILE, detail=HOSTILE))
    output.print_rows([(HOSTILE, Text(HOSTILE))])
    table = Table(HOSTILE)
    table.add_row(HOSTILE)  # if somebody forgets
    print_table((HOSTILE,), [(HOSTILE,)])
    output.console.print(table)
    told = own_escapes_apart(heard.getvalue())
    assert harmless(told)
    assert told.count("[bold]x[/] :smile:") >= 9
    assert "\x1b]8" not in heard.getvalue()


def test_no_name_forges_a_row(heard: StringIO) -> None:
    """A line break in a cell is written out: a table has as many lines as rows."""
    print_table(("name",), [("x\n@admin:a.test",)])
    output.print_rows([("x\n@admin:a.test", "y")])
    assert own_escapes_apart(heard.getvalue()).split() == [
        "name", "x\\n@admin:a.test", "x\\n@admin:a.test", "y",
    ]  # fmt: skip


def test_what_is_piped_on(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON and plain output have none either."""
    output.print_json({HOSTILE: [HOSTILE]})
    output.write(HOSTILE)
    assert harmless(capsys.readouterr().out)


def test_a_record_of_synapses_is_a_line() -> None:
    """A user name in a failed log-in can neither forge a record nor clear the screen; tracebacks go on, indented."""
    formatter = Formatter("%(asctime)s - %(levelname)s - %(message)s")
    forged = "x\n2026-01-31 12:00:00,000 - CRITICAL - all is lost"
    try:
        raise ValueError(f"{forged}\x1b[2J")
    except ValueError:
        record = logging.LogRecord(
            "a", logging.WARNING, "f", 1, "Failed login of %s", (forged + HOSTILE,), sys.exc_info()
        )
    record.stack_info = f"Stack:\n{forged}"
    told = formatter.format(record)
    assert harmless(told)
    first, *rest = told.split("\n")
    assert "Failed login of x\\n2026-01-31" in first
    assert rest and all(line.startswith("\t") for line in rest)
    assert any("Traceback" in line for line in rest)
