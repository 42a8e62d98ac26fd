"""`samsesh splitter`: https and TURN at one port. Started by the engines, not by people."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def splitter(
    config: Annotated[Path, typer.Option("--config", help="Where it leads: the file that `up` writes.")],
) -> None:
    """Take the connections of the https port, and hand https and TURN to their programs."""
    # In a process of its own kind it takes half the memory, as the agent does.
    os.execv(sys.executable, [sys.executable, "-I", "-m", "samsesh.splitter", str(config)])  # noqa: S606 - no shell is wanted
