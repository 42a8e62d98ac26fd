"""The native engine: the plan's units as processes of one user, under supervisord."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from samsesh import ports
from samsesh.engine import Applied, Change, Entry, KeptFile, Say, Seen
from samsesh.engines.native import files, kept, logs, status
from samsesh.engines.native.judge import judge_unit
from samsesh.engines.native.prepare import prepare
from samsesh.engines.native.start import answers
from samsesh.engines.native.supervisor import Supervisor, end_left_over, left_over
from samsesh.errors import SamseshError
from samsesh.facts import Facts
from samsesh.home import Home
from samsesh.judging import Judged
from samsesh.model import Judge, Plan, Unit
from samsesh.run import Process, last_lines, run, spawn
from samsesh.write import holds, make_dir, write_file


class NativeEngine:
    """Makes reality match a plan on this machine. Applying twice changes nothing."""

    name = "native"

    def __init__(self, home: Home, facts: Facts) -> None:
        self.home = home
        self.facts = facts
        self.supervisor = Supervisor(home)

    def usable(self) -> None:
        if obstacle := self.facts.native_obstacle():
            raise SamseshError(
                obstacle, "where there is Docker, run it in containers: samsesh up --engine compose"
            )

    def changes(self, plan: Plan) -> list[Change]:
        """What `apply` would do, without doing it."""
        programs = self.supervisor.programs()
        applied = self._applied() if programs else {}
        found = []
        for unit in plan.units:
            spec = files.specification(self.home, plan, unit)
            if unit.name not in programs or programs[unit.name].pid == 0:
                found.append(Change(unit.name, "start", "it is not running"))
            elif applied.get(unit.name) != files.fingerprint(unit, spec):
                found.append(Change(unit.name, "restart", self._why(unit)))
            else:
                found.append(Change(unit.name, "keep"))
        known = {unit.name for unit in plan.units}
        return found + [
            Change(name, "stop", "it is no longer wanted") for name in programs if name not in known
        ]

    def changed_files(self, plan: Plan) -> list[Path]:
        """Files that `apply` would write."""
        wanted = files.plan_files(self.home, plan, self.facts.python)
        return [file.path for file in wanted if not holds(file.path, file.content)]

    def judge(self, plan: Plan, unit: Unit, judge: Judge, say: Say) -> Judged:
        return judge_unit(self.home, unit, judge)

    def apply(self, plan: Plan, say: Say, *, foreground: bool = False) -> Applied:
        """Write, prepare, start what is not running, restart what changed, and wait until all of it answers."""
        changes = self.changes(plan)
        self.usable()
        ours = set[ports.Port]()
        if not self.supervisor.running():
            end_left_over(self.home, say)
            starting = list(plan.units)
        else:
            ours = ports.held_by(self.leftovers())
            acting = {change.unit for change in changes if change.action == "start"}
            starting = [unit for unit in plan.units if unit.name in acting]
        failed = ports.check(starting, self.facts, ours)
        self._write(plan)
        before = {unit.name: self._log_size(unit) for unit in plan.units if unit.bad_words}
        for unit in plan.units:
            if unit.prepare and not unit.prepare.folder.exists():
                prepare(unit.prepare, say)
        manager = self._start_or_update(plan, changes, say, foreground=foreground)
        self._remember(plan)
        try:
            failed = self._wait_ready(plan, say, before, failed)
        except BaseException:
            if manager:
                self.stop(say)
                manager.wait()
            raise
        return Applied(failed, manager)

    def stop(self, say: Say) -> None:
        """Stop everything of this home; afterwards no process of it is left."""
        if self.supervisor.running():
            say("stopping all services")
            self.supervisor.shut_down()
        end_left_over(self.home, say)
        self._applied_file.unlink(missing_ok=True)

    def erase(self, say: Say) -> None:
        self.stop(say)  # all that it keeps is in the home

    def running(self) -> bool:
        return self.supervisor.running()

    def leftovers(self) -> list[int]:
        return left_over(self.home)

    def published(self) -> list[tuple[str, str, int]] | None:
        return None

    def disks(self) -> list[Path]:
        return []

    def restart(self, plan: Plan, names: list[str], say: Say) -> None:
        """Stop and start units by name, and wait until they answer."""
        say("restarting " + ", ".join(names))
        self.supervisor.update(set(names), [unit.name for unit in plan.units])
        for error in self._wait_ready(plan, say, {}, {}).values():
            raise error

    def look(self, plan: Plan) -> dict[str, Seen]:
        return status.look(plan, self.supervisor.programs())

    def on_host(self, path: Path) -> Path:
        return path

    def reach(self, plan: Plan, unit: str) -> str:
        return str(plan.unit(unit).probe.endpoint)

    def logged(self) -> list[str]:
        return logs.logged(self.home)

    def log(self, service: str, count: int, since: datetime | None) -> list[Entry]:
        return logs.read(self.home, service, count, since)

    def follow(self, services: list[str]) -> Iterator[Entry]:
        return logs.follow(self.home, services)

    def postgres_tool(self, plan: Plan, tool: str) -> tuple[list[str], dict[str, str]]:
        return kept.postgres_tool(self.facts, plan, tool)

    def read_kept(self, unit: str, path: Path) -> bytes | None:
        with suppress(OSError):
            return (self.home.data_dir / unit / path).read_bytes()
        return None

    def databases(self) -> dict[str, str] | None:
        return kept.databases(self.home)

    @contextmanager
    def files_of(self, plan: Plan, unit: str, below: str = "") -> Iterator[Iterator[KeptFile]]:
        yield kept.files(self.home.data_dir / unit / below)

    def take_files(self, plan: Plan, unit: str, below: str, folder: Path) -> None:
        kept.take(self.home.data_dir / unit / below, folder)

    def discard(self, say: Say) -> None:
        self.stop(say)
        kept.discard(self.home)

    def sizes(self) -> tuple[int, int]:
        return kept.sizes(self.home)

    def image_digests(self, plan: Plan) -> dict[str, str]:
        return {}

    def log_file(self, unit: str) -> Path:
        return files.log_path(self.home, unit)

    @property
    def _applied_file(self) -> Path:
        return self.home.config_dir / "applied.json"

    def _applied(self) -> Mapping[str, str]:
        """Fingerprints of the units as they were started last."""
        with suppress(OSError, ValueError):
            found = json.loads(self._applied_file.read_bytes())
            if isinstance(found, dict):
                return found
        return {}

    def _why(self, unit: Unit) -> str:
        changed = [
            file.path.name for file in unit.files if not file.live and not holds(file.path, file.content)
        ]
        return f"{', '.join(changed)} changed" if changed else "its command, environment or version changed"

    def _write(self, plan: Plan) -> None:
        self.home.make_runtime_dir()
        for folder in (self.home.config_dir, self.home.data_dir, self.home.logs_dir):
            make_dir(folder)
        for unit in plan.units:
            for folder in unit.folders:
                make_dir(folder)
        for file in files.plan_files(self.home, plan, self.facts.python):
            files.put(file)

    def _start_or_update(
        self, plan: Plan, changes: list[Change], say: Say, *, foreground: bool
    ) -> Process | None:
        doing = [
            f"{change.action}ing {change.unit}" for change in changes if change.action in ("start", "restart")
        ]
        command = [
            self.facts.python,
            "-I",
            "-m",
            "samsesh.engines.native.supervise",
            "-c",
            str(files.conf_path(self.home)),
        ]
        if self.supervisor.running():
            if doing or any(change.action == "stop" for change in changes):
                say(", ".join(doing) or "stopping what is no longer wanted")
                restart = {change.unit for change in changes if change.action in ("start", "restart")}
                self.supervisor.update(restart, [unit.name for unit in plan.units])
            return None
        say(", ".join(doing))
        self._clean_runtime()
        if foreground:
            return spawn([*command, "--nodaemon"], log=files.log_path(self.home, "supervisord.out"))
        run(command, what="starting the process manager", timeout=30)
        return None

    def _clean_runtime(self) -> None:
        """Remove sockets and pids of an earlier life; nothing of this home runs any more.

        PostgreSQL's too: after a power loss its pid may be another service's, and it would refuse to start.
        """
        for path in self.home.runtime_dir().iterdir():
            if path.suffix in (".sock", ".pid", ".starts") or path.name.startswith(".s.PGSQL"):
                path.unlink(missing_ok=True)
        for path in (self.home.data_dir / "postgres").glob("*/postmaster.pid"):
            path.unlink(missing_ok=True)

    def _remember(self, plan: Plan) -> None:
        prints = {
            unit.name: files.fingerprint(unit, files.specification(self.home, plan, unit))
            for unit in plan.units
        }
        write_file(self._applied_file, json.dumps(prints, indent=1))

    def _wait_ready(
        self,
        plan: Plan,
        say: Say,
        logs: Mapping[str, int],
        failed: Mapping[str, SamseshError],
    ) -> dict[str, SamseshError]:
        """Until every probe answers; a program that ends again and again fails the start at once.

        `logs`: where in its log the start of a unit begins; `failed`: units that are not waited for. Gives all that can
        be spared and failed; raises for the others.
        """
        began, since = time.monotonic(), time.time()
        found = dict(failed)
        waiting = [unit for unit in plan.units if unit.name not in found]
        told = ""
        while waiting:
            ready = [unit for unit in waiting if answers(files.probe_data(unit.title, unit.probe))[0]]
            waiting = [unit for unit in waiting if unit not in ready]
            for unit in ready if told else []:  # what answered at once was not waited for
                say(f"{unit.title} is ready")
            if waiting and (line := "waiting for " + ", ".join(unit.title for unit in waiting)) != told:
                say(line)
                told = line
            for unit in [*ready, *waiting]:
                try:
                    if unit in waiting:
                        self._check_waiting(unit, time.monotonic() - began, since)
                    else:
                        self._check_words(unit, logs.get(unit.name))
                except SamseshError as error:
                    if not unit.spare:
                        raise
                    found[unit.name] = error
            waiting = [unit for unit in waiting if unit.name not in found]
            if waiting:
                time.sleep(0.05)
        return found

    def _log_size(self, unit: Unit) -> int:
        try:
            return self.log_file(unit.name).stat().st_size
        except OSError:
            return 0

    def _check_words(self, unit: Unit, start: int | None) -> None:
        """A program that starts in spite of a configuration it does not take says so in its log only."""
        if start is None or not self.log_file(unit.name).exists():
            return
        with self.log_file(unit.name).open("rb") as log:
            log.seek(start)
            told = log.read(65_536).decode(errors="replace")
        if lines := [line for line in told.splitlines() if unit.bad_words in line]:
            raise SamseshError(
                f"the {unit.title} does not take its configuration",
                f"this version of it ({unit.version or 'unknown'}) is not known yet; please report it",
                detail="\n".join(lines),
            )

    def _check_waiting(self, unit: Unit, seconds: float, since: float) -> None:
        starts = self.home.runtime_dir() / f"{unit.name}.starts"
        moments = map(float, starts.read_text().split()) if starts.exists() else ()
        ended = sum(moment > since for moment in moments) > 3  # those before are of an earlier try
        if not ended and seconds < unit.probe.seconds:
            return
        reason = answers(files.probe_data(unit.title, unit.probe))[1]
        log = self.log_file(unit.name)
        text = log.read_text(errors="replace")[-6000:] if log.exists() else ""
        problem = "ends again and again" if ended else f"is not ready after {seconds:.0f} s ({reason})"
        raise SamseshError(
            f"the {unit.title} {problem}",
            f"the last lines of its log are below; all: samsesh logs {unit.name}",
            detail=last_lines(text),
        )
