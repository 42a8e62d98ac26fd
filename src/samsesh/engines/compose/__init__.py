"""The engine of containers: the plan's units as services of Docker Compose."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from samsesh import ports
from samsesh.engine import Applied, Change, Entry, KeptFile, Say, Seen
from samsesh.engines.compose import files, image, images, kept, render, starting
from samsesh.engines.compose.docker import QUICK_SINCE, START_SECONDS, Docker
from samsesh.engines.compose.fetch import get_images, names_of
from samsesh.engines.compose.judge import judge_unit
from samsesh.engines.compose.logs import UNITS, follow, read
from samsesh.engines.compose.placement import check_path, data_of, service
from samsesh.engines.compose.see import memory_of, seen
from samsesh.errors import SamseshError
from samsesh.facts import Facts, family
from samsesh.formats import to_compose_yaml
from samsesh.home import Home
from samsesh.judging import Judged
from samsesh.model import File, Judge, Plan, Unit
from samsesh.placing import place, remove
from samsesh.run import keeps_root
from samsesh.secrets import Secrets
from samsesh.settings import Settings
from samsesh.write import holds


class ComposeEngine:
    """Makes reality match a plan by containers. Without settings and secrets it can only look, and stop."""

    name = "compose"

    def __init__(
        self, home: Home, facts: Facts, settings: Settings | None = None, secrets: Secrets | None = None
    ) -> None:
        self.home, self.facts = home, facts
        self._settings, self._secrets = settings, secrets
        # What root's Docker follows is in a folder of root's: see placing.py.
        roots = home.roots_folder / "containers" if keeps_root() else None
        self.folder, self.run = roots or home.path, roots / "run" if roots else home.runtime_dir()
        self.docker = Docker(f"samsesh-{home.id}", self.folder)

    # --- what is to be

    @property
    def settings(self) -> Settings:
        assert self._settings is not None  # whoever has a plan has them
        return self._settings

    def project(self) -> render.Project:
        user = (0, 0) if self.docker.rootless else (self.facts.uid, os.getegid())
        return render.Project(
            name=self.docker.project,
            folder=self.folder,
            run=self.run,
            user=user,
            memory=self.facts.memory,
            quick=self.docker.version >= QUICK_SINCE,
        )

    def _given(self, plan: Plan) -> render.Given:
        assert self._secrets is not None  # whoever has a plan has them
        return render.given(plan, self._secrets)

    def _files(self, plan: Plan) -> list[File]:
        project, given = self.project(), self._given(plan)
        data = render.compose(project, plan, given, self.settings)
        return [
            *files.of_containers(project, given),
            File(self.folder / "compose.yaml", to_compose_yaml(data), mode=0o644),
        ]

    def usable(self) -> None:
        self.docker.check()
        if not keeps_root():
            check_path(self.home)

    def changes(self, plan: Plan) -> list[Change]:
        wanted = render.compose(self.project(), plan, self._given(plan), self.settings)["services"]
        there = self.docker.services()
        found = []
        for unit in plan.units:
            name = service(unit.name)
            container = there.pop(name, None)
            label = wanted[name]["labels"][render.FINGERPRINT]
            if container is None or container["State"]["Status"] in ("created", "exited", "dead"):
                found.append(Change(unit.name, "start", "it is not running"))
            elif container["Config"]["Labels"].get(render.FINGERPRINT) != label:
                found.append(Change(unit.name, "restart", "its settings or its image changed"))
            else:
                found.append(Change(unit.name, "keep"))
        return found + [
            Change(name, "stop", "it is no longer wanted") for name in there if name != render.PREPARE
        ]

    def changed_files(self, plan: Plan) -> list[Path]:
        return [file.path for file in self._files(plan) if not holds(file.path, file.content)]

    # --- making it so

    def judge(self, plan: Plan, unit: Unit, judge: Judge, say: Say) -> Judged:
        get_images(self.docker, self.home, self.settings, plan.only(unit.name), say)
        project = replace(self.project(), folder=self.folder / "config" / self.home.judged_dir.name)
        given = self._given(plan)
        data = render.compose(project, plan, given, self.settings)["services"][service(unit.name)]
        found = files.of_containers(project, {unit.name: given[unit.name]})
        try:
            place(project.folder, [files.placed_file(project, file) for file in found])
            with TemporaryDirectory(prefix="samsesh-judge-") as scratch:  # what is in the home may be a link
                return judge_unit(self.docker, project.folder, unit, judge, data, Path(scratch) / "log")
        finally:
            remove(project.folder)  # root's; else it is the home's
            shutil.rmtree(self.home.judged_dir, ignore_errors=True)

    def apply(self, plan: Plan, say: Say, *, foreground: bool = False) -> Applied:
        """Write, build and pull what is missing, start what changed, and wait until all of it is healthy."""
        if foreground:
            raise SamseshError(
                "Docker runs the containers by itself: there is nothing to stay for", "leave out --foreground"
            )
        self.usable()
        changes = self.changes(plan)
        new = {change.unit for change in changes if change.action == "start"}
        units = [unit for unit in plan.units if unit.name in new]
        ours = {(protocol, port) for protocol, _, port in self.published()}
        failed = ports.check(units, replace(self.facts, lowest_port=1), ours)
        self._write(plan)
        get_images(self.docker, self.home, self.settings, plan, say)
        if doing := [change for change in changes if change.action != "keep"]:
            say(", ".join(f"{change.action} {change.unit}" for change in doing))
        starting.start(self.docker, plan, [unit for unit in plan.units if unit.name not in failed], say)
        found = starting.wait_ready(self.docker, plan, failed)
        return Applied(found)

    def _write(self, plan: Plan) -> None:
        image.explain_wheels(self.home.path / render.IMAGE)
        if keeps_root():  # what an earlier version left there, nobody should run as root
            (self.home.path / "compose.yaml").unlink(missing_ok=True)
        else:
            self.home.make_runtime_dir()
        place(self.folder, files.placed(self.project(), plan, self._files(plan)))

    def stop(self, say: Say) -> None:
        """Containers and networks go, volumes stay."""
        if self.docker.services():
            say("stopping all containers")
        self._down()

    def _down(self, *more: str) -> None:
        command = self.docker.compose("down", "--remove-orphans", *more)
        self.docker.follow(*command, what="stopping the containers", timeout=START_SECONDS)

    def erase(self, say: Say) -> None:
        say("deleting containers and volumes")
        self._down("--volumes")
        self.docker.remove_volumes()
        remove(self.folder)

    discard = erase

    def restart(self, plan: Plan, names: list[str], say: Say) -> None:
        say("restarting " + ", ".join(names))
        command = self.docker.compose("restart", *map(service, names))
        self.docker.follow(*command, what="restarting the containers", timeout=START_SECONDS)
        for error in starting.wait_ready(self.docker, plan, {}).values():
            raise error

    # --- what is

    def running(self) -> bool:
        return any(one["State"]["Running"] for one in self.docker.services().values())

    def leftovers(self) -> list[int]:
        return family(one["State"]["Pid"] for one in self.docker.services().values() if one["State"]["Pid"])

    def published(self) -> list[tuple[str, str, int]]:
        """What Docker holds open for our containers."""
        return [
            (port.partition("/")[2], place["HostIp"], int(place["HostPort"]))
            for one in self.docker.services().values()
            for port, places in (one["NetworkSettings"].get("Ports") or {}).items()
            for place in places or ()
        ]

    def disks(self) -> list[Path]:
        """Docker's own folder, with the volumes, where it is on this machine."""
        done = self.docker.run("info", "--format", "{{.DockerRootDir}}", what="asking Docker", ok=range(256))
        return [Path(done.out.decode().strip())] if done.code == 0 else []

    def look(self, plan: Plan) -> dict[str, Seen]:
        there = self.docker.services()
        memory = memory_of(self.docker, there)
        gone = Seen("stopped", "there is no container of it; start it: samsesh up")
        return {
            unit.name: replace(seen(there[name]), memory=memory.get(name))
            if (name := service(unit.name)) in there
            else gone
            for unit in plan.units
        }

    def on_host(self, path: Path) -> Path:
        user = (self.facts.uid, 0)
        there = render.Project(self.docker.project, self.folder, self.run, user, 0)
        return there.on_host(path)

    def reach(self, plan: Plan, unit: str) -> str:
        container = self.docker.services().get(service(unit), {})
        networks = container.get("NetworkSettings", {}).get("Networks", {})
        address = next((one["IPAddress"] for one in networks.values() if one["IPAddress"]), "")
        return f"{address or 'localhost'}:{plan.unit(unit).probe.endpoint.port}"

    def logged(self) -> list[str]:
        return sorted(UNITS.get(name, name) for name in self.docker.services())

    def log(self, service_: str, count: int, since: datetime | None) -> list[Entry]:
        return [replace(one, service=service_) for one in read(self.docker, service(service_), count, since)]

    def follow(self, services: list[str]) -> Iterator[Entry]:
        return follow(self.docker, [service(name) for name in services])

    # --- what is kept

    def postgres_tool(self, plan: Plan, tool: str) -> tuple[list[str], dict[str, str]]:
        assert self._secrets is not None  # whoever has a plan has them
        running = self.docker.services().get("postgres")
        return kept.postgres_tool(
            self.docker, self.settings, self._secrets, plan, tool, running, self.project()
        )

    def read_kept(self, unit: str, path: Path) -> bytes | None:
        container = self.docker.services().get(service(unit))
        if not container or not container["State"]["Running"]:
            return None
        file = str(data_of(unit) / path)
        done = self.docker.run("exec", container["Id"], "cat", file, what="reading a file", ok=(0, 1))
        return done.out if done.code == 0 else None

    def databases(self) -> dict[str, str] | None:
        """Whether there is one: PostgreSQL itself refuses another's folder."""
        return None if self.docker.has_volume("postgres") else {}

    @contextmanager
    def files_of(self, plan: Plan, unit: str, below: str = "") -> Iterator[Iterator[KeptFile]]:
        with kept.files(self.docker, self._container_of(plan, unit), data_of(unit) / below) as found:
            yield found

    def take_files(self, plan: Plan, unit: str, below: str, folder: Path) -> None:
        container = self._container_of(plan, unit)
        kept.take(self.docker, container, data_of(unit) / below, folder, self.project().user)

    def _container_of(self, plan: Plan, unit: str) -> str:
        """Id of a unit's container; made, and not started, where there is none."""
        name = service(unit)
        if name not in self.docker.services():
            self.docker.check()
            self._write(plan)
            get_images(self.docker, self.home, self.settings, plan, lambda text: None)
            first = self.docker.compose("up", "--no-build", "--no-deps", render.PREPARE)
            self.docker.follow(*first, what="preparing the volumes", timeout=START_SECONDS)
            make = self.docker.compose("up", "--no-build", "--no-start", "--no-deps", name)
            self.docker.follow(*make, what=f"making the container of {unit}", timeout=START_SECONDS)
        return str(self.docker.services()[name]["Id"])

    def sizes(self) -> tuple[int, int]:
        reference = images.reference("samsesh", self.settings.images)
        return kept.sizes(self.docker, reference, self.project().user)

    def image_digests(self, plan: Plan) -> dict[str, str]:
        built = "" if self.settings.images.samsesh else "samsesh"
        pulled = ["python" if name == built else name for name in names_of(plan)]  # what ours is built from
        references = [images.reference(name, self.settings.images) for name in pulled]
        return {reference: self.docker.digest_of(reference) for reference in references}
