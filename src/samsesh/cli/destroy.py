"""`samsesh destroy`."""

import os
import sys
from typing import Annotated

import typer

from samsesh.home import Home


def destroy(
    ctx: typer.Context,
    confirm: Annotated[
        str, typer.Option(help="The server's name, for programs: deletes without asking.")
    ] = "",
    backup: Annotated[bool | None, typer.Option("--backup/--no-backup", help="Take a backup first.")] = None,
) -> None:
    """Delete this server: accounts, messages, files, keys, settings. Backups in its home folder stay.

    Examples: `samsesh destroy`, `samsesh destroy --confirm example.org --backup`.
    """
    from samsesh.cli import reserved
    from samsesh.cli.backup import megabytes
    from samsesh.cli.output import console, say
    from samsesh.errors import SamseshError, SettingsError
    from samsesh.ops import backup as backups
    from samsesh.ops import destroy as ops
    from samsesh.text import one_line

    home: Home = ctx.obj
    target = ops.target(home)
    asking = not confirm
    if asking and not sys.stdin.isatty():
        raise SettingsError(
            "destroy asks for the server's name, and there is no terminal", f"add --confirm {target.name}"
        )
    if asking:
        console.print(
            one_line(f"This deletes the server {target.name} in {home.path}: {megabytes(target.size)}.")
        )
        console.print("Accounts, messages, files, keys and settings are gone for good. Backups stay.")
        if backup is None and target.whole:
            backup = typer.confirm("Take a backup first?", default=True)
    elif confirm != target.name:
        raise SamseshError(
            f"{confirm} is not the name of this server: nothing was deleted", f"it is {target.name}"
        )
    if backup:
        made = backups.create_locked(home, os.environ, say)
        console.print(f"Backup: {made.path}")
    if asking:
        confirm = typer.prompt(one_line(f"Type {target.name} to delete it"))
    ops.destroy(home, confirm, say)
    reserved.undo(home)
    console.print("Deleted. Begin again with: samsesh setup")
    if target.stays:
        console.print(one_line(f"Not touched: {target.stays}. If nobody needs it, drop it there."))
