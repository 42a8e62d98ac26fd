"""`samsesh images`: what the containers run."""

import os
from typing import Any

import typer

from samsesh.cli.reports import JsonFlag


def images(ctx: typer.Context, json: JsonFlag = False) -> None:
    """List the images of the containers: the pinned ones, or what [images] in the settings names instead.

    Examples: `samsesh images`, `samsesh images --json`.
    """
    from samsesh.cli.output import print_json, print_rows
    from samsesh.engines.compose.images import rows
    from samsesh.load import load

    found = rows(load(ctx.obj, os.environ).settings.images)
    if json:
        print_json(found)
        return
    head = ("name", "image", "in place of", "service")
    print_rows([head, *(_row(one) for one in found)])


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    return one["name"], one["image"], one["default"] if one["overridden"] else "", one["service"]
