"""What may still be asked of root when this process is the services' user: to have the distribution install coturn.

Whether a relay is wanted is known only after the questions of `setup` and of a first `up`, which are asked without root's
rights. So a process stays behind that has them, and takes one word: it installs what its own copy of the program names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from samsesh.artifacts.turnserver import install
from samsesh.cache import Search
from samsesh.facts import machine
from samsesh.ops.privileges import stay_root
from samsesh.settings import Artifacts

WORD = "install"


@dataclass(frozen=True)
class Installer:
    """The process that stays root. `command`: what it would run, for people."""

    command: str
    ask: Callable[[str], None]

    def install(self) -> None:
        """Raises SamseshError with what the distribution says against it. It goes on if this process is interrupted."""
        self.ask(WORD)


_installers: list[Installer] = []


def keep(environ: Mapping[str, str], say: Callable[[str], None]) -> None:
    """As root, before its rights are given up: leave a process behind if there is something that it could install."""
    search = Search(Artifacts(), Path("/nonexistent"), machine(), dict(environ), say)
    if not (command := install.command(search)):
        return

    def work(word: str) -> None:
        if word == WORD:
            install.install(search)

    _installers.append(Installer(" ".join(command), stay_root(work)))


def kept() -> Installer | None:
    return _installers[0] if _installers else None
