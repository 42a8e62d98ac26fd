"""`samsesh setup`: its options, and what is done with the answers. The questions are in questions.py."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from samsesh.cli.app import Yes
from samsesh.errors import SettingsError
from samsesh.home import Home

if TYPE_CHECKING:  # pydantic takes long to import; --help need not wait for it
    from rich.console import Console

    from samsesh.settings import Settings


def setup(
    ctx: typer.Context,
    yes: Yes = False,
    server_name: Annotated[
        str | None, typer.Option(help="The Matrix server name, such as example.org.")
    ] = None,
    access: Annotated[
        Literal["local", "lan", "ip", "domain"] | None, typer.Option(help="Who can reach the server.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Address by which people reach it: with lan and ip, and behind NAT.")
    ] = None,
    trial: Annotated[
        bool,
        typer.Option("--trial", help="Take a name that other servers can never reach, such as chat.test."),
    ] = False,
    single_host: Annotated[
        str | None, typer.Option(help="One host for all services, with --access domain.")
    ] = None,
    delegation: Annotated[
        Literal["here", "elsewhere"] | None, typer.Option(help="Who answers at the domain itself.")
    ] = None,
    email: Annotated[str | None, typer.Option(help="Your address for the certificate authority.")] = None,
    admin: Annotated[str | None, typer.Option(help="User name of the first administrator.")] = None,
    admin_password_stdin: Annotated[
        bool,
        typer.Option("--admin-password-stdin", help="Read the administrator's password from standard input."),
    ] = False,
    timezone: Annotated[str | None, typer.Option(help="Time zone, such as Europe/Berlin.")] = None,
    registration: Annotated[
        Literal["closed", "token", "open"] | None, typer.Option(help="Who may make an account.")
    ] = None,
    calls: Annotated[
        Literal["element-call", "jitsi", "off"] | None, typer.Option(help="Where video calls take place.")
    ] = None,
    jitsi_domain: Annotated[str | None, typer.Option(help="The Jitsi server, with --calls jitsi.")] = None,
    port_offset: Annotated[int | None, typer.Option(help="Shift every default port by so much.")] = None,
    start: Annotated[
        bool | None, typer.Option("--start/--no-start", help="Start everything at the end.")
    ] = None,
    new_server: Annotated[  # older.py reads it
        bool, typer.Option("--new-server", help="Make a new server also beside an older installation.")
    ] = False,
) -> None:
    """Ask what the server should be like, write it down, and start it. Run it again to change an answer.

    Examples: `samsesh setup`, `samsesh setup --yes --access domain --server-name example.org --start`.
    """
    from samsesh.cli import questions, reach
    from samsesh.cli.output import console, say
    from samsesh.cli.programs import offer_turnserver
    from samsesh.load import load
    from samsesh.ops import setup as ops

    home: Home = ctx.obj
    given = {
        "server.name": server_name,
        "server.access": access,
        "server.address": address,
        "server.trial": trial or None,
        "hosts.single": single_host,
        "hosts.delegation": delegation,
        "tls.email": email,
        "admin.name": admin,
        "server.timezone": timezone,
        "registration.mode": registration,
        "calls.provider": calls,
        "calls.jitsi_domain": jitsi_domain,
        "ports.offset": port_offset,
    }
    flags = {setting: value for setting, value in given.items() if value is not None}
    if not yes and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SettingsError(
            "setup asks questions, and there is no terminal to ask them on",
            "run it in a terminal, or add --yes",
        )
    if admin_password_stdin and not yes:
        raise SettingsError(
            "--admin-password-stdin works with --yes only", "leave it away: setup asks for the password"
        )
    home.prepare()  # a home that cannot be used is told before twenty questions
    ops.check_name(home, flags)
    loaded = load(home, os.environ, flags=flags, adopt=True)
    settings = loaded.settings
    answers = {**loaded.adopted, **flags}
    if "timezone" not in settings.server.model_fields_set:
        answers["server.timezone"] = ops.machine_timezone()
        settings = ops.with_answers(settings, answers)
    password = ""
    if admin_password_stdin:
        password = _password_from_stdin(home, settings)
    if not yes:
        answers, password = questions.ended_cleanly(
            lambda: questions.ask_everything(console, home, settings, answers)
        )
    ops.keep(home, answers, password, say, loaded.adopted_secrets)
    for warning in loaded.warnings:
        say(warning)
    console.print(f"The settings are in {home.settings_file}.")
    settings = load(home, os.environ).settings
    if yes:
        reach.show_records(console, settings)
    else:
        questions.ended_cleanly(lambda: offer_turnserver(settings), kept=True)
    if start is None and not yes:
        start = questions.start_now(console)
    if start:
        from samsesh.cli.up import run_up

        run_up(home, yes=True)
    else:
        console.print("Start the server with: samsesh up")


def first_question(home: Home, console: "Console") -> dict[str, Any]:
    """The one question of `up` on a terminal without settings: settings by dotted names."""
    from samsesh.cli import questions
    from samsesh.cli.programs import offer_turnserver
    from samsesh.load import load
    from samsesh.ops.setup import with_answers

    home.prepare()
    loaded = load(home, os.environ, adopt=True)
    answers = questions.first_question(console, loaded.settings, loaded.adopted)
    questions.ended_cleanly(lambda: offer_turnserver(with_answers(loaded.settings, answers)))
    return answers


def _password_from_stdin(home: Home, settings: "Settings") -> str:
    from samsesh.ops.setup import may_make_admin, password_problem

    if not may_make_admin(home):
        raise SettingsError("the first administrator is already there", "use `samsesh user password NAME`")
    password = sys.stdin.readline().rstrip("\r\n")
    if reason := password_problem(password, settings):
        raise SettingsError(f"standard input: {reason}")
    return password
