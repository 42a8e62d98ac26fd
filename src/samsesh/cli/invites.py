"""`samsesh invite`: links by which people make their own account."""

from typing import Annotated

import typer

from samsesh import names
from samsesh.cli.app import App
from samsesh.cli.tables import moment
from samsesh.cli.users import Json, opened
from samsesh.errors import SettingsError

app = App(help="Invitations: create, list, revoke.")


@app.command()
def create(
    ctx: typer.Context,
    uses: Annotated[int, typer.Option(help="How many people it is for.")] = 1,
    expires: Annotated[str, typer.Option(help="How long it works: 12h, 7d, 2w.")] = "7d",
    qr: Annotated[bool, typer.Option("--qr/--no-qr", help="Show the link as a QR code, too.")] = True,
    json: Json = False,
) -> None:
    """Make an invitation: a link, and a QR code to point a phone at.

    Examples: `samsesh invite create`, `samsesh invite create --uses 20 --expires 2w`.
    """
    from samsesh.cli.output import console, print_json, say
    from samsesh.ops import invites
    from samsesh.pages import qr_terminal

    try:
        seconds = names.duration(expires)
    except ValueError as error:
        raise SettingsError(f"--expires {expires!r}: {error}", "for example --expires 7d") from None
    server = opened(ctx.obj)
    if needless := invites.needless(server):
        say(needless)
    made = invites.create(server, uses, seconds)
    if json:
        print_json(made)
        return
    console.print(made["link"])
    if server.settings.server.access == "local":
        console.print("This trial answers on this machine only: open the link here, no phone can.")
    elif qr:
        typer.echo(qr_terminal(made["link"]))
    people = "one person" if uses == 1 else f"{uses} people"
    console.print(f"For {people}, until {moment(made['expires'], server.settings.server.timezone)}.")


@app.command("list")
def list_(ctx: typer.Context, json: Json = False) -> None:
    """List the invitations. Example: `samsesh invite list`."""
    from samsesh.cli.output import print_json
    from samsesh.cli.tables import print_table
    from samsesh.ops import invites

    server = opened(ctx.obj)
    found = invites.listed(server)
    if json:
        print_json(found)
        return
    rows = [
        (
            invite["token"],
            str(invite["used"]),
            "any" if invite["uses"] is None else str(invite["uses"]),
            moment(invite["expires"], server.settings.server.timezone) or "ever",
        )
        for invite in found
    ]
    print_table(("token", "used", "of", "until"), rows)


@app.command()
def revoke(
    ctx: typer.Context, token: Annotated[str, typer.Argument(help="The token, as `invite list` shows it.")]
) -> None:
    """End an invitation; accounts made with it stay. Example: `samsesh invite revoke TOKEN`."""
    from samsesh.cli.output import console
    from samsesh.ops import invites

    invites.revoke(opened(ctx.obj), token)
    console.print("That invitation no longer works.")
