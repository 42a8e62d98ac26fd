"""`samsesh rooms`: the rooms on this server."""

import shlex
import sys
from typing import Annotated, Any

import typer

from samsesh.cli.app import App
from samsesh.cli.users import Json, opened
from samsesh.errors import FAILED, SettingsError

OUTCOMES = ("allowed", "change", "changed", "left", "failed")

app = App(help="Rooms: allow-calls.")


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
    from samsesh.cli.output import console
    from samsesh.cli.tables import print_table

    by_outcome = {outcome: [entry for entry in found if entry["outcome"] == outcome] for outcome in OUTCOMES}
    if changes := by_outcome["change"] + by_outcome["changed"]:
        print_table(
            ("room", "members", "a call takes", "then", "changed by", "name"),
            [
                (e["room"], str(e["members"]), str(e["now"]), str(e["then"]), e["sender"], _name(e))
                for e in changes
            ],
        )
    if others := by_outcome["left"] + by_outcome["failed"]:
        print_table(
            ("room", "members", "name", "left as it is, since"),
            [(e["room"], str(e["members"]), _name(e), e["reason"]) for e in others],
        )
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


def _name(entry: dict[str, Any]) -> str:
    return entry["name"] or entry["alias"] or ""
