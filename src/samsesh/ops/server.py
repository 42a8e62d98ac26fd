"""Everything a command needs of one home, read once."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samsesh import facts as machine
from samsesh import operator_files
from samsesh import secrets as kept
from samsesh.access import Access
from samsesh.engine import Engine
from samsesh.engines.native import NativeEngine
from samsesh.engines.native.placement import NativePlacement
from samsesh.errors import SamseshError, SettingsError
from samsesh.facts import Facts
from samsesh.home import Home
from samsesh.load import Loaded, load
from samsesh.model import Context, Plan
from samsesh.operator_files import NamedFile
from samsesh.ops import addresses, programs
from samsesh.placement import Placement
from samsesh.plan import make_plan
from samsesh.run import keeps_root
from samsesh.secrets import Secrets
from samsesh.settings import Settings


@dataclass(frozen=True)
class Server:
    """One home's settings, secrets, plan and engine."""

    home: Home
    settings: Settings
    secrets: Secrets
    facts: Facts
    plan: Plan
    engine: Engine
    loaded: Loaded
    files: tuple[NamedFile, ...] = ()  # those that the settings name
    say: Callable[[str], None] | None = None  # tells people that a change waits for another

    @property
    def access(self) -> Access:
        return Access(self.settings, self.facts.addresses)

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self.loaded.warnings, *(file.warning for file in self.files if file.warning))

    def file(self, setting: str) -> NamedFile | None:
        """The file that a setting names; None: it names none that counts."""
        return operator_files.of(self.files, setting)


def open_server(
    home: Home,
    environ: Mapping[str, str] = os.environ,
    *,
    flags: Mapping[str, Any] | None = None,
    adopt: bool = False,
    say: Callable[[str], None] | None = None,
) -> Server:
    """Load and plan. Changes nothing in a home but missing secrets; refuses one that is not there unless `adopt`."""
    if not adopt:
        home.must_be_there()
    home.check_format()
    loaded = load(home, environ, flags=flags, adopt=adopt)
    secrets = kept.ensure(home, loaded.given_secrets, loaded.adopted_secrets)
    return planned(home, loaded, secrets, say)


def planned(
    home: Home,
    loaded: Loaded,
    secrets: Secrets,
    say: Callable[[str], None] | None = None,
    found: Mapping[str, Any] | None = None,
) -> Server:
    """Plan; `found` has artifacts that are not yet remembered."""
    settings = loaded.settings
    facts = addresses.planned(machine.gather(), home, settings)
    engine: Engine
    if settings.server.engine == "compose":
        from samsesh.engines.compose import ComposeEngine  # most servers never load it
        from samsesh.engines.compose.placement import facts_in_containers

        facts = facts_in_containers(facts, settings)
        engine = ComposeEngine(home, facts, settings, secrets)
    else:
        facts = with_artifacts(facts, home, found or {})
        engine = NativeEngine(home, facts)
    place = placement(home, settings, facts)
    plan = for_us(home, make_plan(Context(settings, secrets, facts, place)), engine, place)
    return Server(home, settings, secrets, facts, plan, engine, loaded, place.files, say)


def placement(home: Home, settings: Settings, facts: Facts, *, judged: bool = False) -> Placement:
    """Where the engine of these settings has things; `judged`: while they are judged, which no container notices."""
    if settings.server.engine == "compose":
        from samsesh.engines.compose.placement import ComposePlacement

        return ComposePlacement(home, settings)
    return NativePlacement(home, settings, facts, judged=judged)


def for_us(home: Home, plan: Plan, engine: Engine, place: Placement) -> Plan:
    """The plan with what it offers as this program reaches it: sockets and files may be elsewhere for containers."""
    database, admin = plan.offer.database, plan.offer.admin_api
    if admin and admin.socket:
        admin = replace(admin, socket=engine.on_host(admin.socket))
    if database:
        passfile = replace(database.passfile, path=engine.on_host(database.passfile.path))
        database = replace(database, passfile=passfile)
        parameters = {**database.parameters}
        if database.unit:
            parameters["host"] = str(engine.on_host(plan.unit(database.unit).sockets[0]).parent)
        ours = {name: str(file.place(home)) for name, file in place.database_files().items()}
        for key in (parameters.get("sslkey"), ours.get("sslkey")):
            if ":" in str(key):  # libpq would load what stands before it
                raise SettingsError(
                    f"database.url leads to the key {key}, and no path of a key may have a colon",
                    "put it into another folder (sslkey=PATH), or take a home without a colon",
                )
        parameters |= ours
        database = replace(database, parameters=parameters)
    return replace(plan, offer=replace(plan.offer, database=database, admin_api=admin))


def engine_of(home: Home) -> Engine:
    """The engine that this server is with, known also where its settings are broken; good for looking and stopping."""
    try:
        name = home.state().get("engine")
    except SamseshError:  # damaged, which is no reason not to stop it
        in_containers = keeps_root() or (home.path / "compose.yaml").exists()
        name = "compose" if in_containers else "native"
    if name == "compose":
        from samsesh.engines.compose import ComposeEngine

        return ComposeEngine(home, machine.gather())
    return NativeEngine(home, machine.gather())


def again(server: Server) -> Server:
    """The same server planned anew: what is remembered of its home has changed."""
    return planned(server.home, server.loaded, server.secrets, server.say)


def with_artifacts(facts: Facts, home: Home, found: Mapping[str, Any]) -> Facts:
    """What `up` got for this home and is still there (ops/programs.py), with why the rest is not."""
    known = home.state()
    all_of_them = {**known.get("artifacts", {}), **found}
    kept = {name: one for name, one in all_of_them.items() if os.access(one["path"], os.F_OK)}
    programs = {name: one["path"] for name, one in kept.items() if not Path(one["path"]).is_dir()}
    bundles = {name: one["path"] for name, one in kept.items() if Path(one["path"]).is_dir()}
    return replace(
        facts,
        programs={**facts.programs, **programs},
        bundles=bundles,
        versions={**facts.versions, **{name: one["version"] for name, one in kept.items()}},
        environments={name: one["env"] for name, one in kept.items() if one.get("env")},
        missing={name: tuple(why) for name, why in known.get("missing", {}).items() if name not in kept},
    )


def preview_server(home: Home, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Server:
    """As `open_server` for `up`, but without leaving anything in the home: missing secrets are made up and forgotten."""
    home.check_format()
    loaded = load(home, environ, flags=flags, adopt=True)
    found = programs.at_hand(home, loaded.settings)
    return planned(home, loaded, kept.preview(home, loaded.given_secrets), found=found)


def server_as_found(home: Home, environ: Mapping[str, str]) -> Server:
    """As `open_server` for the doctor: changes nothing, and opens a server whose secrets are open or damaged, too."""
    home.must_be_there()
    home.check_format()
    loaded = load(home, environ)
    return planned(home, loaded, kept.as_found(home, loaded.given_secrets))
