"""Starting at boot: one systemd unit (system or user) or one line for cron's @reboot."""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Literal

from samsesh.errors import SamseshError, SettingsError
from samsesh.home import SERVICE_USER, Home, default_home, user_name
from samsesh.ops import crontab, systemd
from samsesh.ops.privileges import as_owner
from samsesh.run import run
from samsesh.settings import Settings
from samsesh.write import write_file

Kind = Literal["system", "user", "cron"]

ROOT_HOME = Path("/var/lib/samsesh")
SYSTEM_UNITS = Path("/etc/systemd/system")
SYSTEMD_RUNS = Path("/run/systemd/system")  # there exactly when systemd is the init process: sd_booted(3)
USER_RUNTIME = Path("/run/user")


def unit_name(home: Home) -> str:
    """`samsesh.service` for the default home, one with the home's id for any other."""
    defaults = (ROOT_HOME, default_home({}))  # the first also after root has become the service user
    return "samsesh.service" if home.path in defaults else f"samsesh-{home.id}.service"


def program(environ: Mapping[str, str]) -> list[str]:
    """What to start: the launcher, which survives upgrades of its environment, else this Python."""
    launcher = environ.get("SAMSESH_LAUNCHER", "")
    return [launcher] if Path(launcher).is_absolute() else [sys.executable, "-I", "-m", "samsesh"]


def command(home: Home, environ: Mapping[str, str]) -> list[str]:
    """What is to run at boot, up to the word `up`."""
    words = [*program(environ), "--home", str(home.path)]
    if odd := [word for word in words if not word.isprintable()]:
        raise SettingsError(
            f"{odd[0]!r} has characters that neither systemd nor cron can hold", "rename that folder"
        )
    return [*words, "up"]


def unit_text(
    home: Home, settings: Settings, kind: Literal["system", "user"], environ: Mapping[str, str]
) -> str:
    """The systemd unit of this home."""
    return systemd.render(systemd.unit(home, settings, kind, command(home, environ)))


def cron_line(home: Home, environ: Mapping[str, str]) -> str:
    """The line for cron: `%` is special there even in quotes (crontab(5)); the mark at its end makes it ours.

    What `up` prints may hold the first log-in, so it is not kept; what it complains about is, in boot.log.
    """
    start = shlex.join([*command(home, environ), "--yes"])
    errors = shlex.quote(str(home.path / "boot.log"))
    return f"@reboot {start} >/dev/null 2>{errors}".replace("%", r"\%") + f" {_mark(home)}"


def _mark(home: Home) -> str:
    return f"# {unit_name(home)}"


def _cron_user() -> str:
    """Whose crontab, where it is not our own."""
    return SERVICE_USER if os.geteuid() == 0 else ""


def _others_lines(home: Home) -> list[str]:
    return [line for line in crontab.read(_cron_user()) if not line.endswith(_mark(home))]


def choose() -> Kind:
    """The best kind that this machine and user have."""
    if os.geteuid() == 0 and SYSTEMD_RUNS.is_dir():
        return "system"
    if os.geteuid() != 0 and _user_manager().exists():
        return "user"
    if shutil.which("crontab"):
        return "cron"
    raise SamseshError(
        "nothing here can start a server at boot: neither systemd for this user nor cron was found",
        "install cron, or have your init system run what `samsesh install-service --print` shows",
    )


def _check(kind: Kind) -> None:
    """Refuse a kind that cannot work here."""
    root = os.geteuid() == 0
    if kind == "system" and not root:
        raise SettingsError("a system service needs root", "run it with sudo, or use --kind user")
    if kind == "user" and root:
        raise SettingsError("a user service for root makes no sense", "use --kind system")
    if not (SYSTEMD_RUNS.is_dir() if kind == "system" else kind == "cron" or _user_manager().exists()):
        whose = "on this machine" if kind == "system" else f"for {user_name()}"
        raise SamseshError(f"systemd does not run {whose}", "use --kind cron")


def install(
    home: Home, settings: Settings, kind: Kind, environ: Mapping[str, str], say: Callable[[str], None]
) -> None:
    """Write and enable what starts this home at boot, in place of another kind. Twice changes nothing."""
    _check(kind)
    if settings.server.engine == "compose":
        raise SamseshError(
            "Docker itself starts the containers again after a reboot",
            "see that Docker starts with the machine: sudo systemctl enable docker",
        )
    if not home.settings_file.exists():
        raise SamseshError(
            f"there is no server in {home.path} yet", "begin with `samsesh up` or `samsesh setup`"
        )
    with _held(home, "install-service", say):
        before = installed(home)
        if before not in (None, kind):
            _remove(home, before)
        if kind == "cron":
            line = cron_line(home, environ)
            changed = crontab.write(_cron_user(), [*_others_lines(home), line])
        else:
            path = _unit_path(home, kind)
            changed = write_file(path, unit_text(home, settings, kind, environ), mode=0o644)
            _systemctl(kind, "daemon-reload")
            _systemctl(kind, "enable", path.name)
            if kind == "user":
                _linger(say)
        with as_owner(home):
            home.audit("install-service", kind=kind)
    where = "crontab" if kind == "cron" else str(_unit_path(home, kind))
    say(f"{'Written to' if changed else 'Already in'} {where}: this server starts with the machine.")


def remove(home: Home, say: Callable[[str], None]) -> None:
    """Undo `install`; a server that runs goes on running."""
    kind = installed(home)
    if kind is None:
        say("No service is installed for this home.")
        return
    if kind == "system":
        _check(kind)
    if not home.path.exists():  # the server is gone already; what would start it goes too
        _remove(home, kind)
    else:
        with _held(home, "install-service --remove", say):
            _remove(home, kind)
            with as_owner(home):
                home.audit("install-service --remove", kind=kind)
    say("Removed: this server no longer starts with the machine.")


def _remove(home: Home, kind: Kind) -> None:
    if kind == "cron":
        crontab.write(_cron_user(), _others_lines(home))
        return
    path = _unit_path(home, kind)
    _systemctl(kind, "disable", path.name)
    path.unlink(missing_ok=True)
    _systemctl(kind, "daemon-reload")


def installed(home: Home) -> Kind | None:
    """What starts this home at boot."""
    for kind in ("system", "user"):
        if os.access(_unit_path(home, kind), os.R_OK):  # unlike is_file, no error in a folder closed to us
            return kind
    with suppress(SamseshError):  # who may not use cron has no line there
        if any(line.endswith(_mark(home)) for line in crontab.read(_cron_user())):
            return "cron"
    return None


def control(home: Home, verb: Literal["start", "stop", "restart"]) -> bool:
    """Have systemd do it; False where no unit is installed, so that the caller does it itself."""
    kind = installed(home)
    if kind not in ("system", "user"):
        return False
    if kind == "system" and os.geteuid() != 0:
        raise SamseshError(
            f"this server runs as the system service {unit_name(home)}",
            f"use `sudo systemctl {verb} {unit_name(home)}`",
        )
    _systemctl(kind, verb, unit_name(home), timeout=systemd.STOP_SECONDS + 30)
    return True


def reboot_warning(home: Home) -> str:
    """What to tell people whose server would not come back after a reboot; empty where it would."""
    if installed(home) or home.state().get("engine") == "compose":  # Docker starts its containers again
        return ""
    return "After a reboot this server stays off. To have it start with the machine: samsesh install-service"


def _unit_path(home: Home, kind: Literal["system", "user"]) -> Path:
    if kind == "system":
        return SYSTEM_UNITS / unit_name(home)
    config = os.environ.get("XDG_CONFIG_HOME") or str(Path("~/.config").expanduser())
    return Path(config, "systemd", "user", unit_name(home))


def _user_manager() -> Path:
    """The private socket of this user's systemd."""
    return USER_RUNTIME / str(os.geteuid()) / "systemd" / "private"


def _systemctl(kind: Kind, *words: str, timeout: float = 60) -> None:
    user = ["--user"] if kind == "user" else []
    runtime = {"XDG_RUNTIME_DIR": str(USER_RUNTIME / str(os.geteuid()))}  # unset after `su`
    run(
        ["systemctl", *user, *words],
        env=runtime if user else {},
        timeout=timeout,
        what=f"systemctl {' '.join(words)}",
    )


def _linger(say: Callable[[str], None]) -> None:
    """Let this user's services run without a session; some machines leave that to the administrator."""
    try:
        run(["loginctl", "enable-linger", user_name()], what="keeping the server running after log-out")
    except SamseshError:
        say(f"It stops when you log out, until an administrator runs: loginctl enable-linger {user_name()}")


@contextmanager
def _held(home: Home, what: str, say: Callable[[str], None]) -> Iterator[None]:
    with ExitStack() as held:
        with as_owner(home):
            held.enter_context(home.lock(what, say))
        yield
