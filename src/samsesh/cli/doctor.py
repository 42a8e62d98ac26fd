"""`samsesh doctor`: what is wrong with the server, and what to do."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from samsesh.errors import DONE, FAILED, SamseshError

if TYPE_CHECKING:  # takes long to import; --help need not wait for it
    from samsesh.diagnosis import Check, Outcome
    from samsesh.ops.doctor_history import Changes
    from samsesh.ops.server import Server

COLORS = {"ok": "green", "warning": "yellow", "failed": "bold red", "skipped": "dim"}
LINES_SEEN = 16


def doctor(
    ctx: typer.Context,
    groups: Annotated[
        list[str] | None,
        typer.Argument(help="Groups of checks, such as calls; none: all but long.", show_default=False),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="One check, by its name; several times for more.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Examine the server: what is wrong, what was seen, what to do. Exit code 0 when nothing failed.

    To try calls it makes a room, and takes it away again.

    Examples: `samsesh doctor`, `samsesh doctor calls`, `samsesh doctor --only disk --json`.
    """
    from samsesh import diagnosis
    from samsesh.cli.output import print_json, warn
    from samsesh.ops import doctor_history
    from samsesh.ops.server import server_as_found

    server = server_as_found(ctx.obj, os.environ)
    checks = diagnosis.choose(diagnosis.all_checks(), groups or (), only or ())
    with _progress(checks, quiet=json) as told:
        outcomes = asyncio.run(diagnosis.examine(diagnosis.Patient(server), checks, told))
    statuses = {outcome.check.id: outcome.result.status for outcome in outcomes}
    before = doctor_history.last(server.home)
    changes = doctor_history.compare(before, statuses) if before else None
    ok = "failed" not in statuses.values()
    if not (groups or only):
        try:
            doctor_history.keep(server.home, statuses)
        except SamseshError as error:  # a full disk, for one, is what it is to tell of
            warn(f"{error.message}, so the next examination cannot say what is new")
    if json:
        found = {"ok": ok, "verdict": verdict(outcomes), "checks": [outcome.data() for outcome in outcomes]}
        print_json({**found, "changes": changes.data() if changes else None})
    else:
        print_outcomes(server, outcomes, changes)
    raise typer.Exit(DONE if ok else FAILED)


def verdict(outcomes: "Sequence[Outcome]") -> str:
    """All in one sentence."""
    by = {status: [one.check.id for one in outcomes if one.result.status == status] for status in COLORS}
    failed, warnings, skipped = by["failed"], by["warning"], by["skipped"]
    told = f"{len(failed)} of {_count(len(outcomes), 'check')} failed: {', '.join(failed)}" if failed else ""
    if warnings:
        told += f"{' and' if told else 'Nothing failed;'} {_count(len(warnings), 'warning')}"
    if skipped:
        told += f"{', ' if told else 'Nothing failed; '}{len(skipped)} skipped"
    return f"{told}." if told else f"All is well: {_count(len(outcomes), 'check')}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@contextmanager
def _progress(checks: "Sequence[Check]", *, quiet: bool) -> "Iterator[Callable[[Outcome], None] | None]":
    """On a terminal one line that says what is still waited for; elsewhere a line for each check."""
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from samsesh.cli.output import errors, say

    if quiet:
        yield None
    elif not sys.stderr.isatty():
        yield lambda one: say(f"{one.check.id}: {one.result.status} ({one.seconds:.1f} s)")
    else:
        waiting = {check.id: check.title for check in checks}
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
        with Progress(*columns, console=errors, transient=True) as shown:
            bar = shown.add_task(f"{len(checks)} checks")

            def told(one: "Outcome") -> None:
                del waiting[one.check.id]
                rest = ", ".join(waiting.values())
                line = f"{len(checks) - len(waiting)} of {len(checks)} checks done; waiting for: {rest}"
                shown.update(bar, description=line[: errors.width - 4])

            yield told


def print_outcomes(server: "Server", outcomes: "Sequence[Outcome]", changes: "Changes | None") -> None:
    """Problems first, what is well behind them, and in one line what could not be looked at."""
    from samsesh.cli.output import console
    from samsesh.cli.tables import moment

    worst = next(
        s for s in ("failed", "warning", "skipped", "ok") if s in {o.result.status for o in outcomes} | {"ok"}
    )
    color = {"failed": "bold red", "ok": "bold green"}.get(worst, "bold yellow")
    console.print(verdict(outcomes), style=color)
    if changes and (changes.worse or changes.better):
        now = {outcome.check.id: outcome.result.status for outcome in outcomes}
        parts = [f"{now[id_]}: {id_}" for id_ in changes.worse]
        parts += [f"fixed: {id_}" + (" (a warning is left)" * (now[id_] != "ok")) for id_ in changes.better]
        since = moment(changes.since, server.settings.server.timezone)
        console.print(f"New since {since}: {'; '.join(parts)}")
    width = max(len(outcome.check.id) for outcome in outcomes)
    for status in ("failed", "warning", "ok"):
        for outcome in outcomes:
            if outcome.result.status == status:
                _print_one(outcome, width)
    skipped = [outcome for outcome in outcomes if outcome.result.status == "skipped"]
    if len(skipped) == 1:
        _print_one(skipped[0], width)
    elif skipped:
        _print_skipped([outcome.check.id for outcome in skipped])


def _print_skipped(ids: list[str]) -> None:
    """All in one line: what they build on is among the problems."""
    from rich.text import Text

    from samsesh.cli.output import as_called, console

    why = as_called(f"{', '.join(ids)} (why: samsesh doctor --only {ids[0]})")
    console.print(Text("skipped ", style=COLORS["skipped"]) + Text(why))


def _print_one(outcome: "Outcome", width: int) -> None:
    from rich.text import Text

    from samsesh.cli.output import as_called, console
    from samsesh.text import one_line, printable

    found = outcome.result
    head = Text(f"{found.status:8}", style=COLORS[found.status])
    console.print(head + Text(f"{outcome.check.id:{width}}  {one_line(as_called(found.summary))}"))
    if found.status in ("failed", "warning"):
        for line in printable(found.seen).splitlines()[-LINES_SEEN:]:
            console.print(f"{'':8}{line}", style="dim")
        for line in printable(found.advice).splitlines():
            console.print(f"{'':8}-> {line}")
