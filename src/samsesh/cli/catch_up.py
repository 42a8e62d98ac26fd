"""`samsesh catch-up`: what `up` leaves for later, run in the background by itself."""

import os
import signal
import sys
from datetime import UTC, datetime

import typer


def catch_up(ctx: typer.Context) -> None:
    """Do what `up` leaves for later; it runs this in the background."""
    from samsesh.cli.output import write
    from samsesh.ops import catch_up as ops

    def say(text: str) -> None:
        write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} {text}\n")
        sys.stdout.flush()

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    ops.run(ctx.obj, os.environ, say)
