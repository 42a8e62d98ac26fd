"""A folder for plain `docker compose`: everything that a server in containers needs, and nothing of ours to run it."""

import os
import re
from dataclasses import replace
from pathlib import Path

from samsesh import operator_files
from samsesh.engines.compose import files, image, render
from samsesh.errors import SamseshError
from samsesh.facts import gather
from samsesh.formats import to_compose_yaml
from samsesh.model import Context, File
from samsesh.ops.addresses import find, kept
from samsesh.ops.server import Server, placement
from samsesh.placing import place
from samsesh.plan import make_plan

OURS = "compose.yaml"
READABLE = 0o644  # what holds no secret
SIGN = b"Written by Samsesh"
README = """\
This folder is a whole Samsesh server for Docker Compose 2.20 or later and Docker 20.10 or later. Start and stop it here:

    docker compose up -d
    docker compose ps
    docker compose down

Containers run as the user {uid} and group {gid}, who must own the files in config and secrets and the folders in run.
The secrets are the server's: keep them closed to others. All else belongs to whoever starts it, and nobody else may be
able to change it. What people write is in the volumes of the project {name}. The first account, an administrator:

    docker compose exec synapse register_new_matrix_user -c /data/homeserver.yaml http://localhost:8008

The folder was written by `samsesh render`, from samsesh.toml; run that again after a change. It can be moved.
"""


def render_to(server: Server, folder: Path) -> list[Path]:
    """Write the folder anew; gives the files that changed. Refuses one that holds something else."""
    _check(folder)
    operator_files.check(server.files)
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
    given = render.given(plan, server.secrets)
    found = files.of_containers(project, given)
    compose = to_compose_yaml(render.compose(project, plan, given, settings))
    readme = README.format(uid=project.user[0], gid=project.user[1], name=project.name)
    build = {} if settings.images.samsesh else image.context()
    found += [File(folder / render.IMAGE / name, content, READABLE) for name, content in build.items()]
    found += [File(folder / "README", readme.encode(), READABLE), File(folder / OURS, compose, READABLE)]
    return place(folder, files.placed(project, plan, found), tidy=("config", f"{render.IMAGE}/samsesh"))


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
