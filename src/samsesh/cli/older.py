"""`up` and `setup` beside an older installation: it is named, and nothing new is made unless somebody wants just that."""

import sys
from collections.abc import Sequence
from pathlib import Path

from samsesh.errors import SettingsError
from samsesh.home import Home

FLAG = "--new-server"
NEVER_ASKED = frozenset({"--yes", "-y", "--foreground"})


def settle(home: Home, argv: Sequence[str]) -> None:
    """Before the first start: ask about what is in the current folder and in the home. Raises SettingsError.

    As root too, before its rights are given up: the folder may be for root alone to read.
    """
    from samsesh.ops import older

    if older.started(home):
        return
    folders = dict.fromkeys((*_here(), home.path))
    seen = next(filter(None, map(older.look, folders)), None)
    if seen is None:
        return
    from samsesh.cli.output import console, warn

    server = f" of the server {seen.name}" if seen.name else ""
    what = f"{seen.folder} holds an older installation{server} ({', '.join(seen.signs)})"
    if FLAG in argv or "--dry-run" in argv:
        warn(f"{what}; none of its accounts, rooms and messages are taken over")
        return
    hint = (
        "to keep it, go on as before (docker compose up -d there); for a new, empty server in its place, stop it, keep a "
        f"copy of that folder, and add {FLAG}"
    )
    if NEVER_ASKED & set(argv) or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SettingsError(what, hint)
    from rich.prompt import Confirm

    warn(what)
    warn(
        "Samsesh makes a new, empty server: no accounts, rooms or messages of the old one are taken over. Under the same "
        "name its keys would be others, and apps and other servers would not know it"
    )
    if not Confirm.ask("Make a new server all the same?", console=console, default=False):
        raise SettingsError("nothing was made: the older installation stays as it is", hint)


def _here() -> list[Path]:
    try:
        return [Path.cwd()]
    except OSError:  # a folder that was deleted under us
        return []
