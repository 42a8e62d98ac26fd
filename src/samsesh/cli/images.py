"""`samsesh images`: what the containers run."""

import os

import typer

from samsesh.cli.reports import JsonFlag


def images(ctx: typer.Context, json: JsonFlag = False) -> None:
    """List the images of the containers: the pinned ones, or what [images] in the settings names instead.

    Examples: `samsesh images`, `samsesh images --json`.
    """
    from samsesh.cli.output import console, print_json
    from samsesh.engines.compose.images import rows
    from samsesh.load import load

    found = rows(load(ctx.obj, os.environ).settings.images)
    if json:
        print_json(found)
        return
    from rich.table import Table

    table = Table("name", "image", "in place of", "service", box=None, padding=(0, 2, 0, 0))
    for row in found:
        table.add_row(row["name"], row["image"], row["default"] if row["overridden"] else "", row["service"])
    for column in table.columns:
        column.overflow = "fold"
    console.print(table)
