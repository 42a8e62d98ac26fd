"""Text of others, for people: nothing in it steers a terminal, turns the direction of what follows, or forges a line."""

import re

# Control characters of terminals (C0 but for tab and newline, DEL, C1), line and paragraph separators, and what turns
# the direction of text: marks, embeddings, overrides, isolates (Unicode annex 9) and their deprecated kin. Joiners
# stay: scripts and emoji need them. Halves of surrogate pairs are bytes of file names that are no UTF-8.
_CONTROLS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ud800-\udfff]"
)


def printable(text: str) -> str:
    """The text with each control character written out, as `\\x1b`; tabs and line breaks stay."""
    return _CONTROLS.sub(lambda control: _escaped(control[0]), text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """As `printable`, with line breaks written out, too: a name, or a record of a log."""
    return printable(text).replace("\n", "\\n")


def printable_json(text: str) -> str:
    """JSON that says the same and has no control character; Python's own leaves DEL, C1 and bidi controls."""
    return _CONTROLS.sub(lambda control: f"\\u{ord(control[0]):04x}", text)


def has_controls(name: str) -> bool:
    """Whether a name has line breaks, tabs or control characters. Bytes that are no UTF-8 are none."""
    return any(letter in "\t\n" or (_CONTROLS.match(letter) and not _is_byte(letter)) for letter in name)


def is_text(given: str) -> bool:
    """Whether it can be written as UTF-8: what a terminal or an argument gave as other bytes cannot."""
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True


def _escaped(control: str) -> str:
    return control.encode("unicode_escape").decode("ascii")


def _is_byte(letter: str) -> bool:
    """Whether it stands for a byte of a file's name (PEP 383)."""
    return "\udc80" <= letter <= "\udcff"
