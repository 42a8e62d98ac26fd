"""Beginning again: everything of a home is deleted but its backups and its audit log."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from samsesh import database_url
from samsesh.errors import SamseshError
from samsesh.facts import size_of
from samsesh.home import Home
from samsesh.load import load
from samsesh.ops import record, service
from samsesh.ops.restore import remove_all
from samsesh.ops.server import engine_of
from samsesh.write import write_file

Say = Callable[[str], None]


@dataclass(frozen=True)
class Target:
    """What would be deleted: the name to type, the bytes that go, and whether there is still a whole server to save.

    `stays`: what of its data is elsewhere, and is not touched.
    """

    name: str
    size: int
    whole: bool
    stays: str = ""


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
    size = size_of(home.path) - size_of(home.backups_dir)
    state = _state(home)
    name = state.get("server_name") or home.path.name
    return Target(name, size, whole="unfinished" not in state, stays=_stays(home))


def _stays(home: Home) -> str:
    with suppress(SamseshError):  # settings that are broken
        if url := load(home, {}).settings.database.url:
            where = database_url.parameters(url.get_secret_value())
            return f"the database {where['dbname']} at {where['host']}"
    return ""


def _state(home: Home) -> dict[str, Any]:
    try:
        return home.state()
    except SamseshError:  # damaged, which is no reason to keep the rest
        return {}


def destroy(home: Home, confirmed: str, say: Say) -> None:
    """Stop and delete. `confirmed` must be the target's name."""
    name = target(home).name
    if confirmed != name:
        raise SamseshError(f"{confirmed!r} is not {name!r}: nothing was deleted")
    with home.lock("destroy", say):
        engine_of(home).erase(say)
        say("deleting")
        with suppress(SamseshError):  # on a full disk there is no room for it
            write_file(home.state_file, json.dumps({**_state(home), "unfinished": "destroy"}))
        remove_all(home)
        record.forget(home)
        home.audit("destroy", target=name)
