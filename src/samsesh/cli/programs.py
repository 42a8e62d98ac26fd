"""Getting programs: a bar for long work on a terminal, the question before root installs something, and renewing."""

import os
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samsesh.cli.app import UNASKED
from samsesh.errors import SamseshError

if TYPE_CHECKING:
    from samsesh.download import Progress
    from samsesh.settings import Settings

QUESTION = (
    "The relay, coturn, takes calls through firewalls. Installed on this system, it gets security updates with it; else "
    "Samsesh unpacks a copy of its own, and renews that daily. To install it is one command, which may update libraries:"
)


@contextmanager
def shown() -> Iterator["Progress"]:
    """Where there is no terminal, the lines of `say` are enough."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from samsesh.cli.output import errors

    columns = (
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def step(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total or None)
            bars.update(tasks[what], completed=done, total=total or None)

        yield step


def keep_installer(argv: list[str]) -> None:
    """As root, before the questions on a terminal: what could install coturn stays at hand. See ops/installer.py."""
    if {*UNASKED, "--dry-run", "--help"} & set(argv) or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    from samsesh.cli.output import say
    from samsesh.ops import installer

    installer.keep(os.environ, say)


def offer_turnserver(settings: "Settings") -> None:
    """Root's question behind the others, for a server on the internet: is coturn to be installed? Else it is unpacked."""
    from rich.prompt import Confirm

    from samsesh.cli.output import console, warn
    from samsesh.ops import installer

    root = installer.kept()
    on_internet = settings.server.access in ("ip", "domain") and settings.server.engine == "native"
    own = settings.artifacts.turnserver or settings.artifacts.offline
    if root is None or not on_internet or not settings.turn.enabled or own:
        return
    console.print(f"\n{QUESTION} ({root.command})")
    termios.tcflush(sys.stdin, termios.TCIFLUSH)  # nobody answers what they have not read
    if not Confirm.ask("Install coturn on this system?", console=console, default=True):
        return
    try:
        root.install()
    except SamseshError as error:  # the chat does not wait for it
        warn("; ".join(filter(None, [error.message, error.hint])))


def renew_relay(
    ctx: typer.Context,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Where it was unpacked, if not in the usual cache.")
    ] = None,
) -> None:
    """Compare a relay that was unpacked with the distribution's, and renew it. The agent does so daily."""
    from samsesh.cli.output import console, say
    from samsesh.ops import relay

    if cache:
        os.environ["SAMSESH_CACHE"] = str(cache)
    renewed = relay.renew(ctx.obj, os.environ, say)
    console.print("The relay runs in the distribution's newest version." if renewed else "Nothing to do.")
