"""As root: keeping connections of other programs away from this server's ports. Asked first, undone by `destroy`."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from samsesh.home import Home

if TYPE_CHECKING:
    from samsesh.ops.server import Server

UNASKED = frozenset({"--yes", "-y", "--dry-run", "--foreground", "--help"})
RELEASE = "release"
_as_root: list[Callable[[str], None]] = []  # at most one: what still has root's rights when we do not


def stay_root(home: Home, command: str, argv: list[str]) -> None:
    """Before root's rights are given up, where `up` may offer it, and where `destroy` has something to undo."""
    from samsesh.ops import privileges, reserved

    def work(text: str) -> None:
        if text == RELEASE:
            reserved.release(home)
        else:
            reserved.reserve(home, text)

    asked = command == "up" and sys.stdin.isatty() and sys.stdout.isatty() and not UNASKED & set(argv)
    if (asked and reserved.possible()) or (command == "destroy" and home.id in reserved.read().homes):
        _as_root.append(privileges.stay_root(work))


def offer(server: "Server") -> None:
    """Ask, once for the same ports, whether the kernel is to reserve those that it would give to others."""
    from rich.prompt import Confirm
    from rich.text import Text

    from samsesh import ports
    from samsesh.checks import ephemeral
    from samsesh.cli.output import console, say
    from samsesh.ops import outside, reserved

    found = outside.exposed(server) if _as_root else []
    text = ports.spans({port for one in found for port in one.numbers})
    if not found or server.home.state().get("unreserved") == text:
        return
    question = (
        f"The kernel may give {ephemeral.names(found)} to connections of other programs. "
        f"Reserve them for this server ({reserved.FILE}; `destroy` undoes it)?"
    )
    if not Confirm.ask(Text(question), console=console, default=True):
        server.home.remember(unreserved=text)
        return
    _as_root.pop()(text)
    server.home.audit("reserve ports", ports=text)
    say(f"reserved {text} ({reserved.KEY})")


def undo(home: Home) -> None:
    """After `destroy`."""
    from samsesh.cli.output import console, say
    from samsesh.ops import reserved

    if _as_root:
        _as_root.pop()(RELEASE)
        say(f"its ports are no longer reserved ({reserved.FILE})")
    elif home.id in reserved.read().homes:
        console.print(f"Its ports are still reserved in {reserved.FILE}, which root can remove.")
