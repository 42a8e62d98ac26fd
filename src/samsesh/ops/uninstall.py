"""What Samsesh has on a machine beside its homes: caches, this checkout's environments, the link, the system user."""

import grp
import os
import pwd
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from samsesh.cache import MACHINE_CACHE, homes_of
from samsesh.errors import SamseshError
from samsesh.home import ROOTS, SERVICE_USER, Home
from samsesh.ops import link
from samsesh.run import run

Say = Callable[[str], None]
ROOT_HOME = Path("/var/lib/samsesh")


@dataclass(frozen=True)
class Plan:
    """`folders` and `files` that go, with what they are; `user` that goes, or ""; `stays`: what does not, for people;
    `others`: homes of other servers that need what goes.
    """

    folders: dict[Path, str]
    files: tuple[Path, ...]
    user: str
    stays: tuple[str, ...]
    others: tuple[Path, ...]


def plan(home: Home, environ: Mapping[str, str]) -> Plan:
    """As root for everybody, before root's rights are given up; else what is this user's."""
    for_all = os.geteuid() == 0
    folders: dict[Path, str] = {}
    cache, environments = _cache(environ), _environments()
    if cache:
        folders[cache] = "fetched programs and packages"
    if environments:
        folders[environments] = "the Python environment of this checkout"
        if for_all:
            folders[environments.parent / "cache"] = "fetched Python packages"
    files: list[Path] = []
    with suppress(SamseshError):
        files = link.ours(environ)
    return Plan(
        folders,
        tuple(files),
        SERVICE_USER if for_all else "",
        tuple(_stays(home, environ)),
        tuple(_others(home, cache, [ROOT_HOME] if for_all else [])),
    )


def _others(home: Home, cache: Path | None, usual: list[Path]) -> list[Path]:
    known = {*(homes_of(cache) if cache else ()), *usual}
    return sorted(path for path in known - {home.path} if _is_server(path))


def _is_server(path: Path) -> bool:
    try:
        return Home(path).state_file.is_file()
    except OSError:  # closed to us: somebody's all the same
        return True


def _cache(environ: Mapping[str, str]) -> Path | None:
    """None where somebody named it: what else is in that folder is theirs to know."""
    if environ.get("SAMSESH_CACHE"):
        return None
    if os.geteuid() == 0:
        return MACHINE_CACHE
    folder = environ.get("XDG_CACHE_HOME") or f"{environ.get('HOME') or '/nonexistent'}/.cache"
    return Path(folder).absolute() / "samsesh"


def _environments() -> Path | None:
    """The folder that the launcher made for this checkout; None where the program came in another way."""
    ours = Path(sys.prefix)
    return ours.parent if ours.name.startswith("run-") and (ours / "complete").is_file() else None


def _stays(home: Home, environ: Mapping[str, str]) -> Iterator[str]:
    yield f"backups and the audit log, in {home.path}"
    with suppress(SamseshError):
        yield f"the program itself, in {link.launcher(environ).parent}: delete that folder"
    if folder := environ.get("SAMSESH_CACHE"):
        yield f"the cache that SAMSESH_CACHE names, {folder}"
    if shutil.which("turnserver"):
        yield "coturn, a package of your distribution: apt remove coturn"
    yield "what you set up elsewhere: DNS records, firewall rules, a web server in front"


def remove(plan: Plan, home: Home, say: Say) -> None:
    """Take it away, after the home was destroyed."""
    for file in plan.files:
        file.unlink(missing_ok=True)
        say(f"removed {file}")
    if plan.user:
        _keep_for_root(home.path)
        _remove_user(plan.user)
        say(f"removed the user {plan.user}")
    for folder in filter(Path.is_dir, plan.folders):
        shutil.rmtree(folder, ignore_errors=True)
        say(f"removed {folder}")
    shared = [folder.parent for folder in plan.folders if folder.parent.name.startswith("samsesh")]
    for folder in [ROOTS] * bool(plan.user) + shared:
        with suppress(OSError):  # not empty: other checkouts', or other homes'
            folder.rmdir()


def _keep_for_root(folder: Path) -> None:
    """What stays of a home belongs to root: whoever gets the user's number next has no part in it."""
    for _, _, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        os.chown(descriptor, 0, 0)
        for name in files:
            os.chown(name, 0, 0, dir_fd=descriptor, follow_symlinks=False)


def _remove_user(name: str) -> None:
    with suppress(KeyError):
        pwd.getpwnam(name)
        run(["userdel", name], what=f"removing the user {name}")
    with suppress(KeyError):  # most systems remove a user's own group with it
        grp.getgrnam(name)
        run(["groupdel", name], what=f"removing the group {name}")
