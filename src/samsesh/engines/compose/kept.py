"""What containers keep in volumes: reading and writing it through Docker."""

import os
import shutil
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from samsesh import database_url
from samsesh.engine import KeptFile
from samsesh.engines.compose import images
from samsesh.engines.compose.docker import Docker
from samsesh.engines.compose.render import Project
from samsesh.errors import SamseshError
from samsesh.model import LIBPQ, Plan
from samsesh.run import piped
from samsesh.secrets import Secrets
from samsesh.settings import Settings

COPY_SECONDS = 6 * 3600.0


def postgres_tool(
    docker: Docker,
    settings: Settings,
    secrets: Secrets,
    plan: Plan,
    tool: str,
    container: Mapping[str, Any] | None,
    project: Project,
) -> tuple[list[str], dict[str, str]]:
    """In PostgreSQL's container, else in one for the moment; the password goes from our environment into its own.

    Files that the database needs are those that Synapse's container is given.
    """
    database = plan.offer.database
    assert database is not None  # postgres.py always offers one
    password, host = secrets.database_password.reveal(), str(database.parameters["host"])
    files = {LIBPQ[name]: file.path for name, file in database.files.items()}
    if database.unit and container and container["State"]["Running"]:
        host = str(plan.unit(database.unit).sockets[0].parent)
        run, where = ["exec"], [container["Id"], tool]
    else:
        mounts = [f"--volume={project.on_host(path)}:{path}:ro" for path in dict.fromkeys(files.values())]
        run = ["run", "--rm", *_closed(project.user), *mounts, f"--entrypoint={tool}"]
        where = [images.reference("postgres", settings.images)]
    if url := settings.database.url:
        password = str(database_url.parameters(url.get_secret_value())["password"])
    variables = {**database.environment, "PGHOST": host, **files}
    env = [f"--env={name}={value}" for name, value in variables.items()]
    command = ["docker", *run, "--interactive", "--env=PGPASSWORD", *env, *where]
    return command, {**docker.env, "PGPASSWORD": password}


@contextmanager
def files(docker: Docker, container: str, folder: Path) -> Iterator[Iterator[KeptFile]]:
    """Every file, out of a tar stream of Docker's."""
    command = ["docker", "cp", f"{container}:{folder}", "-"]
    with (
        piped(command, env=docker.env, what=f"reading {folder}") as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        yield _members(tar)


def _members(tar: tarfile.TarFile) -> Iterator[KeptFile]:
    for info in tar:
        if not info.isdir():  # a link leads out of the volume, where Docker does not go
            content = tar.extractfile(info) if info.isreg() else None
            yield info.name.partition("/")[2], info.size, content


def take(docker: Docker, container: str, target: Path, folder: Path, user: tuple[int, int]) -> None:
    """Put the files of a folder into a container's volume, as its user's; the folder goes. A tar stream to Docker's."""
    if not folder.is_dir():
        return
    out, into = os.pipe()
    packing = threading.Thread(target=_pack, args=(folder, into, user), daemon=True)
    with os.fdopen(out, "rb") as stream:
        packing.start()
        docker.run(
            "cp", "-", f"{container}:{target}", stdin=stream, what=f"writing {target}", timeout=COPY_SECONDS
        )
    packing.join(COPY_SECONDS)
    shutil.rmtree(folder)


def _pack(folder: Path, into: int, user: tuple[int, int]) -> None:
    def owned(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid, info.gid = user
        info.uname = info.gname = ""
        return info

    with (
        suppress(BrokenPipeError),  # Docker gave up, and is told of
        os.fdopen(into, "wb") as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False, filter=owned)


def _closed(user: tuple[int, int]) -> tuple[str, ...]:
    """A container for the moment may no more than the others: which image it is, the settings say."""
    closed = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges:true")
    return ("--user={}:{}".format(*user), *closed)


def sizes(docker: Docker, reference: str, user: tuple[int, int]) -> tuple[int, int]:
    """Bytes of media and of the database, by a container that looks into the volumes; 0 where it cannot."""
    found = {"synapse": 0, "postgres": 0}
    for name in found:
        volume = f"--volume={docker.project}_{name}:/volume:ro"
        ways = ("--rm", "--network=none", *_closed(user))
        with suppress(SamseshError, ValueError, IndexError):
            done = docker.run(
                "run", *ways, volume, "--entrypoint=du", reference, "-sb", "/volume", what="measuring"
            )
            found[name] = int(done.out.split()[0])
    return found["synapse"], found["postgres"]
