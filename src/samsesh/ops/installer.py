"""What may still be asked of root when this process is the services' user: to have the distribution install coturn.

Whether a relay is wanted is known only after the questions of `setup` and of a first `up`, which are asked without root's
rights. So a process stays behind that has them, and takes one word: it installs what its own copy of the program names.
"""

import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from samsesh.artifacts.turnserver import install
from samsesh.cache import Search
from samsesh.errors import SamseshError
from samsesh.facts import machine
from samsesh.settings import Artifacts

WORD = b"install"
DONE = "\0"  # no message of an error


@dataclass(frozen=True)
class Installer:
    """The process that stays root. `command`: what it would run, for people."""

    command: str
    link: socket.socket

    def install(self) -> None:
        """Raises SamseshError with what the distribution says against it. It goes on if this process is interrupted."""
        self.link.sendall(WORD)
        answer = self.link.recv(4096).decode(errors="replace")
        if answer != DONE:
            message, _, hint = answer.partition("\n")
            raise SamseshError(message or "coturn could not be installed", hint)


_installers: list[Installer] = []


def keep(environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """As root, before its rights are given up: leave a process behind if there is something that it could install."""
    search = Search(Artifacts(), Path("/nonexistent"), machine(), dict(environ), say)
    if not (command := install.command(search)):
        return
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        try:
            _serve(theirs, search)
        finally:
            os._exit(0)
    theirs.close()
    _installers.append(Installer(" ".join(command), ours))


def kept() -> Installer | None:
    return _installers[0] if _installers else None


def _serve(link: socket.socket, search: Search) -> None:
    """Until the other process asks or ends. Ctrl-C is for that one: an installation is not to end in the middle."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if link.recv(len(WORD)) != WORD:
        return
    try:
        install.install(search)
        link.sendall(DONE.encode())
    except SamseshError as error:
        link.sendall(f"{error.message}\n{error.hint}".encode()[:4096])
