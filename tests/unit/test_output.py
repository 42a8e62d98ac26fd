"""How the program speaks."""

from io import StringIO

import pytest
from rich.text import Text

from samsesh.cli import output
from samsesh.cli.output import as_called
from samsesh.cli.tables import moment, print_table


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("Invite people: samsesh invite create", "Invite people: ./samsesh --home /a invite create"),
        ("run `samsesh down`, then `up`", "run `./samsesh --home /a down`, then `up`"),
        ("samsesh --home DIR restore FILE", "./samsesh --home DIR restore FILE"),
        ("samsesh: no such thing", "samsesh: no such thing"),
        ("/var/lib/samsesh is not ours", "/var/lib/samsesh is not ours"),
        ("the user samsesh of this machine", "the user samsesh of this machine"),
    ],
)
def test_commands_can_be_copied(monkeypatch: pytest.MonkeyPatch, said: str, heard: str) -> None:
    """Commands in what we say are written as this user called us, home included; other words stay."""
    monkeypatch.setenv("SAMSESH_COMMAND", "./samsesh")
    monkeypatch.setenv("SAMSESH_CALLED", "./samsesh --home /a")
    assert as_called(said) == heard


def test_addresses_are_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """However narrow a terminal is, an address is on one line and whole; columns stand below each other."""
    written = StringIO()
    seen = output.Speaker(file=written, width=30)
    monkeypatch.setattr(output, "console", seen)
    long = "https://matrix.a-rather-long-domain.example.org:8448"
    output.print_rows([("Chat", long), ("[b]Calls", Text("x", style="red"))], indent="  ")
    assert written.getvalue() == f"  Chat      {long}\n  [b]Calls  x\n"


def test_an_installed_program_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the launcher the command is `samsesh`."""
    monkeypatch.delenv("SAMSESH_COMMAND", raising=False)
    monkeypatch.delenv("SAMSESH_CALLED", raising=False)
    assert as_called("samsesh status") == "samsesh status"


def printed(
    monkeypatch: pytest.MonkeyPatch, width: int, titles: tuple[str, ...], *rows: tuple[str, ...]
) -> list[str]:
    """A table as a terminal of that width shows it."""
    written = StringIO()
    seen = output.Speaker(file=written, width=width, force_terminal=True, color_system=None)
    monkeypatch.setattr(output, "console", seen)
    print_table(titles, rows)
    return written.getvalue().splitlines()


TITLES = ("setting", "from", "value")
LONG = ("brand.footer_links", "samsesh.toml", "a value of many words which do not fit")


def test_a_table_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns below their titles, without lines; the words of the last column are wrapped below each other."""
    assert printed(monkeypatch, 62, TITLES, LONG, ("x", "y", "z")) == [
        "setting             from          value",
        "brand.footer_links  samsesh.toml  a value of many words which",
        "                                  do not fit",
        "x                   y             z",
    ]


def test_a_narrow_terminal_shows_rows_as_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the columns do not fit beside each other, each row is title and cell in lines; what is empty is left out."""
    assert printed(monkeypatch, 40, TITLES, LONG, ("x", "", "z")) == [
        "setting  brand.footer_links",
        "from     samsesh.toml",
        "value    a value of many words which do",
        "         not fit",
        "",
        "setting  x",
        "value    z",
    ]


@pytest.mark.parametrize(
    ("zone", "text"), [("UTC", "UTC"), ("Europe/Berlin", "CET"), ("Asia/Tehran", "+0330")]
)
def test_times_have_their_zone(zone: str, text: str) -> None:
    """Whoever reads a time sees which zone's it is."""
    assert moment(1_800_000_000_000, zone).endswith(f" {text}")
    assert moment(None, zone) == ""
