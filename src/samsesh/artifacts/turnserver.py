"""coturn's turnserver: the user's own, the machine's, installed by root, or Debian's packages unpacked without root."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from samsesh import names
from samsesh.cache import Artifact, Origin, Search, at_once, check_kept, first, keeping, working
from samsesh.errors import SamseshError
from samsesh.run import follow, run
from samsesh.tools import network
from samsesh.write import make_dir

NAME = "turnserver"
PLACES = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
OLDEST = (4, 5, 2)  # those before it let anyone reach the machine itself through the relay (CVE-2020-26262)
SECONDS = 900
SYSTEMD = Path("/run/systemd/system")
ROOT = Path("/")
# How each distribution installs it, and nothing that it does not need.
MANAGERS: dict[str, tuple[str, ...]] = {
    "apt-get": ("-y", "-q", "-o", "DPkg::Lock::Timeout=120", "--no-install-recommends", "install", "coturn"),
    "dnf": ("-y", "--setopt=install_weak_deps=False", "install", "coturn"),
    "zypper": ("--non-interactive", "install", "--no-recommends", "coturn"),
    "pacman": ("-S", "--noconfirm", "--needed", "coturn"),
    "apk": ("add", "coturn"),
}
APT = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"}


def at_hand(search: Search) -> Artifact | None:
    if search.want.turnserver:
        return _given(search)
    return at_once(search, (_installed, _kept))


def obtain(search: Search) -> Artifact:
    return at_hand(search) or first(
        search,
        (_installed, _kept, _unpacked),
        SamseshError(
            "coturn, which relays calls through firewalls, could not be got",
            "install it (Debian, Ubuntu: apt install coturn), or do without: samsesh config set turn.enabled no",
        ),
    )


def install(search: Search, ask: Callable[[str], bool]) -> bool:
    """As root: have the distribution install coturn, if `ask` says so. True where it did.

    The distribution's own service of it is kept from starting: it would take our port, with an open configuration.
    """
    manager, path = next(((name, path) for name in MANAGERS if (path := search.on_path(name))), ("", ""))
    if search.want.offline or search.want.turnserver or not manager or at_once(search, (_installed,)):
        return (
            False  # nothing that the service user could have changed is started here to ask for its version
        )
    argv = [manager, *MANAGERS[manager]]
    if not ask(f"Install coturn, which relays calls through firewalls? ({' '.join(argv)})"):
        return False
    search.say("installing coturn")
    argv[0] = path
    if manager == "apt-get":
        _install_with_apt(search, argv)
    else:
        follow(argv, what="installing coturn", timeout=SECONDS, env=network(search.environ, ROOT), cwd=ROOT)
    return True


def _install_with_apt(search: Search, argv: list[str]) -> None:
    """Debian starts what it installs. Masked, systemd does not; without systemd it waits for TURNSERVER_ENABLED."""
    env = {**network(search.environ, ROOT), **APT}
    if SYSTEMD.is_dir():
        run(["systemctl", "mask", "coturn.service"], what="keeping coturn's own service from starting")
        search.say("the distribution's coturn service is masked; `systemctl unmask coturn` undoes that")
    try:
        follow(argv, what="installing coturn", timeout=SECONDS, env=env, cwd=ROOT)
    except SamseshError:  # lists that are old or not there
        update = [argv[0], "-q", "update"]
        follow(update, what="renewing the lists of packages", timeout=SECONDS, env=env, cwd=ROOT)
        follow(argv, what="installing coturn", timeout=SECONDS, env=env, cwd=ROOT)


def _given(search: Search) -> Artifact:
    path = Path(search.want.turnserver).expanduser().absolute()
    try:
        return Artifact(NAME, path, _version(path, {}), f"named in the settings: {path}")
    except SamseshError as error:
        raise SamseshError(
            f"artifacts.turnserver cannot be used: {error.message}",
            "correct it, or have one got: samsesh config unset artifacts.turnserver",
            detail=error.detail,
        ) from None


def _installed(search: Search) -> Artifact:
    found = search.on_path(NAME, *PLACES)
    if not found:
        raise SamseshError("coturn is not installed")
    return Artifact(NAME, Path(found), _version(Path(found), {}), f"installed: {found}")


def _folder(search: Search) -> Path:
    return search.cache / f"coturn-{search.machine}"


def _kept(search: Search) -> Artifact:
    folder = _folder(search)
    check_kept(folder, "coturn")
    return _in_folder(folder, f"kept in {search.cache}")


def _in_folder(folder: Path, how: str) -> Artifact:
    env = {"LD_LIBRARY_PATH": str(folder / "lib")}
    return Artifact(NAME, folder / NAME, _version(folder / NAME, env), how, env)


def _version(path: Path, env: dict[str, str]) -> str:
    """Of a turnserver that runs and is safe to use. `--version` came with 4.6; older ones answer with their usage."""
    what = f"asking {path} for its version"
    done = run([path, "--version"], env=env, timeout=30, ok=range(256), what=what, cwd=ROOT)
    said = done.out.decode(errors="replace") + done.err
    found = re.search(r"^(?:Coturn-)?(\d+\.\d+\.\d+)", said, re.MULTILINE)
    if not found and "Usage: turnserver" in said:
        found = re.search(r"Coturn-(\d+\.\d+\.\d+)", path.read_bytes().decode("latin-1"))
    if not found:
        raise SamseshError(f"{path} does not say that it is coturn", detail=said[-1000:])
    if names.version(found[1]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise SamseshError(f"{path} is coturn {found[1]}, older than {oldest} and not safe", "upgrade it")
    return found[1]


def _unpacked(search: Search) -> Artifact:
    """Without root: what the distribution would install here, from its own signed lists, unpacked into the cache."""
    search.must_be_online()
    if not all(search.on_path(program) for program in ("apt-get", "dpkg-deb")):
        raise SamseshError(
            "without root, coturn can be unpacked on Debian and Ubuntu only", "have it installed"
        )
    env = {**network(search.environ, search.cache), **APT}
    packages = _missing(env)
    search.say(f"fetching coturn's packages: {', '.join(packages)}")
    with working(search.cache) as work:
        what, download = "fetching coturn's packages", ["apt-get", "-q", "download", *packages]
        try:
            follow(download, what=what, timeout=SECONDS, env=env, cwd=work)
        except SamseshError as error:
            hint = "the lists of packages may be old: have root run `apt-get update`, then try again"
            raise SamseshError(error.message, hint, detail=error.detail) from None
        tree = work / "tree"
        for package in sorted(work.glob("*.deb")):
            run(["dpkg-deb", "-x", package, tree], what=f"unpacking {package.name}")
        with keeping(_folder(search), Origin("the distribution's packages, signed by it, unpacked")) as new:
            shutil.copy(tree / "usr/bin" / NAME, new / NAME)
            _copy_libraries(tree, new / "lib")
            _in_folder(new, "")
    return _in_folder(_folder(search), "the distribution's packages, unpacked")


def _missing(env: dict[str, str]) -> list[str]:
    """What installing coturn would bring here, coturn itself first."""
    command = ["apt-get", "-s", "--no-install-recommends", "install", "coturn"]
    done = run(command, env=env, timeout=120, ok=range(256), what="asking apt for coturn")
    packages = re.findall(r"^Inst (\S+)", done.out.decode(errors="replace"), re.MULTILINE)
    if not done.code and "libc6" in packages:
        raise SamseshError(
            "coturn's package needs a newer C library than this machine has",
            "have root run `apt-get upgrade`, then try again",
        )
    if done.code or "coturn" not in packages:
        raise SamseshError(
            "apt knows no coturn that fits this machine",
            "its lists may be old or not there: have root run `apt-get update`, then try again",
            detail=done.err[-1000:],
        )
    return sorted(set(packages), key=lambda name: (name != "coturn", name))


def _copy_libraries(tree: Path, target: Path) -> None:
    """All shared libraries into one folder, links as the files that they lead to."""
    make_dir(target)
    root = tree.resolve()
    for path in tree.rglob("*.so*"):
        real = Path(os.path.realpath(path))
        if real.is_file() and real.is_relative_to(root):
            shutil.copyfile(real, target / path.name)
