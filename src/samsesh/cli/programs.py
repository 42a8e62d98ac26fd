"""Getting programs: a bar for long work on a terminal, and the question before root installs something."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from samsesh.cli.app import UNASKED
from samsesh.errors import SamseshError
from samsesh.home import Home

if TYPE_CHECKING:
    from samsesh.download import Progress


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


def offer_turnserver(home: Home, argv: list[str]) -> None:
    """As root, on a terminal, before the first start: have the distribution install coturn where it is not there."""
    if {*UNASKED, "--dry-run"} & set(argv):
        return
    from rich.prompt import Confirm
    from rich.text import Text

    from samsesh.artifacts import turnserver
    from samsesh.cli.output import console, say, warn
    from samsesh.load import load
    from samsesh.ops import programs
    from samsesh.ops.privileges import as_owner

    try:
        with as_owner(home):
            settings, started = load(home, os.environ).settings, home.started
    except SamseshError:
        return  # told when the command itself reads them
    if started or not settings.turn.enabled or settings.server.engine == "compose":
        return
    looking = programs.search(home, settings, say)
    try:
        turnserver.install(
            looking, lambda question: Confirm.ask(Text(question), console=console, default=True)
        )
    except SamseshError as error:  # the chat does not wait for it
        warn(f"{error.message}; {error.hint}")
