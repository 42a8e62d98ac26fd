"""Talking to Docker and its Compose plugin, or to Podman behind the same command."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from samsesh import names
from samsesh.errors import SamseshError
from samsesh.home import was_root
from samsesh.run import Done, environment, follow, run

OLDEST, OLDEST_COMPOSE = (20, 10), (2, 20)
QUICK_SINCE = (25,)  # health checks with start_interval
INSTALL = "install Docker Engine with its Compose plugin (docs.docker.com/engine/install), or: samsesh up --engine native"
PASSED_ON = (
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_BUILDKIT",
    "XDG_RUNTIME_DIR",
)
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PIP_INDEX_URL", "PIP_NO_INDEX")  # for a build
SECONDS, START_SECONDS = 60.0, 600.0
SERVICE = "com.docker.compose.service"  # label


@dataclass(frozen=True)
class Docker:
    """One project of Compose. `folder` has its compose.yaml, where there is one."""

    project: str
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in (*PASSED_ON, *NETWORK) if name in os.environ}
        return {**kept, "COMPOSE_ANSI": "never", "BUILDKIT_PROGRESS": "plain"}

    def run(self, *args: str, what: str, timeout: float = SECONDS, **more: Any) -> Done:
        env = {**self.env, **more.pop("env", {})}
        return run(["docker", *args], env=env, timeout=timeout, what=what, **more)

    def follow(self, *args: str, what: str, timeout: float, **more: Any) -> None:
        follow(["docker", *args], env=self.env, cwd=self.folder, what=what, timeout=timeout, **more)

    def compose(self, *args: str) -> list[str]:
        """Arguments of `docker` for a command on this project."""
        path = self.folder / "compose.yaml"
        file = ["--file", str(path), "--project-directory", str(self.folder)] if path.exists() else []
        # The home's .env is ours to read: what Compose cannot make out of it would keep even `down` from working.
        return ["compose", "--env-file", os.devnull, "--project-name", self.project, *file, *args]

    @cached_property
    def version(self) -> tuple[int, ...]:
        """Of the engine; raises with what is wrong where Docker cannot be used. Podman counts as new enough."""
        if not shutil.which("docker", path=environment().get("PATH")):
            raise SamseshError("Docker is not installed: there is no program `docker`", INSTALL)
        done = self.run("version", "--format", "{{json .}}", what="asking Docker", ok=range(256))
        said = json_of(done.out)
        server = said.get("Server") or {}
        if not server:
            raise _unreachable(done.err)
        if podman(said):
            return QUICK_SINCE if names.version(server.get("Version", "0")) >= (5,) else OLDEST
        found = names.version(server["Version"])
        if found < OLDEST:
            raise SamseshError(
                f"Docker {server['Version']} is too old; Samsesh needs 20.10 or later",
                "bring Docker up to date",
            )
        return found

    def check(self) -> None:
        """Raise with what is wrong and what to do where containers cannot be run by this user."""
        _ = self.version
        done = self.run("compose", "version", "--short", what="asking Docker Compose", ok=range(256))
        said = done.out.decode(errors="replace").strip()
        if done.code or not said:
            old = (
                " (the program docker-compose is version 1, which is no longer kept up)" if _has_v1() else ""
            )
            raise SamseshError(
                f"Docker has no Compose plugin{old}",
                "install it: apt install docker-compose-plugin, docker-compose-v2 or podman-compose",
            )
        try:
            found = names.version(said)
        except ValueError:
            return  # podman's, which says more than a version
        if found < OLDEST_COMPOSE:
            raise SamseshError(
                f"Docker Compose {said} is too old; Samsesh needs 2.20 or later",
                "bring the Compose plugin up to date",
            )

    @cached_property
    def rootless(self) -> bool:
        """Whether root within containers is the user that runs Docker."""
        done = self.run("info", "--format", "{{json .SecurityOptions}}", what="asking Docker", ok=range(256))
        return b"rootless" in done.out

    def services(self) -> dict[str, dict[str, Any]]:
        """`docker inspect` of every container of this project, by its service."""
        _ = self.version
        label = f"label=com.docker.compose.project={self.project}"
        found = self.run(
            "ps", "--all", "--quiet", "--no-trunc", "--filter", label, what="asking Docker"
        ).out.split()
        if not found:
            return {}
        ids = [one.decode() for one in found]
        done = self.run("inspect", *ids, what="asking Docker", ok=(0, 1))  # 1: one has gone meanwhile
        return {one["Config"]["Labels"][SERVICE]: one for one in json.loads(done.out or b"[]")}

    def memory(self, ids: Sequence[str]) -> Mapping[str, int]:
        """Bytes that containers use, by id; takes a second or two."""
        if not ids:
            return {}
        done = self.run(
            *("stats", "--no-stream", "--no-trunc", "--format", "{{json .}}", *ids),
            what="asking Docker",
            ok=(0, 1),
        )
        found = [json.loads(line) for line in done.out.splitlines() if line.strip()]
        return {one.get("ID") or one["Container"]: size(one["MemUsage"].partition("/")[0]) for one in found}

    def has_image(self, reference: str) -> bool:
        return (
            self.run(
                "image", "inspect", "--format", "{{.Id}}", reference, what="asking Docker", ok=(0, 1)
            ).code
            == 0
        )

    def digest_of(self, reference: str) -> str:
        """`sha256:...` that an image was pulled as; empty where it is not there, or was built or loaded here."""
        asked = ("image", "inspect", "--format", "{{json .RepoDigests}}", reference)
        done = self.run(*asked, what="asking Docker", ok=(0, 1))
        digests = json.loads(done.out or b"null") or [""]
        return str(digests[0]).partition("@")[2]

    def remove_volumes(self) -> None:
        """Every one of this project, also of services that it no longer has."""
        label = f"label=com.docker.compose.project={self.project}"
        found = self.run("volume", "ls", "--quiet", "--filter", label, what="asking Docker").out.split()
        if found:
            self.run("volume", "rm", *(one.decode() for one in found), what="deleting the volumes")

    def has_volume(self, name: str) -> bool:
        found = self.run("volume", "inspect", f"{self.project}_{name}", what="asking Docker", ok=(0, 1))
        return found.code == 0


def size(text: str) -> int:
    """'45.5MiB ' as docker says it -> bytes; 0 for what it does not say."""
    number = text.strip().rstrip("kKMGTiB")
    unit = text.strip()[len(number) :].upper()
    factor = 1024 if "I" in unit else 1000
    try:
        return int(float(number) * factor ** " KMGT".index(unit[:1] if unit[:1] in "KMGT" else " "))
    except ValueError:
        return 0


def json_of(out: bytes) -> dict[str, Any]:
    try:
        found = json.loads(out)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def podman(said: Mapping[str, Any]) -> bool:
    return "podman" in json.dumps(said).lower()


def _has_v1() -> bool:
    return shutil.which("docker-compose", path=environment().get("PATH")) is not None


def _unreachable(reason: str) -> SamseshError:
    """Why the engine did not answer, in its client's own words as the detail."""
    if "permission denied" in reason.lower() and was_root():
        return SamseshError(
            "root has not confirmed that this server runs in containers, and what its user can change is not enough",
            "confirm it: samsesh up --engine compose (or: restore --engine compose FILE)",
        )
    if "permission denied" in reason.lower():
        return SamseshError(
            "this user may not use Docker: its socket is closed to it",
            "become a member of the group docker (sudo usermod -aG docker USER, then log in anew), or run as root",
            detail=reason,
        )
    return SamseshError(
        "Docker is installed, and is not running",
        "start it: sudo systemctl enable --now docker; then run the command again",
        detail=reason,
    )
