"""Programs and web bundles that are no Python packages: what is at hand counts at once, the rest is got meanwhile."""

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from samsesh.artifacts import element_call, element_web, livekit, turnserver
from samsesh.cache import Artifact, Search, cache_dir, note_home
from samsesh.download import Progress
from samsesh.errors import SamseshError
from samsesh.facts import machine
from samsesh.home import Home
from samsesh.settings import Settings

WHAT_NOW = "to try again, and to read what is in the way: samsesh up"
LATELY = 600  # seconds in which what failed is tried again in the background only
Say = Callable[[str], None]


def wanted(settings: Settings) -> dict[str, ModuleType]:
    """What these settings make use of: the artifact's name -> how it is got. Containers bring their own."""
    if settings.server.engine == "compose":
        return {}
    calls = (livekit, element_call) if settings.calls.provider == "element-call" else ()
    relay = (turnserver,) if settings.turn.enabled else ()
    client = (element_web,) if settings.web.client == "element-web" else ()
    return {module.NAME: module for module in (*client, *calls, *relay)}


def search(
    home: Home,
    settings: Settings,
    say: Say = lambda text: None,
    progress: Progress = lambda what, done, total: None,
) -> Search:
    return Search(settings.artifacts, cache_dir(os.environ, home.path), machine(), os.environ, say, progress)


def at_hand(home: Home, settings: Settings) -> dict[str, Any]:
    """What can be used without network or long work. What the settings name and cannot be used is told by `get`."""
    looking = search(home, settings)
    found = {}
    for name, module in wanted(settings).items():
        with suppress(SamseshError):
            if artifact := module.at_hand(looking):
                found[name] = data(artifact)
    return found


def meanwhile(home: Home, settings: Settings, found: Mapping[str, Any]) -> dict[str, Any]:
    """What does until the one that is wanted can be had: the earlier Element Web of this home, never of another."""
    used = home.state().get("artifacts", {}).get(element_web.NAME)
    if settings.web.client != "element-web" or element_web.NAME in found or not used:
        return {}
    artifact = element_web.earlier(search(home, settings), Path(used["path"]))
    return {element_web.NAME: data(artifact)} if artifact else {}


def get(home: Home, settings: Settings, looking: Search, module: ModuleType) -> SamseshError | None:
    """Get one that is not at hand and remember it; or why it cannot be had, remembered for `status`."""
    try:
        found: Artifact = module.obtain(looking)
    except SamseshError as error:
        with home.lock("up", looking.say):
            known = home.state()
            tried = {"at": time.time(), "as": _asked(settings)}
            home.remember(
                missing={**known.get("missing", {}), module.NAME: (error.message, WHAT_NOW)},
                tried={**known.get("tried", {}), module.NAME: tried},
            )
        return error
    with home.lock("up", looking.say):
        remember(home, {found.name: data(found)})
    looking.say(f"{found.name} {found.version}: {found.how}")
    return None


def failed_lately(home: Home, settings: Settings, names: list[str]) -> list[str]:
    """Which of these could not be had a moment ago, with the same settings."""
    tried, now = home.state().get("tried", {}), time.time()

    def failed(name: str) -> bool:
        last = tried.get(name, {})
        return bool(last.get("as") == _asked(settings) and 0 <= now - last["at"] < LATELY)

    return list(filter(failed, names))


def _asked(settings: Settings) -> str:
    """The settings that decide how programs are got, and the files that they name as they are now, in short."""
    named = settings.artifacts.model_dump_json()
    files = [Path(value) for value in settings.artifacts.model_dump().values() if str(value).startswith("/")]
    seen = [(at.st_size, at.st_mtime_ns) for at in map(_stat, files) if at]
    return hashlib.sha256(f"{named}{seen}".encode()).hexdigest()


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def settle(home: Home, settings: Settings, found: Mapping[str, Any]) -> None:
    """Remember what is at hand, and no longer what was: nothing that the settings replaced goes on unseen."""
    note_home(cache_dir(os.environ, home.path), home)
    found = {**meanwhile(home, settings, found), **found}
    kept = home.state().get("artifacts", {})
    gone = (wanted(settings).keys() - found.keys()) & kept.keys()
    if gone:
        home.remember(artifacts={name: about for name, about in kept.items() if name not in gone})
    remember(home, found)


def remember(home: Home, found: Mapping[str, Any]) -> None:
    """Keep where they are, for every later command."""
    state = home.state()
    kept = state.get("artifacts", {})
    if any(kept.get(name) != about for name, about in found.items()):
        missing, tried = (
            {name: why for name, why in state.get(what, {}).items() if name not in found}
            for what in ("missing", "tried")
        )
        home.remember(artifacts={**kept, **found}, missing=missing, tried=tried)


def data(artifact: Artifact) -> dict[str, object]:
    return {
        "path": str(artifact.path),
        "version": artifact.version,
        "how": artifact.how,
        "env": dict(artifact.env),
        "origin": asdict(artifact.origin) if artifact.origin else None,
    }
