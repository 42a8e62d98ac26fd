"""Secrets, `.env`, backups and private sockets: there, ours, and closed to everybody else."""

import os
import shlex
import stat
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

from samsesh.diagnosis import Patient, Result, aside
from samsesh.home import user_name
from samsesh.ops.server import Server
from samsesh.secrets import Secrets

TITLE = "privacy of secrets"

Problem = tuple[str, str]  # what is wrong, what to do


async def check(patient: Patient) -> Result:
    found = await aside(lambda: [*_missing(patient.server), *problems(private(patient.server))])
    if not found:
        return Result("ok", "secrets, backups and sockets are closed to others")
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    seen = "\n".join(what for what, _ in found)
    return Result(
        "failed", f"{found[0][0]}{more}", seen, advice="\n".join(dict.fromkeys(do for _, do in found))
    )


def private(server: Server) -> Iterator[Path]:
    """Everything that only we may read; not all of it needs to be there."""
    home = server.home
    yield from (home.secrets_dir, home.env_file, home.backups_dir, home.runtime_dir())
    for folder in (home.secrets_dir, home.backups_dir):
        yield from sorted(folder.glob("*"))
    yield from (
        server.engine.on_host(file.path) for unit in server.plan.units for file in unit.files if file.secret
    )
    if server.settings.database.url is not None:
        yield home.settings_file  # its password is in there


def _missing(server: Server) -> Iterator[Problem]:
    """Secrets that a server which has run cannot do without."""
    if not server.home.started:
        return
    for name in (field.name for field in fields(Secrets)):
        path = server.home.secrets_dir / name
        try:
            empty = name not in server.loaded.given_secrets and not path.read_bytes().strip()
        except OSError as error:
            if not isinstance(error, PermissionError):  # whose it is, is told below
                yield f"the secret {path} cannot be read: {error.strerror}", "put it back from a backup"
        else:
            if empty:
                yield f"the secret {path} is empty", "put it back from a backup"


def problems(paths: Iterable[Path]) -> Iterator[Problem]:
    for path in dict.fromkeys(paths):
        try:
            found = path.lstat()
        except OSError:
            continue  # not there, and _missing tells of those that must be
        quoted = shlex.quote(str(path))
        if stat.S_ISLNK(found.st_mode):
            yield f"{path} is a symbolic link", f"put what it leads to in its place: {quoted}"
        elif found.st_uid != os.geteuid():
            owner = user_name(found.st_uid)
            yield f"{path} belongs to {owner}", f"as root: chown {user_name()}: {quoted}"
        elif found.st_mode & 0o077:
            mode = "700" if stat.S_ISDIR(found.st_mode) else "600"
            opened = f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):o})"
            yield opened, f"chmod {mode} {quoted}"
