"""What `up` leaves for later, so that nobody waits for it: programs that could not be had a moment ago, and compressing
what the gateway serves.
"""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from samsesh.cache import cache_dir, compress_kept, is_compressed
from samsesh.compress import can_be, compress, is_done
from samsesh.engines.native.supervisor import left_over
from samsesh.home import CATCH_UP, Home
from samsesh.ops import deploy, programs
from samsesh.ops.server import Server, open_server
from samsesh.run import leave

NICE = 10  # the chat comes first
Say = Callable[[str], None]


def begin(server: Server, environ: Mapping[str, str], *, again: bool) -> None:
    """Have a process of its own do what there is to do, unless one is at it. `again`: programs are missing."""
    home = server.home
    if not again and not _bundles(server, environ) and not _pages(server):
        return
    if left_over(home, CATCH_UP):
        return
    argv: list[str | Path] = [sys.executable, "-I", "-m", "samsesh", "--home", home.path, CATCH_UP]
    leave(argv, env={**environ, **dict([home.mark(CATCH_UP)])}, log=home.logs_dir / f"{CATCH_UP}.log")


def run(home: Home, environ: Mapping[str, str], say: Say) -> None:
    """Do it."""
    os.nice(NICE)
    server = open_server(home, environ)
    absent = programs.wanted(server.settings).keys() - programs.at_hand(home, server.settings).keys()
    if absent:
        report, _ = deploy.get_programs(
            home, environ, sorted(absent), say=say, progress=lambda what, done, total: None
        )
        server = report.server if report else server
    for path in _pages(server):
        compress(path)
    for folder in _bundles(server, environ):
        say(f"compressing {folder.name}")
        compress_kept(folder, say)
        say(f"{folder.name} is compressed")


def _pages(server: Server) -> list[Path]:
    """Files of ours that the gateway serves, and that nobody has compressed yet."""
    paths = [file.path for file in server.plan.offer.files if can_be(file.path)]
    return [path for path in paths if not is_done(path)]


def _bundles(server: Server, environ: Mapping[str, str]) -> list[Path]:
    """The same of the web clients in the cache. What the user or the installation brought is not ours to write to."""
    cache = cache_dir(environ, server.home.path)
    folders = map(Path, server.facts.bundles.values())
    return [folder for folder in folders if folder.parent == cache and not is_compressed(folder)]
