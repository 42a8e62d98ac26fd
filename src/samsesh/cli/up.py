"""`samsesh up`, `down`, `restart`: making the server run and telling people where it is."""

import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samsesh.errors import FAILED, SamseshError
from samsesh.home import Home

if TYPE_CHECKING:
    from samsesh.ops.deploy import Report
    from samsesh.ops.server import Server


def up(
    ctx: typer.Context,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing; take settings and defaults.")
    ] = False,
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
    from samsesh.cli.output import say
    from samsesh.ops import deploy

    signal.signal(signal.SIGTERM, _terminated)
    before = _skip_preflight if skip_preflight else _preflight
    report = deploy.up(home, os.environ, flags=flags, say=say, foreground=foreground, before=before)
    _tell(report)
    failed = report.failed
    try:
        if report.to_get:
            failed = _get_programs(home, report)
    except BaseException:
        if report.manager:
            report.server.engine.stop(say)
            report.manager.wait()
        raise
    _tell_failed(failed, stays=bool(report.manager))
    if report.manager:
        _stay(report)


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


def _tell_failed(failed: "tuple[SamseshError, ...]", *, stays: bool) -> None:
    """The chat runs, and something that it can spare does not: told last, and by the exit code unless we stay."""
    from samsesh.cli.output import print_error

    for error in failed:
        print_error(error)
    if failed and not stays:
        raise typer.Exit(FAILED)


def _get_programs(home: Home, report: "Report") -> "tuple[SamseshError, ...]":
    """The chat runs; now what the web client and calls need is got, which may take minutes."""
    from samsesh.cli.output import console, errors, say, warn
    from samsesh.cli.programs import shown
    from samsesh.ops import deploy

    how = "runs" if report.uncertified else "is ready"
    console.print(f"\nThe chat {how}. Getting the rest: {', '.join(report.to_get)}")
    try:
        with shown() as progress:
            more, failed = deploy.get_programs(home, os.environ, report.to_get, say=say, progress=progress)
    except KeyboardInterrupt:
        if not report.manager:
            say("the chat goes on; to get the rest: samsesh up")
        raise
    for error in failed:
        warn(error.message)
        for line in filter(None, [error.hint, *error.detail.splitlines()]):
            errors.print(f"  {line}")
    if more is not None:
        _tell_addresses(more, off=not failed)  # what could not be had was just told
    if report.first_admin and report.first_admin[1]:
        console.print("The administrator's password stands above: it is shown only there.")
    return report.failed if more is None else more.failed


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
    from samsesh.cli.output import console
    from samsesh.ops import deploy
    from samsesh.ops.server import preview_server

    report = deploy.preview(preview_server(home, os.environ, flags))
    for change in report.changes:
        console.print(f"{change.action:8} {change.unit}{'  (' + change.why + ')' if change.why else ''}")
    for path in report.files:
        console.print(f"write    {path}")
    if not report.changed and not report.first_admin:
        console.print("Nothing to do.")


def _tell(report: "Report") -> None:
    """What a person wants to know when `up` is done."""
    from samsesh.cli.output import console, warn
    from samsesh.ops.service import reboot_warning

    for warning in (*report.server.warnings, *report.warnings):
        warn(warning)
    if report.backup:
        console.print(f"A backup from before the change of version is in {report.backup}")
    if not report.changed and not report.uncertified:
        console.print("Nothing to do: the server runs as the settings say.")
        return
    console.print(f"\n{verdict(report)}\n", style="bold")
    _tell_addresses(report, off=not report.to_get)  # what is still to get is told behind it
    if report.first_admin:
        name, password = report.first_admin
        console.print(f"\nAdministrator: {name}")
        if password:
            console.print(f"Password:      {password}   (shown only now)")
    _tell_safety(report, reboot_warning(report.server.home))


def verdict(report: "Report") -> str:
    """Whether people can come, in one sentence."""
    name, missing = report.server.settings.brand.name, report.uncertified
    if not missing:
        return f"{name} is ready."
    which = "" if set(missing) >= set(report.server.access.names()) else f" for {', '.join(missing)}"
    return (
        f"{name} runs, but has no certificate{which} yet: nobody reaches it by https{' there' * bool(which)}."
    )


def _tell_addresses(report: "Report", *, off: bool) -> None:
    from samsesh.cli.output import console, print_rows

    offer = report.server.plan.offer
    titles = {
        "web": "Chat and sign-up, in a browser",
        "homeserver": "Homeserver, for apps",
        "call": "Video calls",
        "admin": "Administration",
    }
    found = [(title, offer.addresses[name]) for name, title in titles.items() if name in offer.addresses]
    print_rows(found, indent="  ")
    for off_ in offer.off if off else ():
        console.print(f"  {off_.name}: off, since {off_.reason}. {off_.advice}")


def _tell_safety(report: "Report", reboot: str) -> None:
    from samsesh.cli.notes import after_up
    from samsesh.cli.output import console

    console.print()
    for note in [*after_up(report.server, report.uncertified), *([reboot] if reboot else [])]:
        console.print(f"- {note}")


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
