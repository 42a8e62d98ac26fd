"""Programs and web bundles that are no Python packages: what is at hand counts at once, the rest is got meanwhile."""

from collections.abc import Callable

from samsesh import artifacts
from samsesh.artifacts import Artifact, Progress
from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.settings import Settings

Say = Callable[[str], None]


def wanted(settings: Settings) -> list[str]:
    """Names of the artifacts that these settings make use of."""
    calls = ["livekit-server", "element-call"] if settings.calls.provider == "element-call" else []
    return [*calls, *(["turnserver"] if settings.turn.enabled else [])]


def settle(home: Home, settings: Settings) -> list[str]:
    """Remember what is at hand without network or long work; the names of what is still to get."""
    found = {name: artifacts.at_once(name, settings.artifacts, home.path) for name in wanted(settings)}
    _remember(home, {name: artifact for name, artifact in found.items() if artifact})
    return [name for name, artifact in found.items() if artifact is None]


def get(home: Home, settings: Settings, name: str, say: Say, progress: Progress) -> str:
    """Get one that is not at hand; empty, or why it cannot be had, which is remembered."""
    try:
        found = artifacts.obtain(name, settings.artifacts, home.path, say, progress)
    except SamseshError as error:
        why = {**home.state().get("missing", {}), name: (error.message, error.hint)}
        home.remember(missing=why)
        return "\n".join(part for part in (error.message, error.detail, error.hint) if part)
    _remember(home, {name: found})
    say(f"{name} {found.version}: {found.how}")
    return ""


def _remember(home: Home, found: dict[str, Artifact]) -> None:
    state = home.state()
    kept = state.get("artifacts", {})
    new = {name: _data(artifact) for name, artifact in found.items()}
    if any(kept.get(name) != data for name, data in new.items()):
        missing = {name: why for name, why in state.get("missing", {}).items() if name not in new}
        home.remember(artifacts={**kept, **new}, missing=missing)


def _data(artifact: Artifact) -> dict[str, object]:
    return {
        "path": str(artifact.path),
        "version": artifact.version,
        "how": artifact.how,
        "env": dict(artifact.env),
    }
