"""`samsesh agent`: hands certificates on, and starts what is to be done daily. Started by the engines, not by people."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer


def agent(
    config: Annotated[Path, typer.Option("--config", help="What to do: the file that `up` writes.")],
) -> None:
    """Hand certificates on to other services, have them read them again, and start what is to be done daily."""
    # It does little, for years: in a process of its own kind it takes half the memory.
    os.execv(sys.executable, [sys.executable, "-I", "-m", "samsesh.agent", str(config)])  # noqa: S606 - no shell is wanted
