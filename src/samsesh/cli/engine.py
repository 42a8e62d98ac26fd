"""`samsesh engine switch`: from processes to containers and back."""

import os
from typing import Annotated

import typer

from samsesh.cli.app import App

app = App(help="What runs the services: processes of one user, or containers.")


@app.callback()
def engine() -> None:
    """What runs the services: processes of one user, or containers."""


@app.command("switch")
def switch(
    ctx: typer.Context,
    to: Annotated[str, typer.Argument(help="native or compose.", show_default=False)],
) -> None:
    """Move the server with all its data to another engine. It is down meanwhile; a backup is taken first.

    Example: `samsesh engine switch compose`.
    """
    from samsesh.cli.output import console, say
    from samsesh.errors import SettingsError
    from samsesh.ops import switch as ops

    if to not in ("native", "compose"):
        raise SettingsError(f"there is no engine {to!r}", "engines are: native, compose")
    made = ops.switch(ctx.obj, os.environ, to, say)
    if made is None:
        console.print(f"The server is with the engine {to} already.")
        return
    console.print(f"The server runs with the engine {to}. A backup from before is in {made.path}")
