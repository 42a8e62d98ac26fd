"""A folder for plain `docker compose`: everything that a server in containers needs, and nothing of ours to run it."""

import os
import re
from dataclasses import replace
from pathlib import Path

from samsesh.engines.compose import image, render
from samsesh.errors import SamseshError
from samsesh.facts import gather
from samsesh.formats import to_compose_yaml
from samsesh.model import Context
from samsesh.ops.addresses import find, kept
from samsesh.ops.server import Server, placement
from samsesh.plan import make_plan
from samsesh.write import make_dir, write_file

OURS = "compose.yaml"
SIGN = b"Written by Samsesh"
README = """\
This folder is a whole Samsesh server for Docker Compose 2.20 or later and Docker 20.10 or later. Start and stop it here:

    docker compose up -d
    docker compose ps
    docker compose down

Containers run as the user {uid} and group {gid}, who must own this folder; it holds the server's secrets, so keep it
closed to others. What people write is in the volumes of the project {name}. The first account, an administrator:

    docker compose exec synapse register_new_matrix_user -c /data/homeserver.yaml http://localhost:8008

The folder was written by `samsesh render`, from samsesh.toml; run that again after a change. It can be moved.
"""


def render_to(server: Server, folder: Path) -> list[Path]:
    """Write the folder anew; gives the files that changed. Refuses one that holds something else."""
    _check(folder)
    make_dir(folder)
    project = render.Project(
        name=project_name(server.settings.server.name),
        folder=folder,
        run=folder / "run",
        user=(os.geteuid(), os.getegid()),
        memory=server.facts.memory,
    )
    settings = server.settings
    # As `up` would find them; without what only this machine has, since the folder may be started on another.
    known = kept(server.home, settings)
    facts = replace(server.facts, addresses=find(settings, gather(), known).addresses, outward=())
    plan = make_plan(Context(settings, server.secrets, facts, placement(server.home, settings, facts)))
    for unit in plan.units:
        for socket in unit.sockets:
            make_dir(project.on_host(socket.parent))
    given = render.given(plan, server.home, settings, server.secrets)
    files = render.files(project, given)
    changed = [file.path for file in files if write_file(file.path, file.content, file.mode)]
    for path in set(_below(folder / "config")) - {file.path for file in files}:
        path.unlink()
        changed.append(path)
    if not settings.images.samsesh:
        image.write_context(folder / render.IMAGE)
    compose = to_compose_yaml(render.compose(project, plan, given, settings))
    readme = README.format(uid=project.user[0], gid=project.user[1], name=project.name)
    for name, content in (
        ("README", readme.encode()),
        (OURS, compose),
    ):  # compose.yaml last: the rest is there
        if write_file(folder / name, content):
            changed.append(folder / name)
    return changed


def project_name(server_name: str) -> str:
    """As Compose takes it: lower-case letters, digits, - and _."""
    return f"samsesh-{re.sub('[^a-z0-9]+', '-', server_name).strip('-')}"


def _check(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise SamseshError(f"{folder} is no folder", "name another: -o DIR")
    if folder.is_dir() and any(folder.iterdir()):
        try:
            ours = SIGN in (folder / OURS).read_bytes()[:200]
        except OSError:
            ours = False
        if not ours:
            raise SamseshError(
                f"{folder} holds something that Samsesh did not write",
                "name a new folder, or an empty one: -o DIR",
            )


def _below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
