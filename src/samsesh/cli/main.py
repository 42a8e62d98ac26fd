"""The program: global options, commands, and the one place where errors are caught and become exit codes."""

import os
import re
import shlex
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from samsesh import __version__
from samsesh.cli import (
    agent,
    backup,
    config,
    doctor,
    engine,
    images,
    invites,
    outside,
    programs,
    render,
    reports,
    restore,
    rooms,
    rtc,
    service,
    setup,
    splitter,
    up,
    users,
)
from samsesh.cli import destroy as destroy_
from samsesh.errors import FAILED, SamseshError, SettingsError
from samsesh.home import Home, default_home, named_home

_HOME = re.compile("--home(=|$)")
INTERRUPTED = 130  # what a shell reports for Ctrl-C
AS_ROOT = frozenset(
    {"install-service", "rtc-auth", "version"}
)  # commands that need no home of the service user, or need root
MAKES_HOME = frozenset({"up", "render", "setup", "config", "restore"})  # the others only look for one

app = typer.Typer(
    name="samsesh",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Your own private chat and video-call server (Matrix). Begin with: samsesh up",
)


def _show_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"samsesh {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            "--home", help="Folder of this server. Else SAMSESH_HOME, else the platform's data folder."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run before every command: which home, as which user."""
    if ctx.invoked_subcommand in ("rtc-auth", "agent", "splitter"):
        return  # they know no home, and what is not imported takes no memory
    from samsesh.environment import with_local_env_file

    path = named_home(home) if home else default_home(os.environ)
    ctx.obj = Home(path)
    if home:
        called = [os.environ.get("SAMSESH_COMMAND", "samsesh"), "--home", str(home)]
        os.environ["SAMSESH_CALLED"] = shlex.join(called)
    with suppress(FileNotFoundError):  # the current folder was removed
        os.environ.update(with_local_env_file(os.environ, Path.cwd(), path))
    if os.geteuid() == 0 and ctx.invoked_subcommand not in AS_ROOT and "--help" not in sys.argv:
        from samsesh.ops.privileges import become_service_user

        if ctx.invoked_subcommand == "restore":
            restore.open_as_root(sys.argv)
        if ctx.invoked_subcommand in ("up", "down", "restart") and "--foreground" not in sys.argv:
            service.control_as_root(ctx.obj, ctx.invoked_subcommand)
        if ctx.invoked_subcommand == "up" and sys.stdin.isatty() and sys.stdout.isatty():
            programs.offer_turnserver(ctx.obj, sys.argv)
        output = render.folder(sys.argv) if ctx.invoked_subcommand == "render" else None
        become_service_user(ctx.obj, make_home=ctx.invoked_subcommand in MAKES_HOME, output=output)


app.command("setup")(setup.setup)
app.command("up")(up.up)
app.command("down")(up.down)
app.command("render")(render.render)
app.command("restart")(up.restart)
app.command("status")(reports.status)
app.command("logs")(reports.logs)
app.command("doctor")(doctor.doctor)
app.add_typer(config.app, name="config")
app.add_typer(users.app, name="user")
app.add_typer(invites.app, name="invite")
app.add_typer(rooms.app, name="rooms")
app.add_typer(engine.app, name="engine")
app.add_typer(backup.app, name="backup")
app.command("restore")(restore.restore)
app.command("destroy")(destroy_.destroy)
app.command("ports")(outside.ports)
app.command("proxy-config")(outside.proxy_config)
app.command("images")(images.images)
app.command("install-service")(service.install_service)
app.command("rtc-auth")(rtc.rtc_auth)
app.command("agent", hidden=True)(agent.agent)
app.command("splitter", hidden=True)(splitter.splitter)
app.command("version")(reports.version)


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as an exception, so that what was begun is tidied up


def _home_first(words: list[str]) -> None:
    """Told before a command makes the usual home in place of the one that is meant."""
    command, *more = words or [""]
    values = command.startswith("-") or command == "config"  # whose values may be anything
    if not values and any(_HOME.match(word) for word in more):
        raise SettingsError("--home stands before the command", f"write: samsesh --home DIR {command}")


def main() -> None:
    """The entry point; exit codes: 0 done, 1 failed, 2 wrong usage or settings, 130 interrupted."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores one of them
            signal.signal(number, _end)
    try:
        _home_first(sys.argv[1:])
        app(prog_name="samsesh", standalone_mode=True)
    except SamseshError as error:
        from samsesh.cli.output import print_error

        print_error(error)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.stderr.write("\nsamsesh: interrupted\n")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except OSError as error:  # what no command foresaw: a closed folder, a full disk
        from samsesh.cli.output import print_error

        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print_error(
            SamseshError(what, "check that file or folder: its owner, its mode, the room on its disk")
        )
        sys.exit(FAILED)
