"""The program: global options and commands."""

import os
import re
import shlex
import sys
from collections.abc import Mapping
from itertools import pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from samsesh import __version__
from samsesh.cli import (
    agent,
    backup,
    catch_up,
    config,
    doctor,
    engine,
    images,
    invites,
    link,
    outside,
    programs,
    render,
    reports,
    reserved,
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
from samsesh.cli.app import App
from samsesh.errors import SamseshError, SettingsError
from samsesh.home import Home, default_home, named_home
from samsesh.text import is_text

if TYPE_CHECKING:
    from samsesh.local_env import LocalEnv

_HOME = re.compile("--home(=|$)")
ADOPTING = frozenset({"up", "setup", "render"})  # commands that take variables into the settings
STARTING = frozenset({"up", "setup"})
AS_ROOT = frozenset(
    {"install-service", "rtc-auth", "version", "link", "completion"}
)  # commands that need no home of the service user, or need root
WITH_FILES = frozenset({"backup", "render", "restore"})  # commands whose arguments are paths
MAKES_HOME = frozenset({"up", "render", "setup", "config", "restore"})  # the others only look for one

app = App(
    name="samsesh",
    pretty_exceptions_enable=False,
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
        typer.Option("--home", help="Folder of this server. Else SAMSESH_HOME, else the usual one."),
    ] = None,
    no_color: Annotated[  # read by entry.py
        bool, typer.Option("--no-color", help="Print without colours, as with NO_COLOR=1.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run before every command: which home, as which user."""
    if ctx.invoked_subcommand in ("rtc-auth", "agent", "splitter"):
        return  # they know no home, and what is not imported takes no memory
    path = named_home(home) if home else default_home(os.environ)
    ctx.obj = Home(path)
    if home:
        called = [os.environ.get("SAMSESH_COMMAND", "samsesh"), "--home", str(home)]
        os.environ["SAMSESH_CALLED"] = shlex.join(called)
    if "--help" not in takewhile(lambda word: word != "--", sys.argv):
        _take_variables_and_give_root_up(ctx.obj, ctx.invoked_subcommand or "")


def _take_variables_and_give_root_up(home: Home, command: str) -> None:
    """In this order: the `.env` of the folder that we are in may be for root alone to read."""
    from samsesh.cli.output import say, warn

    if command in STARTING:
        from samsesh.cli import older

        older.settle(home, sys.argv)
        link.offer_later(home)
    local, given = None, dict(os.environ)
    if command in ADOPTING:
        from samsesh import local_env

        local = local_env.read(os.environ, home.path)
        os.environ.update(local.variables)
        for remark in local.remarks:
            warn(remark)
    if os.geteuid() == 0 and command not in AS_ROOT:
        _give_root_up(home, command, given, local)
    if local and local.variables and not home.started:
        say(local.told)


def _give_root_up(home: Home, command: str, given: Mapping[str, str], local: "LocalEnv | None") -> None:
    from samsesh.cli import consent
    from samsesh.ops.privileges import become_service_user

    if command == "destroy":
        destroy_.take_all_away_later(home)
    record = consent.settle(home, command, sys.argv, given, local)
    if command == "restore":
        restore.open_as_root(sys.argv)
    if command in ("up", "down", "restart") and "--foreground" not in sys.argv:
        service.control_as_root(home, command)
    if record.engine != "compose" and (command == "setup" or (command == "up" and home.empty)):
        programs.keep_installer(sys.argv)
    if command in ("up", "destroy"):
        reserved.stay_root(home, command, sys.argv)
    become_service_user(
        home,
        record,
        make_home=command in MAKES_HOME,
        output=render.folder(sys.argv) if command == "render" else None,
    )


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
app.command("link")(link.link)
app.command("completion")(link.completion)
app.command("rtc-auth")(rtc.rtc_auth)
app.command("agent", hidden=True)(agent.agent)
app.command("splitter", hidden=True)(splitter.splitter)
app.command("renew-relay", hidden=True)(programs.renew_relay)
app.command("catch-up", hidden=True)(catch_up.catch_up)
app.command("version")(reports.version)


def _home_first(words: list[str]) -> None:
    """Told before a command makes the usual home in place of the one that is meant."""
    command, *more = words or [""]
    values = command.startswith("-") or command == "config"  # whose values may be anything
    if not values and any(_HOME.match(word) for word in more):
        raise SettingsError("--home stands before the command", f"write: samsesh --home DIR {command}")


def _check_words(words: list[str]) -> None:
    """Only the path of a file may be of bytes that are no UTF-8; of a home, the home itself says what it may be."""
    command = next((word for word in words if word in WITH_FILES), "")
    for before, word in pairwise(["", *words]):
        if not (is_text(word) or command or before == "--home" or word.startswith("--home=")):
            raise SettingsError(f"the argument {word!a} is no UTF-8 text", "write it in UTF-8")


def run(words: list[str]) -> None:
    """The command that these words name. Wrong ones are printed as every error is: they may come from elsewhere."""
    _check_words(words)
    _home_first(words)
    link.answer_shells()
    try:
        sys.exit(app(words, prog_name="samsesh", standalone_mode=False))
    except TyperException as error:
        message, context = error.format_message(), getattr(error, "ctx", None)
        if not message:  # the help was printed in its place
            sys.exit(error.exit_code)
        command = context.command_path if context else "samsesh"
        raise SettingsError(message, f"see: {command} --help") from None
    except typer.Abort:
        raise SamseshError("nothing was answered") from None
