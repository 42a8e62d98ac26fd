"""Moving a running server with its data from one engine to the other, whole or not at all."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from samsesh.engine import Say
from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.load import save
from samsesh.ops import archive, backup, deploy, programs, record, service
from samsesh.ops.restore import load_database
from samsesh.ops.server import Server, again, open_server
from samsesh.run import undisturbed
from samsesh.write import make_dir, replacing

MOVED = (
    "gateway",
    "rtc-auth",
)  # beside the database and media: certificates, and leaves that are still to be sent


def switch(home: Home, environ: Mapping[str, str], to: str, say: Say) -> backup.Backup | None:
    """Move to the engine `to`; gives the backup that was taken before, None where the server is there already.

    The old engine's data is deleted only when a client could log in to the server with the new one. Where anything
    fails, the old one runs as before. What is remembered of the home says whose data counts, whatever the settings
    say, and whenever this was cut off: the old engine's until the new one has everything.
    """
    with home.lock("engine switch", say):
        with_data = home.state().get("engine", "native")
        old = open_server(home, environ, flags={"server.engine": with_data} if home.started else None)
        if old.engine.name == to:
            save(home, {"server.engine": to})
            _forget_containers(home, to)
            return None
        if not home.started:
            raise SamseshError(
                "this server has never run", f"start it with that engine: samsesh up --engine {to}"
            )
        if service.installed(home):
            raise SamseshError(
                "this server starts with the machine, by a service of its old engine",
                "undo that first: samsesh install-service --remove",
            )
        new = open_server(home, environ, flags={"server.engine": to})
        new.engine.usable()
        programs.settle(
            home, new.settings, programs.at_hand(home, new.settings)
        )  # else calls would wait for `up`
        new = again(new)
        ran = old.engine.running()
        say("stopping the server, so that nothing is lost on the way")
        old.engine.stop(say)
        try:
            made = backup.create(old, reason=f"before moving to the engine {to}", say=say)
            if lost := [what for what in made.left_out if what.startswith((backup.MEDIA, "gateway/"))]:
                raise _not_moved(lost[0].partition(":")[0])
            new.engine.discard(say)  # what a move left that was cut off
            _move(old, new, made.path, say)
        except BaseException:
            with undisturbed():
                _back(old, new, ran=ran, say=say)
            raise
        say(f"deleting the data that the engine {old.engine.name} had")
        old.engine.discard(say)
        _forget_containers(home, to)
        home.audit("engine switch", target=to, backup=str(made.path))
        return made


def _move(old: Server, new: Server, path: Path, say: Say) -> None:
    home, to = old.home, new.engine.name
    folder = home.path / ".moving"
    shutil.rmtree(folder, ignore_errors=True)
    make_dir(folder)
    try:
        say("moving media and certificates")
        with path.open("rb") as opened:
            archive.extract(opened, folder / "backup")
        units = [name for name in MOVED if name in _units(old) and name in _units(new)]
        for unit in units:
            _copy(old, unit, folder / unit)
        old.engine.stop(say)
        new.engine.take_files(new.plan, "synapse", "media", folder / "backup" / "media")
        for unit in units:
            new.engine.take_files(new.plan, unit, "", folder / unit)
        make_dir(home.data_dir)
        (folder / "backup" / backup.DUMP).rename(home.data_dir / backup.DUMP)
        if new.plan.offer.database and new.plan.offer.database.unit:  # else both have the same one
            load_database(new, say, restored=False)
        home.remember(engine=to, versions=dict(new.facts.versions))
        save(home, {"server.engine": to})
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        (home.data_dir / backup.DUMP).unlink(missing_ok=True)
    deploy.start(new, say)


def _forget_containers(home: Home, engine: str) -> None:
    """With processes, root no longer uses Docker for this home until it confirms that again."""
    if engine == "native":
        record.forget(home)


def _units(server: Server) -> set[str]:
    return {unit.name for unit in server.plan.units}


def _copy(server: Server, unit: str, folder: Path) -> None:
    make_dir(folder)
    with server.engine.files_of(server.plan, unit) as found:
        for name, _, content in found:
            if content is None:
                raise _not_moved(f"{name} of {unit}")
            with replacing(folder / name) as out:
                shutil.copyfileobj(content, out)


def _not_moved(what: str) -> SamseshError:
    """The old engine's data is deleted at the end: nothing of it may stay behind."""
    return SamseshError(
        f"{what} is a link or cannot be read, so that it would be lost",
        "put the files themselves there, for the server's user to read; nothing was moved",
    )


def _back(old: Server, new: Server, *, ran: bool, say: Say) -> None:
    """As it was: the new engine's data goes, the old one starts where it ran."""
    home = old.home
    say(f"that failed: back to the engine {old.engine.name}, whose data is as it was")
    home.remember(engine=old.engine.name, versions=dict(old.facts.versions))
    save(home, {"server.engine": old.engine.name})
    try:
        new.engine.discard(say)
    except SamseshError as error:  # an engine that is gone is no reason not to start the other
        say(f"what the engine {new.engine.name} was given is left there: {error.message}")
    _forget_containers(home, old.engine.name)
    if ran:
        deploy.start(old, say)
