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


PARAGRAPH = (
    "This is a trial: it answers on this machine only, without TLS. To begin again under another name: samsesh --home "
    "/srv/a-rather-long-place/of/a/home destroy, then `samsesh setup` and https://chat.a-rather-long-domain.example.org/"
    "register?token=ABCDEFGHIJKLMNOPQRSTUVWXYZ. People of the user samsesh may run sudo apt install coturn (as root)."
)


@pytest.mark.parametrize("width", [80, 60, 40])
@pytest.mark.parametrize(
    "begin", ["", "  ", "! ", "- ", "samsesh: ", "        -> ", "failed  gateway-ports   "]
)
def test_words_commands_and_addresses_are_never_broken(begin: str, width: int) -> None:
    """Lines fit the terminal, nothing but spaces is left out, and what is to be copied is in one line."""
    lines = output.wrapped(begin + PARAGRAPH, width).plain.split("\n")
    assert " ".join(line.strip() for line in lines) == (begin + PARAGRAPH).strip()
    whole = (
        "samsesh --home /srv/a-rather-long-place/of/a/home destroy",
        "`samsesh setup`",
        "sudo apt install coturn",
    )
    for command in whole:
        assert any(command in line for line in lines)
    longest = max(map(len, (*PARAGRAPH.split(), *whole)))
    assert all(len(line) <= max(width, longest + len(begin) + 1) for line in lines)
    assert len({len(line) - len(line.lstrip()) for line in lines[1:]}) == 1  # all stand below each other


def test_only_a_terminal_gets_lines_of_its_width() -> None:
    """In a file or a pipe each text stays in one line, to be searched; on a terminal it is wrapped, styles included."""
    for terminal, shown in ((True, "  one two\n  three\n"), (False, "  one two three\n")):
        written = StringIO()
        speaker = output.Speaker(file=written, width=9, force_terminal=terminal, color_system=None)
        speaker.print("  one two three")
        speaker.print(Text("  one two ") + Text("three", style="red"))
        assert written.getvalue() == 2 * shown


def test_words_of_other_scripts_count_by_their_cells() -> None:
    """A letter that is two cells wide takes two."""
    assert output.wrapped("日本 日本 日本", 9).plain == "日本 日本\n日本"


def test_rows_of_prompts_keep_what_they_end_with() -> None:
    """A question that is wrapped still ends in the space before its answer."""
    assert output.wrapped("Who should reach it? [1/2]: ", 20).plain == "Who should reach it?\n[1/2]: "


def test_words_of_the_last_column_go_on_below_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal; words of other columns, and addresses, are not broken."""
    written = StringIO()
    monkeypatch.setattr(
        output, "console", output.Speaker(file=written, width=40, force_terminal=True, color_system=None)
    )
    output.print_rows(
        [("Two words", "web 8080, api 8008, admin 8081"), ("a", f"https://{'long.' * 9}example")]
    )
    assert written.getvalue().splitlines() == [
        "Two words  web 8080, api 8008, admin",
        "           8081",
        f"a          https://{'long.' * 9}example",
    ]
