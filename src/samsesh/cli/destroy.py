"""`samsesh destroy`: a server, and with --all everything of Samsesh's on this machine."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from samsesh.cli.app import Yes
from samsesh.errors import DONE, SamseshError, SettingsError
from samsesh.home import Home
from samsesh.text import one_line

if TYPE_CHECKING:
    from samsesh.ops.destroy import Target
    from samsesh.ops.uninstall import Plan

ALL = "--all"
# What root takes away once the child that deletes the server has ended: found before root's rights are given up.
_planned: dict[Path, "Plan"] = {}


def destroy(
    ctx: typer.Context,
    confirm: Annotated[
        str, typer.Option(help="The server's name, for programs: deletes without asking.")
    ] = "",
    backup: Annotated[bool | None, typer.Option("--backup/--no-backup", help="Take a backup first.")] = None,
    everything: Annotated[
        bool, typer.Option(ALL, help="Also remove caches, environments and the user samsesh.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --all: though other servers of this machine use them.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Delete this server: accounts, messages, files, keys, settings. Backups in its home folder stay.

    It asks for the server's name; --yes alone is not enough.

    Examples: `samsesh destroy`, `samsesh destroy --confirm example.org --backup`, `samsesh destroy --all`.
    """
    from samsesh.cli import reserved
    from samsesh.cli.output import console, say
    from samsesh.ops import destroy as ops
    from samsesh.ops import uninstall

    home: Home = ctx.obj
    target = ops.target(home)
    asking = not confirm
    _check_words(target, confirm, yes=yes)
    plan = _planned.get(home.path) or uninstall.plan(home, os.environ) if everything else None
    if plan and plan.others and not force:
        raise SamseshError(
            f"other servers of this machine use the same programs: {', '.join(map(str, plan.others))}",
            "leave out --all, destroy those first, or add --force",
        )
    if asking:
        _announce(home, target)
    if plan:
        _print_plan(plan)
    _back_up(home, target, backup, asking=asking)
    if asking:
        confirm = typer.prompt(one_line(f"Type {target.name} to delete it"))
    ops.destroy(home, confirm, say)
    reserved.undo(home)
    if target.stays:
        console.print(one_line(f"Not touched: {target.stays}. If nobody needs it, drop it there."))
    if plan is None:
        console.print("Deleted. Begin again with: samsesh setup")
    elif home.path not in _planned:
        uninstall.remove(plan, home, say)
        console.print("Deleted.")


def take_all_away_later(home: Home) -> None:
    """As root, with --all: a child deletes the server, as its user; then root removes that user and the rest."""
    if ALL not in sys.argv:
        return
    from samsesh.cli.output import console, say
    from samsesh.ops import uninstall
    from samsesh.ops.privileges import go_on_in_a_child

    def afterwards(code: int) -> None:
        if code == DONE:
            uninstall.remove(plan, home, say)
            console.print("Deleted.")

    plan = _planned[home.path] = uninstall.plan(home, os.environ)
    go_on_in_a_child(afterwards)


def _check_words(target: "Target", confirm: str, *, yes: bool) -> None:
    if not confirm and (yes or not sys.stdin.isatty()):
        why = "and was to ask nothing" if yes else "and there is no terminal"
        raise SettingsError(f"destroy asks for the server's name, {why}", f"add --confirm {target.name}")
    if confirm not in ("", target.name):
        raise SamseshError(
            f"{confirm} is not the name of this server: nothing was deleted", f"it is {target.name}"
        )


def _back_up(home: Home, target: "Target", backup: bool | None, *, asking: bool) -> None:
    from samsesh.cli.output import console, say
    from samsesh.ops import backup as backups

    if asking and backup is None and target.whole:
        backup = typer.confirm("Take a backup first?", default=True)
    if backup:
        console.print(f"Backup: {backups.create_locked(home, os.environ, say).path}")


def _announce(home: Home, target: "Target") -> None:
    from samsesh.cli.backup import megabytes
    from samsesh.cli.output import console

    console.print(
        one_line(f"This deletes the server {target.name} in {home.path}: {megabytes(target.size)}.")
    )
    console.print("Accounts, messages, files, keys and settings are gone for good. Backups stay.")


def _print_plan(plan: "Plan") -> None:
    from samsesh.cli.output import console, print_rows

    going = [(str(path), what) for path, what in plan.folders.items() if path.is_dir()]
    going += [(str(path), "so that `samsesh` works anywhere") for path in plan.files]
    going += [(f"the user {plan.user}", "and its group")] if plan.user else []
    console.print("\nThis goes, too:")
    print_rows(going, indent="  ")
    console.print("\nThis stays:")
    for sentence in plan.stays:
        console.print(f"- {sentence}")
    console.print()
