"""`samsesh images`: what the containers run."""

import os
from typing import Any

import typer

from samsesh.cli.reports import JsonFlag


def images(ctx: typer.Context, json: JsonFlag = False) -> None:
    """List the images of the containers: the pinned ones, or what [images] in the settings names instead.

    Examples: `samsesh images`, `samsesh images --json`.
    """
    from samsesh.cli.output import print_json
    from samsesh.cli.tables import print_table
    from samsesh.engines.compose.images import rows
    from samsesh.load import load

    found = rows(load(ctx.obj, os.environ).settings.images)
    if json:
        print_json(found)
        return
    print_table(("name", "image", "in place of", "service"), [_row(image) for image in found])


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    return one["name"], one["image"], one["default"] if one["overridden"] else "", one["service"]
