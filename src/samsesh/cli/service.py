"""`samsesh install-service`."""

import os
from enum import StrEnum
from typing import Annotated

import typer

from samsesh.home import Home


class Kinds(StrEnum):
    auto = "auto"
    system = "system"
    user = "user"
    cron = "cron"


def install_service(
    ctx: typer.Context,
    kind: Annotated[
        Kinds, typer.Option(help="What starts the server; auto takes the best there is.")
    ] = Kinds.auto,
    print_: Annotated[bool, typer.Option("--print", help="Only show what would be written.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Undo it; a server that runs goes on running.")
    ] = False,
) -> None:
    """Start the server with the machine: a systemd service, or cron where there is no systemd.

    Examples: `samsesh install-service`, `samsesh install-service --kind cron`, `samsesh install-service --remove`.
    """
    from samsesh.cli.output import say
    from samsesh.load import load
    from samsesh.ops import service

    home: Home = ctx.obj
    if remove:
        service.remove(home, say)
        return
    settings = load(home, os.environ).settings
    if not print_:
        service.install(
            home, settings, service.choose() if kind is Kinds.auto else kind.value, os.environ, say
        )
    elif kind is Kinds.cron:
        typer.echo(service.cron_line(home, os.environ))
    else:
        as_system = kind is Kinds.system or kind is Kinds.auto and os.geteuid() == 0
        unit = service.unit(home, settings, "system" if as_system else "user", os.environ)
        typer.echo(service.render(unit), nl=False)
