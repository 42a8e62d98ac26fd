"""`samsesh backup`: create, list, verify."""

import os
from pathlib import Path
from typing import Annotated

import typer

from samsesh.errors import FAILED

app = typer.Typer(
    no_args_is_help=True, help="Backups: create, list, verify. `samsesh restore` brings one back."
)

JsonFlag = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command()
def create(
    ctx: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A new file, or a folder to put it in.", show_default=False),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Save database, media, keys, settings and secrets in one private file. Keep it as safe as the server.

    Examples: `samsesh backup create`, `samsesh backup create -o /mnt/disk/chat.tar`.
    """
    from samsesh.cli.output import console, print_json, say
    from samsesh.ops import backup

    made = backup.create_locked(ctx.obj, os.environ, say, output.absolute() if output else None)
    if json:
        print_json(made.data())
    else:
        whole = "Backup, checked" if not made.left_out else "Backup, checked, but without what is named above"
        console.print(f"{whole}: {made.path} ({megabytes(made.size)})")
    if made.left_out:
        raise typer.Exit(FAILED)


@app.command("list")
def list_(ctx: typer.Context, json: JsonFlag = False) -> None:
    """List the backups of this server, each read and checked. Example: `samsesh backup list`."""
    from rich.table import Column, Table

    from samsesh.cli.output import add_row, console, print_json
    from samsesh.ops import backup

    found = [entry.data() for entry in backup.listed(ctx.obj)]
    if json:
        print_json(found)
        return
    if not found:
        console.print("There is no backup yet. Make one: samsesh backup create")
        return
    console.print(f"In {ctx.obj.backups_dir}:")
    table = Table(Column("file", overflow="fold", ratio=1), "size", "why", "state", box=None)
    for entry in found:
        lacking = len(entry.get("left_out", []))
        state = entry["problem"] or (f"good, but lacks {lacking}" if lacking else "good")
        add_row(
            table, Path(entry["path"]).name, megabytes(entry["size"]), str(entry.get("reason", "")), state
        )
    console.print(table)


@app.command()
def verify(
    ctx: typer.Context, file: Annotated[Path, typer.Argument(help="A backup.", show_default=False)]
) -> None:
    """Check one backup: exit code 0 where it is whole, else 1. Example: `samsesh backup verify FILE`."""
    from samsesh.cli.output import console
    from samsesh.errors import SamseshError
    from samsesh.ops import backup

    found = backup.inspect(file.absolute())
    if found.problem:
        raise SamseshError(found.problem)
    console.print(f"good: {found.manifest['server_name']} of {found.manifest['created']}")
    for what in found.left_out:
        console.print(f"  not in it: {what}")


def megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB"
