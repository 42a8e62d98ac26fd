"""`samsesh up`, `down`, `restart`: making the server run and telling people where it is."""

import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samsesh.cli.app import Yes
from samsesh.errors import FAILED, SamseshError
from samsesh.home import Home

if TYPE_CHECKING:
    from samsesh.ops.deploy import Report
    from samsesh.ops.server import Server


def up(
    ctx: typer.Context,
    yes: Yes = False,
    port_offset: Annotated[
        int | None, typer.Option(help="Shift every default port by so much; kept in the settings.")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="What runs it: native or compose; kept in the settings.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay until stopped: for containers and systemd.")
    ] = False,
    skip_preflight: Annotated[
        bool,
        typer.Option("--skip-preflight", help="Start also where names, ports or certificates look wrong."),
    ] = False,
    new_server: Annotated[  # older.py reads it
        bool, typer.Option("--new-server", help="Make a new server also beside an older installation.")
    ] = False,
) -> None:
    """Make the server run as the settings say. Does nothing where it does already.

    Examples: `samsesh up`, `samsesh up --yes --port-offset 1000`, `samsesh up --dry-run`, `samsesh up --engine compose`.
    """
    home: Home = ctx.obj
    flags: dict[str, Any] = {} if port_offset is None else {"ports.offset": port_offset}
    if engine is not None:
        flags["server.engine"] = engine
    if dry_run:
        _preview(home, flags)
        return
    if not yes and not foreground and home.empty and sys.stdin.isatty() and sys.stdout.isatty():
        from samsesh.cli.output import console
        from samsesh.cli.setup import first_question

        flags = {**first_question(home, console), **flags}
    run_up(home, yes=yes, flags=flags, foreground=foreground, skip_preflight=skip_preflight)


def run_up(
    home: Home,
    *,
    yes: bool,
    flags: dict[str, Any] | None = None,
    foreground: bool = False,
    skip_preflight: bool = False,
) -> None:
    from samsesh.cli.ending import print_end, print_report
    from samsesh.cli.output import say
    from samsesh.ops import catch_up, deploy

    signal.signal(signal.SIGTERM, _terminated)
    before = _skip_preflight if skip_preflight else _preflight
    report = deploy.up(
        home, os.environ, flags=flags, say=say, foreground=foreground, before=before, after=print_report
    )
    try:
        if report.to_get:
            _get_programs(home, report)
            print_end(report)
        catch_up.begin(report.server, os.environ, again=bool(report.later))
    except BaseException:
        if report.manager:
            report.server.engine.stop(say)
            report.manager.wait()
        raise
    if report.manager:
        _stay(report)
    elif report.failed:
        raise typer.Exit(FAILED)


def _preflight(server: "Server") -> None:
    """What would make a start in a public mode senseless; warnings are told and do not stop it."""
    if server.settings.server.access == "local":
        return
    from samsesh import preflight
    from samsesh.cli import reserved
    from samsesh.cli.output import say, warn

    reserved.offer(server)
    if preflight.due(server):
        say("looking whether names, ports and certificates are ready (preflight)")
    preflight.must_pass(
        server,
        lambda one: warn(f"{one.result.summary}; {one.result.advice}"),
        lambda one: say(f"{one.check.title}: {one.result.status}"),
    )


def _skip_preflight(server: "Server") -> None:
    """Somebody knows better: these settings count as examined, so that a reboot does not ask again."""
    from samsesh import preflight

    preflight.passed(server)


def _get_programs(home: Home, report: "Report") -> None:
    """The chat runs; now what the web client and calls need is got, which may take minutes. Updates the report."""
    from samsesh.cli.output import console, errors, say, warn
    from samsesh.cli.programs import shown
    from samsesh.ops import deploy

    console.print(f"\nGetting the rest: {', '.join(report.to_get)}")
    try:
        with shown() as progress:
            more, failed = deploy.get_programs(home, os.environ, report.to_get, say=say, progress=progress)
    except KeyboardInterrupt:
        if not report.manager:
            say("the chat goes on; to get the rest: samsesh up")
        raise
    except SamseshError as error:  # the chat runs, and people learn where
        report.unproven = error
        report.failed += (error,)
        return
    for reason in failed:
        warn(reason.message)
        for line in filter(None, [reason.hint, *reason.detail.splitlines()]):
            errors.print(f"  {line}")
    if more is None:
        raise SamseshError("the server was stopped meanwhile", "start it again: samsesh up")
    report.take(more)


def _terminated(number: int, frame: FrameType | None) -> None:
    """TERM ends a start as Ctrl-C does: what was started is stopped."""
    sys.exit(128 + number)


def _stay(report: "Report") -> None:
    """Wait for the process manager; TERM and INT stop everything in order first."""
    from samsesh.cli.output import say

    manager = report.manager
    assert manager is not None
    asked = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        manager.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    manager.wait()
    report.server.engine.stop(say)
    if not asked:
        raise SamseshError("the process manager ended by itself", "see `samsesh logs supervisord`")


def _preview(home: Home, flags: dict[str, Any]) -> None:
    from samsesh.cli.output import console, warn
    from samsesh.ops import deploy
    from samsesh.ops.server import preview_server

    server = preview_server(home, os.environ, flags)
    for file in filter(lambda file: file.problem, server.files):
        warn(file.warning)
    report = deploy.preview(server)
    for change in report.changes:
        console.print(f"{change.action:8} {change.unit}{'  (' + change.why + ')' if change.why else ''}")
    for path in report.files:
        console.print(f"write    {path}")
    if not report.changed and not report.first_admin:
        console.print("Nothing to do.")


def down(ctx: typer.Context) -> None:
    """Stop the server. No data is touched. Example: `samsesh down`."""
    from samsesh.cli.output import console, say
    from samsesh.ops import deploy

    stopped = deploy.down(ctx.obj, say)
    console.print("The server is stopped." if stopped else "Nothing was running.")


def restart(
    ctx: typer.Context,
    services: Annotated[
        list[str] | None, typer.Argument(help="Services to restart; none: all.", show_default=False)
    ] = None,
) -> None:
    """Restart all services, or those named. Examples: `samsesh restart`, `samsesh restart synapse`."""
    from samsesh.cli.output import console, say
    from samsesh.ops import deploy

    deploy.restart(ctx.obj, os.environ, services or [], say)
    console.print("Restarted, and everything answers.")
