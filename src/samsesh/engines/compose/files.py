"""The files of containers, and where they are put on this machine."""

import os
from pathlib import Path

from samsesh.engines.compose.render import Given, Project
from samsesh.model import File, Plan
from samsesh.placing import Placed


def of_containers(project: Project, given: Given) -> list[File]:
    """Every file that containers are given, where it is on this machine."""
    found = {file.path: file for each in given.values() for file in each}
    return [File(project.on_host(path), file.content, file.mode, file.secret) for path, file in found.items()]


def placed(project: Project, plan: Plan, found: list[File]) -> list[Placed]:
    """These files, and the folders of sockets, as they are put below the project's folder."""
    folders = {project.on_host(socket.parent) for unit in plan.units for socket in unit.sockets}
    return [
        *(Placed(_name(project, path)) for path in sorted(folders)),
        *(placed_file(project, file) for file in found),
    ]


def placed_file(project: Project, file: File) -> Placed:
    """A file as it is put below the project's folder: what containers are given is theirs to read."""
    given = any(file.path.is_relative_to(project.folder / name) for name in ("config", "secrets"))
    return Placed(_name(project, file.path), file.content, file.mode, roots=not given)


def _name(project: Project, path: Path) -> str:
    return os.path.relpath(path, project.folder)
