"""Without installing anything: what the distribution would install as coturn here, unpacked into the cache.

The packages come by apt, which checks the distribution's signatures, on Debian and Ubuntu. Nobody but us renews them, so
what was unpacked is written down, and compared with what the distribution has now.
"""

import json
import math
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from samsesh.artifacts.turnserver.program import NAME, accepted
from samsesh.cache import READABLE, Artifact, Origin, Search, check_kept, held, keeping, working
from samsesh.errors import SamseshError
from samsesh.run import follow, run
from samsesh.tools import network
from samsesh.write import make_dir, write_file

SECONDS = 900
DAY = 24 * 3600
LISTS = Path("/var/lib/apt/lists")  # apt touches `partial` in it whenever it has fetched lists
ROOT = Path("/")
QUIET = {"LC_ALL": "C"}
LEAN = (  # neither descriptions nor sources; compressed; a list that does not come is an error (apt 2.1)
    "Acquire::Languages=none",
    "Acquire::IndexTargets::deb-src::Sources::DefaultEnabled=false",
    "Acquire::GzipIndexes=true",
    "APT::Update::Error-Mode=any",
)
HOW = "the distribution's packages, signed by it, unpacked"


@dataclass(frozen=True)
class Comparison:
    """What was unpacked (package -> version, coturn first), and when it was the newest; Unix times."""

    packages: Mapping[str, str]
    unpacked: float
    compared: float


@dataclass(frozen=True)
class Apt:
    """apt with lists of packages: the machine's own, or ours."""

    options: tuple[str, ...]
    env: Mapping[str, str]

    def command(self, *words: str) -> list[str]:
        return ["apt-get", "-q", *self.options, *words]


def folder_of(search: Search) -> Path:
    return search.cache / f"coturn-{search.machine}"


def artifact(folder: Path, how: str) -> Artifact:
    env = {"LD_LIBRARY_PATH": str(folder / "lib")}
    return Artifact(NAME, folder / NAME, accepted(folder / NAME, env), how, env)


def record_of(folder: Path) -> Path:
    """The file that holds the comparison of what is unpacked in `folder`; its time is that of the last one."""
    return folder.with_name(f"{folder.name}.packages")


def comparison(folder: Path) -> Comparison | None:
    """None if nobody knows: nothing is unpacked, or an earlier version of Samsesh did it."""
    try:
        return Comparison(**json.loads(record_of(folder).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def unpack(search: Search) -> Artifact:
    """As a step of `first`, which holds the cache."""
    _bring(search, None)
    return artifact(folder_of(search), "the distribution's packages, unpacked")


def renew(search: Search) -> bool:
    """True if what the distribution has now is another, and was unpacked."""
    folder = folder_of(search)
    with held(search.cache, search.say):
        try:
            check_kept(folder, "coturn")
        except SamseshError:
            return _bring(search, None)
        return _bring(search, comparison(folder))


def _bring(search: Search, known: Comparison | None) -> bool:
    """Unpack what the distribution has, unless that is `known`, of which only lists of today can tell."""
    search.must_be_online()
    if not all(search.on_path(program) for program in ("apt-get", "dpkg-deb")):
        raise SamseshError("coturn can be unpacked on Debian and Ubuntu only", "have it installed")
    fresh = _age(LISTS / "partial") < DAY
    ways = [_machines_lists, _own_lists] if fresh else [_own_lists, *([] if known else [_machines_lists])]
    problem = SamseshError("apt was not asked")
    for number, way in enumerate(ways):
        try:
            return _bring_by(way(search), search, known)
        except SamseshError as error:
            problem = problem if number else error
    raise problem


def _age(path: Path) -> float:
    """Seconds since it was changed."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return math.inf


def _machines_lists(search: Search) -> Apt:
    return Apt((), {**network(search.environ, search.cache), **QUIET})


def _own_lists(search: Search) -> Apt:
    """Fetched to the cache, where the next time only what has changed comes: no root is needed for that."""
    folder = search.cache / "apt"
    for part in ("lists/partial", "archives/partial"):
        make_dir(folder / part)
    settings = (f"Dir::State::Lists={folder}/lists", f"Dir::Cache={folder}", *LEAN)
    apt = Apt(tuple(word for setting in settings for word in ("-o", setting)), _machines_lists(search).env)
    search.say("asking the distribution for its coturn")
    follow(
        apt.command("update"), what="fetching the lists of packages", timeout=SECONDS, env=apt.env, cwd=ROOT
    )
    return apt


def _bring_by(apt: Apt, search: Search, known: Comparison | None) -> bool:
    folder, now, packages = folder_of(search), time.time(), _packages(apt)
    if known is not None and known.packages == packages:
        _record(folder, replace(known, compared=now))
        return False
    search.say(f"fetching coturn's packages: {', '.join(packages)}")
    with working(search.cache) as work:
        what, download = "fetching coturn's packages", apt.command("download", *packages)
        follow(download, what=what, timeout=SECONDS, env=apt.env, cwd=work)
        tree = work / "tree"
        for package in sorted(work.glob("*.deb")):
            run(["dpkg-deb", "-x", package, tree], what=f"unpacking {package.name}")
        with keeping(folder, Origin(HOW)) as new:
            shutil.copy(tree / "usr/bin" / NAME, new / NAME)
            _copy_libraries(tree, new / "lib")
            artifact(new, "")
    _record(folder, Comparison(packages, now, now))
    return True


def _record(folder: Path, comparison: Comparison) -> None:
    write_file(record_of(folder), json.dumps(asdict(comparison)), READABLE)


def _packages(apt: Apt) -> dict[str, str]:
    """What installing coturn would bring here, with versions, coturn first."""
    command = apt.command("-s", "--no-install-recommends", "install", "coturn")
    done = run(command, env=apt.env, timeout=120, ok=range(256), what="asking apt for coturn")
    rows = re.findall(r"^Inst (\S+) (?:\[\S*\] )?\((\S+)", done.out.decode(errors="replace"), re.MULTILINE)
    packages = dict(sorted(rows, key=lambda row: (row[0] != "coturn", row[0])))
    if not done.code and "libc6" in packages:
        raise SamseshError(
            "coturn's package needs a newer C library than this machine has",
            "have root run `apt-get upgrade`, then try again",
        )
    if done.code or "coturn" not in packages:
        raise SamseshError(
            "apt knows no coturn that fits this machine",
            "see that `apt-get update` and `apt-get -s install coturn` succeed, then try again",
            detail=done.err[-1000:],
        )
    return packages


def _copy_libraries(tree: Path, target: Path) -> None:
    """All shared libraries into one folder, links as the files that they lead to."""
    make_dir(target)
    root = tree.resolve()
    for path in tree.rglob("*.so*"):
        real = Path(os.path.realpath(path))
        if real.is_file() and real.is_relative_to(root):
            shutil.copyfile(real, target / path.name)
