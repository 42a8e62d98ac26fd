"""Where programs, web pages and images come from, and what vouches for each: what is not pinned is listed."""

from collections.abc import Iterator
from dataclasses import dataclass

from samsesh.cache import Origin
from samsesh.diagnosis import NeedError, Patient, Result, aside
from samsesh.errors import SamseshError
from samsesh.ops import programs
from samsesh.ops.server import Server

TITLE = "origins of programs"
SHOWN = 12  # digits of a hash; all are in `seen`


@dataclass(frozen=True)
class Part:
    """One program, bundle or image. `doubt`: what is to be known of it, empty where something vouches for it."""

    name: str
    how: str
    doubt: str = ""


async def check(patient: Patient) -> Result:
    server = patient.server
    try:
        digests = await aside(lambda: server.engine.image_digests(server.plan))
    except SamseshError as error:
        raise NeedError(f"needs Docker: {error.message}") from None
    return judged([*got(server), *map(pulled, digests.items())])


def judged(parts: list[Part]) -> Result:
    seen = "\n".join(f"{part.name}: {part.how}" for part in parts)
    doubts = [f"{part.name} ({part.doubt})" for part in parts if part.doubt]
    if not doubts:
        return Result("ok", "all that was fetched is what it has to be", seen)
    return Result("ok", f"not pinned, trusted as it first came: {', '.join(doubts)}", seen)


def got(server: Server) -> Iterator[Part]:
    """Programs and bundles that the native engine uses; what is the machine's own is only named."""
    remembered = server.home.state().get("artifacts", {})
    for name, module in programs.wanted(server.settings).items():
        if not (about := remembered.get(name)):
            continue
        title = f"{name} {about['version']}"
        if not (kept := about.get("origin")):
            yield Part(title, about["how"])
            continue
        origin = Origin(**kept)
        known = {release.known(server.settings.artifacts) for release in getattr(module, "releases", tuple)()}
        how, doubt = origin.how, origin.doubt
        if origin.sha256:
            how += f", sha256:{origin.sha256}"
            doubt = "" if origin.sha256 in known else _short(origin.sha256)
        yield Part(title, how, doubt)


def pulled(image: tuple[str, str]) -> Part:
    reference, digest = image
    name, _, pinned = reference.partition("@")
    if pinned:
        return Part(name, f"pinned as {pinned}")
    if not digest:
        return Part(name, "built or loaded here, or not there yet")
    return Part(name, f"not pinned, pulled as {digest}", _short(digest.removeprefix("sha256:")))


def _short(sha256: str) -> str:
    return f"sha256:{sha256[:SHOWN]}..."
