"""Element Web: a release of the user's own, the kept one, or the official release; an earlier one until it is had.

The release is a tarball of static pages: `element-v1.12.25/` with index.html, `version`, bundles/, i18n/, widgets/.
"""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

from samsesh import names
from samsesh.cache import READABLE, Artifact, Origin, Search, at_once, check_kept, first, keeping, unpack
from samsesh.download import sha256_of
from samsesh.errors import SamseshError
from samsesh.releases import Release, fetched, kept
from samsesh.write import replacing

NAME = "element-web"
OF = f"{NAME}-of-"  # what is kept of a tarball that the settings name, before its SHA-256
TITLE = "Element Web"
VERSION = "1.12.25"
# What we write in its configuration is known from here on.
OLDEST, NEXT = (1, 12), (2,)
LARGEST = 200_000_000
LARGEST_BUNDLE = 600_000_000
LOADED = re.compile(r"""\b(?:src|href)=["'](?!https?:|data:|//)\.?/?([^"'?#]+\.(?:js|css))["'?]""")


RELEASE = Release(
    title=TITLE,
    repository="element-hq/element-web",
    version=VERSION,
    file=f"element-v{VERSION}.tar.gz",
    limit=LARGEST,
    setting="element_web_sha256",
)


def releases() -> tuple[Release, ...]:
    return (RELEASE,)


def at_hand(search: Search) -> Artifact | None:
    if search.want.element_web:
        return _given(search)
    return at_once(search, (_kept,))


def obtain(search: Search) -> Artifact:
    if found := at_hand(search):
        return found
    steps = (_take,) if search.want.element_web else (_kept, _released)
    return first(
        search,
        steps,
        SamseshError(
            f"{TITLE}{'' if search.want.element_web else ' ' + VERSION}, the web client, could not be got",
            "mend one of the following, or name a tarball or folder of your own: "
            "samsesh config set artifacts.element_web PATH",
        ),
    )


def earlier(search: Search, used: Path) -> Artifact | None:
    """The one that this home used before, if it is as it was kept: until the one that is wanted can be had.

    A copy of what somebody named counts only while something is named.
    """
    others = f"{NAME}-{VERSION}" if search.want.element_web else (OF, f"{NAME}-{VERSION}")
    if used.parent != search.cache or used.name.startswith(others):
        return None
    try:
        check_kept(used, TITLE)
        return Artifact(NAME, used, _version(used), f"an earlier one, kept in {search.cache}")
    except SamseshError:
        return None


def _given(search: Search) -> Artifact | None:
    """What the cache has of the folder or tarball that the settings name; None: that is still to do.

    What is served is a copy: the user's own may be changed, or closed to us, while the chat runs.
    """
    path = _named(search)
    folder = _folder_of(search, path)
    try:
        check_kept(folder, TITLE)
    except SamseshError:
        return None
    return _taken(path, folder, _version(folder))


def _taken(path: Path, folder: Path, version: str) -> Artifact:
    remark = older(version)
    return Artifact(NAME, folder, version, f"taken from {path}" + (f"; {remark}" if remark else ""))


def older(version: str) -> str:
    """What is to be said of one that is older than the pinned release; empty if it is not."""
    if names.version(version) >= names.version(VERSION):
        return ""
    return f"{TITLE} {version} is older than {VERSION}, which this version of Samsesh is made for"


def check_named(path: Path) -> str:
    """As soon as a folder or tarball is named: what is to be said of it; raises SamseshError if it is of no use."""
    if not _is_folder(path):
        _sha256(path)
        return ""
    _sha256_of_folder(path)
    return older(_version(path))


def _named(search: Search) -> Path:
    return Path(search.want.element_web).expanduser().absolute()


def _unusable(error: SamseshError) -> SamseshError:
    return SamseshError(
        f"artifacts.element_web cannot be used: {error.message}",
        error.hint
        or "name the tarball of a release (element-v1.12.x.tar.gz), or the folder in it; "
        "or have one fetched: samsesh config unset artifacts.element_web",
        detail=error.detail,
    )


def _take(search: Search) -> Artifact:
    """Unpack the tarball that the settings name, or copy the folder."""
    path = _named(search)
    folder = _folder_of(search, path)
    search.say(f"{'copying' if path.is_dir() else 'unpacking'} {path}")
    try:
        version = _keep(path, folder, Origin(f"taken from {path}"))
    except SamseshError as error:
        raise _unusable(error) from None
    return _taken(path, folder, version)


def _folder_of(search: Search, path: Path) -> Path:
    """Where the cache has what is named: by the tarball's SHA-256, or by that of all that the folder holds."""
    if not _is_folder(path):
        sha256, pinned = _sha256(path), search.want.element_web_sha256
        if pinned and pinned != sha256:
            raise _unusable(
                SamseshError(
                    f"{path} has the SHA-256 {sha256}, not that of artifacts.element_web_sha256",
                    "fetch it again, or correct that setting",
                )
            )
    else:
        sha256 = _sha256_of_folder(path)
    return search.cache / f"{OF}{sha256[:16]}"


def _is_folder(path: Path) -> bool:
    return os.access(path, os.R_OK | os.X_OK) and path.is_dir()


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        raise _unusable(
            SamseshError(f"{path} is neither a folder nor a file that this user can read")
        ) from None


def _sha256_of_folder(folder: Path) -> str:
    """Of the list of all that counts in it, once it was seen to be whole."""
    try:
        _checked(folder)
        lines = [f"{sha256_of(file)}  {file.relative_to(folder)}\n" for file in _files(folder)]
    except SamseshError as error:
        raise _unusable(error) from None
    except OSError as error:
        raise _unusable(SamseshError(f"{error.filename or folder} cannot be read by this user")) from None
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    """What of a folder counts: as of a release, all but maps of its source. Raises OSError for what is closed."""

    def closed(error: OSError) -> None:
        raise error

    found = (Path(at, name) for at, _, names_ in os.walk(folder, onerror=closed) for name in names_)
    return sorted(path for path in found if path.suffix != ".map")


def _copy(source: Path, target: Path) -> None:
    room = LARGEST_BUNDLE
    for path in _files(source):
        room -= path.stat().st_size
        if room < 0:
            raise SamseshError(f"{source} holds more than a release of {TITLE}")
        with path.open("rb") as content, replacing(target / path.relative_to(source), READABLE) as out:
            shutil.copyfileobj(content, out)


def _folder(search: Search) -> Path:
    return search.cache / "-".join(filter(None, (NAME, VERSION, RELEASE.asked(search.want))))


def _kept(search: Search) -> Artifact:
    origin = kept(search, RELEASE, _folder(search))
    return Artifact(NAME, _folder(search), VERSION, f"kept in {search.cache}", origin=origin)


def _released(search: Search) -> Artifact:
    with fetched(search, RELEASE) as release:
        _keep(release.archive, _folder(search), release.origin, VERSION)
        return Artifact(NAME, _folder(search), VERSION, release.origin.how, origin=release.origin)


def _keep(source: Path, folder: Path, origin: Origin, expected: str = "") -> str:
    """Unpack a release, or copy its folder, and keep it, once it is seen to be whole; its version."""
    with keeping(folder, origin) as new:
        if source.is_dir():
            _copy(source, new)
        else:
            unpack(source, new, LARGEST_BUNDLE)
        version = _checked(new)
        if expected and names.version(version) != names.version(expected):
            raise SamseshError(f"what was got says that it is {TITLE} {version}, not {expected}")
    return version


def _version(folder: Path) -> str:
    """What the file `version` of a release says, without the v that some have."""
    try:
        text = (folder / "version").read_text(errors="replace").strip()
        names.version(text)
    except (OSError, ValueError):
        raise SamseshError(f"{folder} does not say of which version of {TITLE} it is") from None
    return text.removeprefix("v")[:40]


def _checked(folder: Path) -> str:
    """The version of a built Element Web whose parts are all there; raises SamseshError with what is wrong."""
    index = _read(folder, "index.html")
    version = _version(folder)
    if not OLDEST <= names.version(version) < NEXT:
        raise SamseshError(
            f"it is {TITLE} {version}",
            f"Samsesh works with {'.'.join(map(str, OLDEST))} and later, before {NEXT[0]}",
        )
    if 'id="matrixchat"' not in index:
        raise SamseshError(f"its index.html is not that of {TITLE}")
    loaded = set(LOADED.findall(index))
    if not any(path.endswith(".js") for path in loaded):
        raise SamseshError("its index.html loads no script")
    for path in sorted(loaded):
        if ".." in path.split("/") or not (folder / path).is_file() or not (folder / path).stat().st_size:
            raise SamseshError(f"it lacks {path}, which its index.html loads")
    for path in ("config.sample.json", "manifest.json"):
        if (folder / path).exists():
            _object(folder, path)
    return version


def _read(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(errors="replace")
    except OSError:
        raise SamseshError(f"it holds no {name} that this user can read") from None


def _object(folder: Path, name: str) -> None:
    try:
        found = json.loads(_read(folder, name))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SamseshError(f"its {name} is damaged")
