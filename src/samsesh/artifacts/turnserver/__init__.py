"""coturn's turnserver: the user's own, the machine's, or the distribution's packages unpacked into the cache.

Nothing is installed here: `install.py` has the distribution do it, for root who was asked.
"""

from pathlib import Path

from samsesh.artifacts.turnserver import unpacked
from samsesh.artifacts.turnserver.program import NAME, accepted, find
from samsesh.cache import Artifact, Search, at_once, check_kept, first
from samsesh.errors import SamseshError

__all__ = ["NAME", "at_hand", "obtain", "renew"]


def at_hand(search: Search) -> Artifact | None:
    if search.want.turnserver:
        return _named(search)
    return at_once(search, (_installed, _kept))


def obtain(search: Search) -> Artifact:
    return at_hand(search) or first(
        search,
        (_installed, _kept, unpacked.unpack),
        SamseshError(
            "coturn, which relays calls through firewalls, could not be got",
            "install it (Debian, Ubuntu: apt install coturn), or do without: samsesh config set turn.enabled no",
        ),
    )


def renew(search: Search) -> bool:
    """Compare an unpacked coturn with the distribution's, and unpack that if it is another. True if it was.

    Not if this machine has one of its own by now. Raises SamseshError if the distribution cannot be asked.
    """
    if search.want.turnserver or search.want.offline or at_once(search, (_installed,)):
        return False
    return unpacked.renew(search)


def _named(search: Search) -> Artifact:
    path = Path(search.want.turnserver).expanduser().absolute()
    try:
        return Artifact(NAME, path, accepted(path, {}), f"named in the settings: {path}")
    except SamseshError as error:
        raise SamseshError(
            f"artifacts.turnserver cannot be used: {error.message}",
            "correct it, or have one got: samsesh config unset artifacts.turnserver",
            detail=error.detail,
        ) from None


def _installed(search: Search) -> Artifact:
    path = find(search)
    if path is None:
        raise SamseshError("coturn is not installed")
    return Artifact(NAME, path, accepted(path, {}), f"installed: {path}")


def _kept(search: Search) -> Artifact:
    folder = unpacked.folder_of(search)
    check_kept(folder, "coturn")
    return unpacked.artifact(folder, f"kept in {search.cache}")
