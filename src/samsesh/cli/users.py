"""`samsesh user`: the people on this server."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from samsesh.cli.app import App, Yes
from samsesh.cli.tables import moment
from samsesh.errors import SamseshError, SettingsError
from samsesh.home import Home

if TYPE_CHECKING:  # httpx2 and pydantic take long to import; --help need not wait for them
    from samsesh.ops.server import Server

app = App(help="Accounts: add, list, show, password, admin, deactivate, logout.")

Name = Annotated[str, typer.Argument(help="alice, @alice or @alice:example.org", show_default=False)]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input, one line.")
]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command()
def add(
    ctx: typer.Context,
    name: Name,
    admin: Annotated[bool, typer.Option("--admin", help="May administer the server.")] = False,
    password_stdin: FromStdin = False,
    display_name: Annotated[str, typer.Option(help="The name that others see.")] = "",
) -> None:
    """Make an account: what register_new_matrix_user does elsewhere.

    Examples: `samsesh user add alice`, `samsesh user add bob --admin --password-stdin < file`.
    """
    from samsesh.cli.output import console
    from samsesh.ops import users

    server = opened(ctx.obj)
    users.user_id(server, name)  # a wrong name is told before a password is asked for
    made = users.add(server, name, _password(password_stdin), admin=admin, display_name=display_name)
    console.print(f"{made} can log in now{', as an administrator' if admin else ''}.")


@app.command("list")
def list_(
    ctx: typer.Context,
    deactivated: Annotated[bool, typer.Option("--deactivated", help="Deactivated ones, too.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many.")] = None,
    json: Json = False,
) -> None:
    """List the accounts. Examples: `samsesh user list`, `samsesh user list --deactivated --json`."""
    from samsesh.cli.output import print_json
    from samsesh.cli.tables import print_table
    from samsesh.ops import users

    server = opened(ctx.obj)
    found = users.listed(server, deactivated=deactivated, limit=limit)
    if json:
        print_json(found)
        return
    zone = server.settings.server.timezone
    rows = [
        (
            user["name"],
            _role(user),
            *(moment(user[key], zone) for key in ("last_seen", "created")),
            user["display_name"] or "",
        )
        for user in found
    ]
    print_table(("name", "role", "last seen", "created", "display name"), rows)


@app.command()
def show(ctx: typer.Context, name: Name, json: Json = False) -> None:
    """Show one account and its devices. Example: `samsesh user show alice`."""
    from samsesh.cli.output import console, print_json
    from samsesh.cli.tables import print_table
    from samsesh.ops import users
    from samsesh.text import one_line

    server = opened(ctx.obj)
    user = users.show(server, name)
    if json:
        print_json(user)
        return
    console.print(f"{user['name']} ({_role(user)})")
    console.print(one_line(f"display name: {user['display_name'] or 'none'}"))
    console.print(one_line(f"e-mail: {', '.join(user['emails']) or 'none'}"))
    zone = server.settings.server.timezone
    console.print(f"created: {moment(user['created'], zone)}")
    rows = [
        (device["id"], moment(device["last_seen"], zone), device["address"] or "", device["name"] or "")
        for device in user["devices"]
    ]
    if rows:
        print_table(("device", "last seen", "from", "name"), rows)
    else:
        console.print("logged in nowhere")


@app.command()
def password(
    ctx: typer.Context,
    name: Name,
    password_stdin: FromStdin = False,
    logout_: Annotated[
        bool, typer.Option("--logout/--keep-devices", help="Log the account out everywhere, or leave it.")
    ] = True,
) -> None:
    """Set a new password.

    Examples: `samsesh user password alice`, `samsesh user password alice --keep-devices`.
    """
    from samsesh.cli.output import console
    from samsesh.ops import users

    server = opened(ctx.obj)
    users.user_id(server, name)
    target = users.set_password(server, name, _password(password_stdin), logout=logout_)
    console.print(f"{target} has a new password.")


@app.command()
def admin(
    ctx: typer.Context,
    name: Name,
    on: Annotated[bool, typer.Option("--on/--off", help="May administer the server, or no longer.")],
) -> None:
    """Make an account an administrator, or no longer. Example: `samsesh user admin alice --on`."""
    from samsesh.cli.output import console
    from samsesh.ops import users

    target = users.set_admin(opened(ctx.obj), name, on)
    console.print(f"{target} {'is an administrator now' if on else 'is no administrator'}.")


@app.command()
def deactivate(
    ctx: typer.Context,
    name: Name,
    erase: Annotated[
        bool, typer.Option("--erase", help="Also hide its messages from those who join a room later.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Close an account for good. Example: `samsesh user deactivate alice --erase`."""
    from samsesh.cli.output import console
    from samsesh.ops import users

    server = opened(ctx.obj)
    target = users.user_id(server, name)
    users.show(server, name)
    if not yes:
        _need_terminal("type the name of the account", "add --yes")
        console.print(
            f"This logs {target} out everywhere, removes it from its rooms and forgets its password. "
            "The name can never be used again."
            + (" What it wrote is hidden from people who join later." if erase else "")
        )
        if typer.prompt(f"Type {target} to go on") != target:
            raise SamseshError("that was another name; nothing was changed")
    users.deactivate(server, name, erase=erase)
    console.print(f"{target} is deactivated.")


@app.command()
def logout(ctx: typer.Context, name: Name) -> None:
    """Log an account out on all its devices. Example: `samsesh user logout alice`."""
    from samsesh.cli.output import console
    from samsesh.ops import users

    number = users.logout(opened(ctx.obj), name)
    console.print(f"Logged out of {number} {'device' if number == 1 else 'devices'}.")


def opened(home: Home) -> "Server":
    """The server of this home, for a command that talks to it."""
    from samsesh.cli.output import say
    from samsesh.ops.server import open_server

    return open_server(home, os.environ, say=say)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    _need_terminal("ask for a password", "add --password-stdin")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt="The same again"))


def _need_terminal(what: str, hint: str) -> None:
    if not sys.stdin.isatty():
        raise SettingsError(f"there is no terminal to {what}", hint)


def _role(user: dict[str, Any]) -> str:
    states = ["deactivated", "locked", "suspended"]
    return ", ".join(["admin" if user["admin"] else "user", *(state for state in states if user.get(state))])
