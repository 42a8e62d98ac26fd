"""`samsesh rooms`: the rooms on this server."""

import shlex
import sys
from typing import Annotated, Any

import typer

from samsesh.cli.users import Json, opened
from samsesh.errors import FAILED, SettingsError

OUTCOMES = ("allowed", "change", "changed", "left", "failed")

app = typer.Typer(no_args_is_help=True, help="Rooms: allow-calls.")


@app.command("allow-calls")
def allow_calls(
    ctx: typer.Context,
    room: Annotated[
        list[str] | None, typer.Argument(help="Room IDs or aliases, in quotes.", show_default=False)
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Every room, but those whose admins decided otherwise.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes/--dry-run", "-y", help="Do it. Else it is only shown what would change.")
    ] = False,
    json: Json = False,
) -> None:
    """Let ordinary members join calls in rooms made before this server had calls; new rooms allow it by themselves.

    It is done as somebody who has the power in the room, and everybody in it sees that. First it is only shown.
    Examples: `samsesh rooms allow-calls`, `samsesh rooms allow-calls --all --yes`.
    """
    from rich.progress import Progress

    from samsesh.cli.output import errors, print_json
    from samsesh.ops import rooms

    if room and all_:
        raise SettingsError("--all is every room already", "name rooms, or add --all")
    if yes and not room and not all_:
        raise SettingsError("which rooms?", "name them, or add --all")
    server = opened(ctx.obj)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("looking at rooms", total=None)
        found = rooms.allow_calls(
            server,
            room or [],
            change=yes,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if json:
        print_json(found)
    else:
        _print(found, room or [])
    if any(entry["outcome"] == "failed" for entry in found):
        sys.exit(FAILED)


def _print(found: list[dict[str, Any]], names: list[str]) -> None:
    from rich.table import Table

    from samsesh.cli.output import add_row, console

    by_outcome = {outcome: [entry for entry in found if entry["outcome"] == outcome] for outcome in OUTCOMES}
    changes = Table("room", "name", "members", "a call takes", "then", "changed by")
    for entry in by_outcome["change"] + by_outcome["changed"]:
        add_row(changes, *_cells(entry), str(entry["now"]), str(entry["then"]), entry["sender"])
    others = Table("room", "name", "members", "left as it is, since")
    for entry in by_outcome["left"] + by_outcome["failed"]:
        add_row(others, *_cells(entry), entry["reason"])
    for table in (changes, others):
        if table.row_count:
            console.print(table)
    told = {
        "allowed": "where calls are allowed already",
        "left": "left as they are",
        "changed": "where calls are allowed now",
    }
    for outcome, words in {**told, "failed": "that could not be changed"}.items():
        if by_outcome[outcome]:
            console.print(f"Rooms {words}: {len(by_outcome[outcome])}")
    if by_outcome["change"]:
        again = f"samsesh rooms allow-calls {shlex.join(names) or '--all'} --yes"
        console.print(
            f"Rooms to change: {len(by_outcome['change'])}. Nothing was done yet; do it with: {again}"
        )
    elif not by_outcome["changed"]:
        console.print("There is nothing to change.")


def _cells(entry: dict[str, Any]) -> list[Any]:
    from rich.text import Text

    from samsesh.text import one_line

    named = entry["name"] or entry["alias"] or ""
    return [Text(one_line(entry["room"]), overflow="fold"), named, str(entry["members"])]
