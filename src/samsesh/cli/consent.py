"""What root confirms before its rights are used: whether containers run the server, and as whom. Asked once, recorded."""

import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from samsesh.cli.app import UNASKED
from samsesh.errors import SettingsError
from samsesh.home import SERVICE_USER, Home
from samsesh.ops import record
from samsesh.ops.record import Record

if TYPE_CHECKING:  # it needs the settings model, which takes long to import
    from samsesh.local_env import LocalEnv

VARIABLES = {
    "SAMSESH_SERVER_ENGINE": "engine",
    "UID": "uid",
    "SAMSESH_SERVER_UID": "uid",
    "GID": "gid",
    "SAMSESH_SERVER_GID": "gid",
}
SETTINGS = {"server.engine": "engine", "server.uid": "uid", "server.gid": "gid"}
Words = dict[str, Any]  # fields of Record that somebody named


def settle(
    home: Home, command: str, argv: list[str], environ: Mapping[str, str], local: "LocalEnv | None"
) -> Record:
    """As root: what counts of this home for this command. What is new is recorded, where something is to change.

    The command line, settings that root wrote into a new home and, where variables are taken into the settings
    (`local` is given), root's own are root's word; what the `.env` of a folder says is asked about. Whatever else a home
    holds does not count: the user of the services can change it.
    """
    known = record.read(home)
    old = known or record.of_containers(home) or Record()
    said = {**_written(home), **spoken(command, argv)}
    if (
        local is not None and old.engine != "compose"
    ):  # later differences are told with the settings, not followed
        here, file = _named(environ), _named(local.variables)
        open_ = {name for name, value in asdict(old).items() if value in (None, "native")} - said.keys()
        adopted = {name: value for name, value in {**file, **here}.items() if name in open_}
        if {**adopted, **said}.get("engine") == "compose":  # else nobody needs to know who runs containers
            _confirm({name: value for name, value in adopted.items() if name not in here}, local, argv)
            said = {**adopted, **said}
    new = replace(old, **said)
    _check(new, to_processes=("switch", "native") in pairwise(argv))
    if new != (known or Record()) and command != "render" and "--dry-run" not in argv:
        record.write(home, new)
    return new


def spoken(command: str, argv: list[str]) -> Words:
    """What the command line itself says: `--engine X`, `engine switch X`, `config set server.uid N`, `config unset`.

    `native` is no word here: the way back to processes takes the right to Docker until it is done (ops/switch.py).
    """
    said: Words = {}
    for word, behind in zip(argv, [*argv[1:], ""], strict=True):
        named = word == "--engine=compose" or (word in ("--engine", "switch") and behind == "compose")
        if command in ("up", "restore", "engine") and named:
            said["engine"] = "compose"
        elif command == "config" and "set" in argv and (name := SETTINGS.get(word)):
            said |= {name: value} if (value := _value(name, behind)) else {}
        elif command == "config" and "unset" in argv and word in ("server.uid", "server.gid"):
            said[SETTINGS[word]] = None
    return {"engine": "compose"} if command == "render" else said


def _written(home: Home) -> Words:
    """What root's own settings in a new home say; wrong ones are for the command itself to refuse."""
    from samsesh.environment import read_env_file
    from samsesh.load import file_values
    from samsesh.ops.privileges import written_by_root

    if not written_by_root(home):
        return {}
    try:
        values, variables = file_values(home), read_env_file(home.env_file)
    except SettingsError:
        return {}
    words = {name: _value(name, str(values[key])) for key, name in SETTINGS.items() if key in values}
    return {**{name: value for name, value in words.items() if value}, **_named(variables)}


def _named(variables: Mapping[str, str]) -> Words:
    """What variables say; what is no such value, the settings refuse or pass over."""
    found: Words = {}
    for variable, name in VARIABLES.items():
        if variable in variables and (value := _value(name, variables[variable].strip())):
            found[name] = value
    return found


def _value(name: str, text: str) -> str | int | None:
    """None for what is no word of root's: the settings refuse it or pass it over, as `native` does."""
    if name == "engine":
        return "compose" if text == "compose" else None
    return int(text) or None if re.fullmatch("[0-9]{1,10}", text) else None


def _check(new: Record, *, to_processes: bool) -> None:
    if new.engine != "compose" or (new.uid is None and new.gid is None):
        return
    user = record.numbered(new)
    if to_processes and user.pw_name != SERVICE_USER:
        raise SettingsError(
            f"root's processes run as the user {SERVICE_USER}, and this server's data belongs to {user.pw_name}",
            "stay with containers, or bring a backup of it back into another home: samsesh restore",
        )
    if problem := record.problem(user.pw_uid, user.pw_gid):
        raise SettingsError(
            f"containers cannot run as {user.pw_uid}:{user.pw_gid}: {problem}",
            "name numbers that nobody has here, or your own (id -u, id -g), as UID and GID in .env or by "
            "`samsesh config set server.uid N server.gid N`; or none, for the user samsesh",
        )


def _confirm(asked: Words, local: "LocalEnv", argv: list[str]) -> None:
    """Show what the file says, and ask. Where it is heeded at all, it is the caller's own or root's: --yes is enough."""
    if not asked:
        return
    from rich.prompt import Confirm

    from samsesh.cli.output import console, say

    words = ", ".join(f"{name} {value}" for name, value in sorted(asked.items()))
    say(f"{local.path} says what runs the server, and as whom: {words}")
    if UNASKED & set(argv):
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise SettingsError(
            f"{local.path} says {words}, and nobody is there to confirm it", "look at it, then add --yes"
        )
    if not Confirm.ask("Is that right, from now on?", console=console, default=False):
        raise SettingsError(f"what {local.path} says was not confirmed", "correct it there")
