"""As root, who was asked: the distribution installs coturn, and its own service of it does not start."""

from pathlib import Path

from samsesh.artifacts.turnserver.program import find
from samsesh.cache import Search
from samsesh.errors import SamseshError
from samsesh.run import follow, run
from samsesh.tools import network

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


def command(search: Search) -> list[str]:
    """What would install it, the program by its name; empty if there is nothing to install, or nothing to do it with."""
    manager = next((name for name in MANAGERS if search.on_path(name)), "")
    return [manager, *MANAGERS[manager]] if manager and find(search) is None else []


def install(search: Search) -> None:
    """Raises SamseshError if the distribution cannot.

    The distribution's own service of it is kept from starting: it would take our port, with an open configuration.
    """
    argv = command(search)
    if not argv:
        return
    search.say("installing coturn")
    manager, argv[0] = argv[0], search.on_path(argv[0]) or argv[0]
    if manager == "apt-get":
        _install_with_apt(search, argv)
    else:
        follow(argv, what="installing coturn", timeout=SECONDS, env=network(search.environ, ROOT), cwd=ROOT)


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
