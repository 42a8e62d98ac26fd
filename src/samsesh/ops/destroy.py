"""Beginning again: everything of a home is deleted but its backups and its audit log."""

from collections.abc import Callable
from dataclasses import dataclass

from samsesh.engines.native import NativeEngine
from samsesh.errors import SamseshError
from samsesh.facts import gather
from samsesh.home import Home
from samsesh.ops import service
from samsesh.ops.restore import remove_all

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """What would be deleted: the name to type, and the bytes that go."""

    name: str
    size: int


def target(home: Home) -> Target:
    """Works for a home whose settings are broken, too: its folder's name is typed then."""
    if home.empty:
        raise SamseshError(
            f"there is no server in {home.path}", "name its folder: samsesh --home DIR destroy"
        )
    if service.installed(home):  # undoing it can take rights that root has given up by now
        raise SamseshError(
            "this server starts with the machine: nothing was deleted",
            "undo that first: samsesh install-service --remove",
        )
    size = sum(path.lstat().st_size for path in home.path.rglob("*") if home.backups_dir not in path.parents)
    return Target(home.state().get("server_name") or home.path.name, size)


def destroy(home: Home, confirmed: str, say: Say) -> None:
    """Stop and delete. `confirmed` must be the target's name."""
    name = target(home).name
    if confirmed != name:
        raise SamseshError(f"{confirmed!r} is not {name!r}: nothing was deleted")
    with home.lock("destroy", say):
        NativeEngine(home, gather()).stop(say)
        say("deleting")
        remove_all(home)
        home.audit("destroy", target=name)
