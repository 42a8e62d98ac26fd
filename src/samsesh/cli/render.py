"""`samsesh render`: a folder that works without us."""

import os
from pathlib import Path
from typing import Annotated

import typer


def render(
    ctx: typer.Context,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write; made where it is missing.")
    ],
    engine: Annotated[str, typer.Option(help="For which engine: compose.")] = "compose",
) -> None:
    """Write a folder for plain `docker compose up -d`. It holds the server's secrets.

    Example: `samsesh render --engine compose -o /srv/chat`.
    """
    from samsesh.cli.output import console
    from samsesh.errors import SettingsError
    from samsesh.ops import render as ops
    from samsesh.ops.server import open_server

    if engine != "compose":
        raise SettingsError(f"there is nothing to render for the engine {engine!r}", "the engine is: compose")
    server = open_server(ctx.obj, os.environ, flags={"server.engine": engine}, adopt=True)
    to = output.expanduser().absolute()
    changed = ops.render_to(server, to)
    told = f"{len(changed)} files written" if changed else "nothing changed"
    console.print(f"{to}: {told}. Start it there: docker compose up -d")


def folder(argv: list[str]) -> Path | None:
    """The folder that was named, before anything is parsed: root gives it to the user of the services."""
    for at, word in enumerate(argv):
        if word in ("-o", "--output") and at + 1 < len(argv):
            return Path(argv[at + 1]).expanduser().absolute()
        if word.startswith("--output="):
            return Path(word.partition("=")[2]).expanduser().absolute()
    return None
