"""`samsesh backup`: create, list, verify."""

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from samsesh.cli.app import App
from samsesh.errors import FAILED

app = App(help="Backups: create, list, verify. `samsesh restore` brings one back.")

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
    from samsesh.cli.output import console, print_json
    from samsesh.cli.tables import print_table
    from samsesh.ops import backup

    found = [entry.data() for entry in backup.listed(ctx.obj)]
    if json:
        print_json(found)
        return
    if not found:
        console.print("There is no backup yet. Make one: samsesh backup create")
        return
    console.print(f"In {ctx.obj.backups_dir}:")
    rows = [
        (Path(entry["path"]).name, megabytes(entry["size"]), str(entry.get("reason", "")), _state(entry))
        for entry in found
    ]
    print_table(("file", "size", "why", "state"), rows)


def _state(entry: dict[str, Any]) -> str:
    lacking = len(entry.get("left_out", []))
    return entry["problem"] or (f"good, but lacks {lacking}" if lacking else "good")


@app.command()
def verify(
    ctx: typer.Context, file: Annotated[Path, typer.Argument(help="A backup.", show_default=False)]
) -> None:
    """Check one backup: exit code 0 where it is whole, else 1. Example: `samsesh backup verify FILE`."""
    from samsesh.cli.output import console
    from samsesh.cli.tables import moment
    from samsesh.errors import SamseshError
    from samsesh.ops import backup

    found = backup.inspect(file.absolute())
    if found.problem:
        raise SamseshError(found.problem)
    created = moment(datetime.fromisoformat(found.manifest["created"]), "UTC")
    console.print(f"good: {found.manifest['server_name']} of {created}")
    for what in found.left_out:
        console.print(f"  not in it: {what}")


def megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB"
