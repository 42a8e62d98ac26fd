"""Bringing a server up and down: plan, safety backup, engine, accounts, and the proof that a client can log in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from samsesh import operator_files
from samsesh.clients.own import Own
from samsesh.download import Progress
from samsesh.engine import Change
from samsesh.errors import SamseshError, SettingsError
from samsesh.facts import free_bytes, gather
from samsesh.home import Home
from samsesh.load import load, save
from samsesh.ops import addresses, auto_join, backup, certificates, database, judge, programs, service_account
from samsesh.ops.server import Server, again, engine_of, open_server
from samsesh.run import Process

Say = Callable[[str], None]
MB = 1024 * 1024
SPACE = 512 * MB  # bytes on a disk that a new server needs


@dataclass
class Report:
    """What `up` did, for people."""

    server: Server
    changes: list[Change]
    files: list[str] = field(default_factory=list)  # written, or with a dry run: would be
    first_admin: tuple[str, str | None] | None = None
    warnings: list[str] = field(default_factory=list)  # of this start: see ops/judge.py, disks, rooms
    backup: str = ""
    failed: tuple[SamseshError, ...] = ()  # what is wrong, though the server runs
    lacking: tuple[str, ...] = ()  # titles of services that failed and can be spared
    unproven: SamseshError | None = None  # why a client may not be able to log in
    uncertified: tuple[str, ...] = ()  # hosts that have no certificate yet
    manager: Process | None = None  # the process manager, where it runs in the foreground
    to_get: list[str] = field(default_factory=list)  # programs that are not at hand: see `get_programs`
    later: list[str] = field(default_factory=list)  # of these, what failed a moment ago: see ops/catch_up.py

    @property
    def changed(self) -> bool:
        return any(change.action != "keep" for change in self.changes) or bool(self.files)

    def take(self, more: "Report") -> None:
        """What came of starting what was got since."""
        self.server, self.changes = more.server, [*self.changes, *more.changes]
        self.files = [*self.files, *more.files]
        self.failed, self.lacking = more.failed, more.lacking
        self.unproven, self.uncertified = more.unproven, more.uncertified
        self.first_admin = self.first_admin or more.first_admin


def up(
    home: Home,
    environ: Mapping[str, str],
    *,
    say: Say,
    flags: Mapping[str, Any] | None = None,
    foreground: bool = False,
    before: Callable[[Server], None] = lambda server: None,
    after: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Make the server run as the settings say. Raises with what is wrong if it does not; what is wrong though it runs
    is in the report.

    `before` sees what is planned before anything is started, and may refuse it (preflight.py). `after` prints the
    report while the home is held, so that of two commands one prints the first administrator's password.
    """
    home.prepare()
    with home.lock("up", say):
        server = open_server(home, environ, flags=flags, adopt=True)
        check_name(server)
        check_engine(server)
        operator_files.check(server.files)
        _say_name(server, say)
        keep = {**server.loaded.adopted, **(flags or {})}
        if keep or not home.settings_file.exists():
            save(home, keep)
        found = programs.at_hand(home, server.settings)
        programs.settle(home, server.settings, found)
        if told := addresses.settle(home, server.settings, gather()):
            say(told)
        server = again(server)
        database.check(server, new=not home.started and "engine" not in home.state())
        before(server)
        report = preview(server)
        absent = [name for name in programs.wanted(server.settings) if name not in found]
        report.later = programs.failed_lately(home, server.settings, absent)
        report.to_get = [name for name in absent if name not in report.later]
        ran = server.engine.running()
        try:
            _apply(server, report, say, foreground=foreground)
            after(report)
        except (KeyboardInterrupt, SystemExit):
            if not ran:
                say("interrupted; stopping what was started")
                server.engine.stop(say)
            raise
    return report


def _apply(server: Server, report: Report, say: Say, *, foreground: bool) -> None:
    home = server.home
    starts = any(change.action == "start" for change in report.changes)
    report.warnings = _check_disks(server) if starts else []
    report.warnings += judge.must_pass(server, report.changes, say)
    reason = backup.needed_before(server)
    if reason and home.state().get("backup_for") != reason:  # one is enough, however often the start fails
        say(f"taking a backup first: {reason}")
        report.backup = str(backup.create(server, reason=reason, say=say).path)
        say(f"the backup is {report.backup}")
        home.remember(backup_for=reason)
    anew = any(change.unit == "gateway" and change.action != "keep" for change in report.changes)
    since = datetime.now(UTC) if anew else None
    home.remember(engine=server.engine.name)  # before anything runs, so that it can be stopped
    operator_files.check(server.files)
    applied = server.engine.apply(server.plan, say, foreground=foreground)
    operator_files.keep(home, server.files)
    report.manager, report.failed = applied.manager, tuple(applied.failed.values())
    report.lacking = tuple(server.plan.unit(name).title for name in applied.failed)
    versions = dict(server.facts.versions)
    home.remember(server_name=server.settings.server.name, versions=versions, backup_for="")
    if report.changed or home.state().get("unproven"):
        home.remember(unproven=True)
        way, problem = certificates.wait(server, say, since)
        if problem:  # the gateway goes on trying
            report.uncertified = way.missing
        if server.access.host("api") not in way.missing:
            say("logging in as a client would")
            report.unproven = _login_problem(server, way)
        problems = tuple(filter(None, (problem, report.unproven)))
        report.failed += problems  # who may log in is printed all the same
        home.remember(unproven=bool(problems) or None)
        home.audit("up", changes=" ".join(f"{change.action}:{change.unit}" for change in report.changes))
    has_rooms = "first_admin" in home.state()  # else Synapse makes them with that account
    report.first_admin = service_account.first_admin(server)
    if has_rooms:
        _make_rooms(server, report)


def _make_rooms(server: Server, report: Report) -> None:
    """Rooms that all join and that a started server lacks; what is wrong with that stops nothing."""
    try:
        report.warnings += auto_join.make_missing(server)
    except SamseshError as error:
        report.failed += (error,)


def _login_problem(server: Server, way: Own) -> SamseshError | None:
    try:
        service_account.prove_login(server, *service_account.entry(server), way)
    except SamseshError as error:
        return error
    return None


def _check_disks(server: Server) -> list[str]:
    """A sentence for each disk on which little is left; raises if a server has yet to begin there.

    An established one is not kept down by it: it ends in order if its database has no room, and only one that runs can be
    tidied by its people.
    """
    few = {
        path: free
        for path in (server.home.path, *server.engine.disks())
        if (free := free_bytes(path)) < SPACE
    }
    sentences = [f"{free // MB} MB are free on the disk of {path}" for path, free in few.items()]
    if sentences and not server.home.started:
        raise SamseshError(
            f"{sentences[0]}; a new server needs {SPACE // MB} MB",
            "make room, or choose another folder with --home",
        )
    return [
        f"{sentence}: make room, or the database will stop; see: samsesh doctor disk"
        for sentence in sentences
    ]


def start(server: Server, say: Say) -> Report:
    """Start what is planned, and prove it; the caller holds the home. Raises if a client could not log in."""
    report = preview(server)
    _apply(server, report, say, foreground=False)
    if report.unproven:
        raise report.unproven
    return report


def get_programs(
    home: Home, environ: Mapping[str, str], names: list[str], *, say: Say, progress: Progress
) -> tuple[Report | None, list[SamseshError]]:
    """Get what was not at hand while the chat runs, then start what it is for: (what changed, what could not be had).

    `names`, as in `Report.to_get`. The home is not held while something is fetched or built. If the server was stopped
    meanwhile it stays so, and there is no report.
    """
    settings = load(home, environ).settings
    looking = programs.search(home, settings, say, progress)
    waiting = [module for name, module in programs.wanted(settings).items() if name in names]
    failed = [error for module in waiting if (error := programs.get(home, settings, looking, module))]
    with home.lock("up", say):  # pages say why something is not there, so they are written again in any case
        server = open_server(home, environ)
        if not server.engine.running():
            return None, failed
        report = preview(server)
        _apply(server, report, say, foreground=False)
    return report, failed


def preview(server: Server) -> Report:
    """What `up` would do."""
    changed = [str(path) for path in server.engine.changed_files(server.plan)]
    return Report(server, server.engine.changes(server.plan), changed)


def check_name(server: Server) -> None:
    """The server name is permanent once the database exists."""
    made, wanted = server.home.state().get("server_name"), server.settings.server.name
    if made and made != wanted:
        raise SettingsError(
            f"server.name is {wanted}, but this server was made as {made}, and every account and room carries that name",
            f"set it back (samsesh config set server.name {made}), or begin anew with `samsesh destroy`",
        )


def _say_name(server: Server, say: Say) -> None:
    """A name that nobody typed here is for good, too."""
    source = server.loaded.sources.get("server.name", "")
    if not server.home.started and source in (".env", "environment"):
        where = str(server.home.env_file) if source == ".env" else "a variable (SYNAPSE_SERVER_NAME)"
        say(
            f"the server's name is {server.settings.server.name}, from {where}: it is part of every account and room, "
            "and cannot change once the server has started"
        )


def check_engine(server: Server) -> None:
    """A server stays with its engine, where its data is, until it is moved."""
    wanted, ran = server.settings.server.engine, server.home.state().get("engine", "native")
    if server.home.started and wanted != ran:
        raise SettingsError(
            f"server.engine is {wanted}, but this server and its data are with the engine {ran}",
            f"move it: samsesh engine switch {wanted}; or stay: samsesh config set server.engine {ran}",
        )


def down(home: Home, say: Say) -> bool:
    """Stop everything of this home, also where its settings are broken. False where nothing ran."""
    if home.empty:
        return False
    with home.lock("down", say):
        engine = engine_of(home)
        ran = engine.running() or bool(engine.leftovers())
        engine.stop(say)
        if ran:
            home.audit("down")
    return ran


def restart(home: Home, environ: Mapping[str, str], names: list[str], say: Say) -> None:
    """Stop and start services again, as they were started last."""
    with home.lock("restart", say):
        server = open_server(home, environ)
        known = [unit.name for unit in server.plan.units]
        unknown = [name for name in names if name not in known]
        if unknown:
            raise SettingsError(f"there is no service {unknown[0]}", f"services are: {', '.join(known)}")
        if server.engine.running():
            server.engine.restart(server.plan, names or known, say)
            home.audit("restart", target=" ".join(names or known))
            return
    for error in up(home, environ, say=say).failed:
        raise error
