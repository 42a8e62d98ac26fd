"""What `up` leaves for later, so that nobody waits for it: getting again what failed a moment ago."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from samsesh.engines.native.supervisor import left_over
from samsesh.home import CATCH_UP, Home
from samsesh.load import load
from samsesh.ops import deploy, programs
from samsesh.run import leave

NICE = 10  # the chat comes first
Say = Callable[[str], None]


def begin(home: Home, environ: Mapping[str, str]) -> None:
    """Have a process of its own do what there is to do, unless one is at it."""
    if left_over(home, CATCH_UP):
        return
    argv: list[str | Path] = [sys.executable, "-I", "-m", "samsesh", "--home", home.path, CATCH_UP]
    leave(argv, env={**environ, **dict([home.mark(CATCH_UP)])}, log=home.logs_dir / f"{CATCH_UP}.log")


def run(home: Home, environ: Mapping[str, str], say: Say) -> None:
    """Do it."""
    os.nice(NICE)
    settings = load(home, environ).settings
    absent = programs.wanted(settings).keys() - programs.at_hand(home, settings).keys()
    if absent:
        deploy.get_programs(home, environ, sorted(absent), say=say, progress=lambda what, done, total: None)
