"""`samsesh status`, `logs`, `version`: what is going on."""

from typing import Annotated, Any

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="For programs.")]
CONTINUED = "  | "  # before a line that goes on the record before it, so that nobody takes it for one
COLORS = {"running": "green", "starting": "yellow", "failing": "red", "stopped": "red"}


def status(ctx: typer.Context, json: JsonFlag = False) -> None:
    """Say in one line whether all is well, then each service. Exit code 0 when ok, else 1.

    Examples: `samsesh status`, `samsesh status --json`.
    """
    from samsesh.cli.notes import fingerprint
    from samsesh.cli.output import print_json
    from samsesh.ops import status as ops
    from samsesh.ops.server import open_server

    server = open_server(ctx.obj, {})
    found = {**ops.status(server), "notes": [*fingerprint(server), *ops.notes(server)]}
    if json:
        print_json(found)
    else:
        print_status(found)
    raise typer.Exit(0 if found["ok"] else 1)


def print_status(found: dict[str, Any]) -> None:
    from rich.text import Text

    from samsesh.cli.notes import for_people
    from samsesh.cli.output import console, print_rows
    from samsesh.cli.tables import print_table

    console.print(found["verdict"], style="bold green" if found["ok"] else "bold red")
    print_rows(for_people(found["addresses"]), indent="  ")
    rows: list[tuple[str | Text, ...]] = []
    for service in found["services"]:
        memory = service["memory_bytes"]
        rows.append(
            (
                service["title"],
                Text(service["state"], style=COLORS[service["state"]]),
                span(service["uptime_seconds"]),
                f"{memory / 1024 / 1024:.0f} MB" if memory else "",
                service["address"],
            )
        )
    print_table(("service", "state", "up", "memory", "address"), rows)
    for service in found["services"]:
        if service["state"] != "running":
            console.print(f"{service['name']}: {service['reason']}")
    for off in found["off"]:
        console.print(f"{off['name']} is off; {off['advice']}")
    for note in found["notes"]:
        console.print(note)


def span(seconds: int | None) -> str:
    """Seconds as people say them: 3 d 4 h, 5 min, 12 s."""
    if seconds is None:
        return ""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{rest} s"


def logs(
    ctx: typer.Context,
    services: Annotated[
        list[str] | None, typer.Argument(help="synapse, postgres, gateway; none: all.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    count: Annotated[int, typer.Option("--lines", "-n", min=0, help="So many last lines.")] = 50,
    since: Annotated[
        str | None, typer.Option(help="Only since then: 10m, 2h, or '2026-01-31 12:00' (UTC).")
    ] = None,
) -> None:
    """Show what the services write. Times are UTC. What goes on a record has a bar before it.

    Examples: `samsesh logs -f`, `samsesh logs synapse --since 10m`.
    """
    from itertools import chain

    from samsesh.cli.output import console
    from samsesh.ops import logs as ops
    from samsesh.text import one_line

    wanted = services or []
    start = ops.since_time(since) if since else None
    shown = ops.entries(ctx.obj, wanted, count, start)
    several = len(wanted) != 1
    for entry in chain(shown, ops.follow(ctx.obj, wanted) if follow else ()):
        line = CONTINUED * entry.goes_on + one_line(entry.line)
        console.out(f"{entry.service:12} {line}" if several else line, highlight=False)


def version(ctx: typer.Context, json: JsonFlag = False) -> None:
    """Show the versions of Samsesh and of what it runs. Example: `samsesh version --json`."""
    from samsesh import __version__
    from samsesh.cli.output import console, print_json
    from samsesh.facts import gather

    facts = gather()
    if json:
        print_json({"samsesh": __version__, "packages": dict(facts.versions)})
        return
    console.print(f"samsesh {__version__}")
    for name, number in sorted(facts.versions.items()):
        console.print(f"{name} {number}")
