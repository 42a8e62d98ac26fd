"""`samsesh install-service`."""

import os
from typing import Annotated, Literal

import typer

from samsesh.home import Home


def install_service(
    ctx: typer.Context,
    kind: Annotated[
        Literal["auto", "system", "user", "cron"],
        typer.Option(help="What starts the server; auto takes the best there is."),
    ] = "auto",
    print_: Annotated[bool, typer.Option("--print", help="Only show what would be written.")] = False,
    remove: Annotated[
        bool, typer.Option("--remove", help="Undo it; a server that runs goes on running.")
    ] = False,
) -> None:
    """Start the server with the machine: a systemd service, or cron where there is no systemd.

    Examples: `samsesh install-service`, `samsesh install-service --kind cron`, `samsesh install-service --remove`.
    """
    from samsesh.cli.output import say, write
    from samsesh.load import load
    from samsesh.ops import service
    from samsesh.ops.privileges import as_owner

    home: Home = ctx.obj
    if remove:
        service.remove(home, say)
        return
    with as_owner(home):
        settings = load(home, os.environ).settings
    if not print_:
        service.install(home, settings, service.choose() if kind == "auto" else kind, os.environ, say)
    elif kind == "cron":
        write(service.cron_line(home, os.environ) + "\n")
    else:
        system = kind == "system" or (kind == "auto" and os.geteuid() == 0)
        write(service.unit_text(home, settings, "system" if system else "user", os.environ))


def control_as_root(home: Home, command: str) -> None:
    """Before root's rights are given up: have systemd start or stop the unit of this home, where there is one."""
    from samsesh.ops import service

    if service.installed(home) == "system":
        service.control(home, "stop" if command == "down" else "start")
