"""Element Web: a release of the user's own, the kept one, or the official release; an earlier one until it is had.

The release is a tarball of static pages: `element-v1.12.25/` with index.html, `version`, bundles/, i18n/, widgets/.
"""

import json
import re
from pathlib import Path

from samsesh import names
from samsesh.cache import Artifact, Origin, Search, at_once, check_kept, first, keeping, unpack
from samsesh.download import sha256_of
from samsesh.errors import SamseshError
from samsesh.releases import Release, fetched, kept

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
    steps = (_unpacked,) if search.want.element_web else (_kept, _released)
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
    """The release that this home used before, if it is as it was kept: until the one that is wanted can be had."""
    if used.parent != search.cache or used.name.startswith((OF, f"{NAME}-{VERSION}")):
        return None
    try:
        check_kept(used, TITLE)
        return Artifact(NAME, used, _version(used), f"an earlier one, kept in {search.cache}")
    except SamseshError:
        return None


def _given(search: Search) -> Artifact | None:
    """The folder that the settings name, or what was unpacked of the tarball; None: that is still to do."""
    path = _named(search)
    if path.is_dir():
        try:
            return Artifact(NAME, path, _checked(path), f"named in the settings: {path}")
        except SamseshError as error:
            raise _unusable(error) from None
    if not path.is_file():
        raise _unusable(SamseshError(f"{path} is neither a folder nor a file that this user can read"))
    sha256, wanted = sha256_of(path), search.want.element_web_sha256
    if wanted and wanted != sha256:
        raise _unusable(
            SamseshError(
                f"{path} has the SHA-256 {sha256}, not that of artifacts.element_web_sha256",
                "fetch it anew, or correct that setting",
            )
        )
    folder = _folder_of(search, sha256)
    try:
        check_kept(folder, TITLE)
    except SamseshError:
        return None
    return Artifact(NAME, folder, _version(folder), f"unpacked from {path}")


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


def _unpacked(search: Search) -> Artifact:
    """Unpack the tarball that the settings name."""
    path = _named(search)
    folder = _folder_of(search, sha256_of(path))
    search.say(f"unpacking {path}")
    try:
        version = _keep(path, folder, Origin(f"unpacked from {path}"))
    except SamseshError as error:
        raise _unusable(error) from None
    return Artifact(NAME, folder, version, f"unpacked from {path}")


def _folder_of(search: Search, sha256: str) -> Path:
    return search.cache / f"{OF}{sha256[:16]}"


def _folder(search: Search) -> Path:
    return search.cache / "-".join(filter(None, (NAME, VERSION, RELEASE.asked(search.want))))


def _kept(search: Search) -> Artifact:
    origin = kept(search, RELEASE, _folder(search))
    return Artifact(NAME, _folder(search), VERSION, f"kept in {search.cache}", origin=origin)


def _released(search: Search) -> Artifact:
    with fetched(search, RELEASE) as release:
        _keep(release.archive, _folder(search), release.origin, VERSION)
        return Artifact(NAME, _folder(search), VERSION, release.origin.how, origin=release.origin)


def _keep(archive: Path, folder: Path, origin: Origin, wanted: str = "") -> str:
    """Unpack a release and keep it, once it was seen to be whole and of the right version, which is returned."""
    with keeping(folder, origin) as new:
        unpack(archive, new, LARGEST_BUNDLE)
        version = _checked(new)
        if wanted and names.version(version) != names.version(wanted):
            raise SamseshError(f"what was got says that it is {TITLE} {version}, not {wanted}")
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
