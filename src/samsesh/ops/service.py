"""Starting at boot: one systemd unit (system or user) or one line for cron's @reboot.

The unit is built as data and dumped in systemd's syntax (systemd.syntax(7), systemd.service(5) "Command lines").
"""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from samsesh.errors import SamseshError, SettingsError
from samsesh.home import SERVICE_USER, Home, default_home, user_name
from samsesh.run import run
from samsesh.settings import Ports, Settings
from samsesh.write import write_file

Kind = Literal["system", "user", "cron"]
UnitData = Mapping[str, Mapping[str, str | list[str]]]

SYSTEM_UNITS = Path("/etc/systemd/system")
SYSTEMD_RUNS = Path("/run/systemd/system")  # there exactly when systemd is the init process: sd_booted(3)
USER_RUNTIME = Path("/run/user")
STOP_SECONDS = 180


def unit_name(home: Home) -> str:
    """`samsesh.service` for the default home, one with the home's id for any other."""
    return "samsesh.service" if home.path == default_home({}) else f"samsesh-{home.id}.service"


def program(environ: Mapping[str, str]) -> list[str]:
    """What to start: the launcher, which survives upgrades of its environment, else this Python."""
    launcher = environ.get("SAMSESH_LAUNCHER", "")
    return [launcher] if Path(launcher).is_absolute() else [sys.executable, "-m", "samsesh"]


def unit(home: Home, settings: Settings, kind: Kind, environ: Mapping[str, str]) -> UnitData:
    """The systemd unit of this home as sections of keys; a list is a key given several times."""
    command = [*program(environ), "--home", str(home.path), "up", "--foreground", "--yes"]
    start = command[0]
    if set(start) & set("\"'\\"):  # systemd takes no quotes in the name of a program, only in its arguments
        command = ["/usr/bin/env", *command]
    service: dict[str, str | list[str]] = {
        "Type": "exec",
        "ExecStart": " ".join([quote(command[0]), *(quote(word).replace("$", "$$") for word in command[1:])]),
        "Restart": "on-failure",
        "RestartSec": "5",
        "RestartPreventExitStatus": "2",  # wrong settings do not become right by starting again
        "KillMode": "mixed",
        "TimeoutStartSec": "infinity",
        "TimeoutStopSec": str(STOP_SECONDS),
        "LimitNOFILE": "65536",
        "UMask": "0077",
        "NoNewPrivileges": "yes",
    }
    if kind == "system":
        service |= {"User": SERVICE_USER, "Group": SERVICE_USER, **_hardening(home, settings, start)}
    return {
        "Unit": {
            "Description": f"Samsesh, a Matrix server ({home.path})".replace("%", "%%"),
            "StartLimitIntervalSec": "0",
            **(
                {"Wants": "network-online.target", "After": "network-online.target"}
                if kind == "system"
                else {}
            ),
        },
        "Service": service,
        "Install": {"WantedBy": "multi-user.target" if kind == "system" else "default.target"},
    }


def _hardening(home: Home, settings: Settings, start: str) -> dict[str, str | list[str]]:
    """What PostgreSQL, Synapse and Caddy can do without. Not for user units: older systemd cannot grant it there."""
    in_home = (
        home.runtime_dir() == home.path / "run"
    )  # else the sockets are in /tmp, where others must see them
    capabilities = "CAP_NET_BIND_SERVICE" if _low_port(settings) else ""
    hidden = _below_user_homes(home.path, Path(start), Path(sys.prefix), Path(sys.executable).resolve())
    return {
        "CapabilityBoundingSet": capabilities,
        "AmbientCapabilities": capabilities,
        "ProtectSystem": "strict",
        "ReadWritePaths": [quote(str(home.path)), *([] if in_home else ["/tmp"])],  # noqa: S108 - see runtime_dir
        "PrivateTmp": "yes" if in_home else "no",
        "ProtectHome": "read-only" if hidden else "yes",
        "PrivateDevices": "yes",
        "ProtectClock": "yes",
        "ProtectControlGroups": "yes",
        "ProtectHostname": "yes",
        "ProtectKernelLogs": "yes",
        "ProtectKernelModules": "yes",
        "ProtectKernelTunables": "yes",
        "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6 AF_NETLINK",
        "RestrictNamespaces": "yes",
        "RestrictRealtime": "yes",
        "RestrictSUIDSGID": "yes",
        "LockPersonality": "yes",
        "SystemCallArchitectures": "native",
    }


def _low_port(settings: Settings) -> bool:
    """Whether a port that this access mode binds needs the right to bind low ports."""
    unused = {"http", "https"} if settings.server.access == "local" else set()
    return any(settings.ports.of(name) < 1024 for name in Ports.numbers() if name not in unused)


def _below_user_homes(*paths: Path) -> bool:
    hidden_by_protect_home = [Path("/home"), Path("/root"), Path("/run/user")]
    return any(path.is_relative_to(folder) for path in paths for folder in hidden_by_protect_home)


def quote(word: str) -> str:
    """One word in systemd's quoting: always in double quotes, C escapes, `%` doubled (it begins a specifier)."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return (
        '"'
        + "".join(c if c.isprintable() else "".join(f"\\x{b:02x}" for b in c.encode()) for c in escaped)
        + '"'
    )


def render(data: UnitData) -> str:
    """A unit in systemd's syntax."""
    lines = ["# Written by `samsesh install-service`; run it again to renew, with --remove to undo."]
    for section, keys in data.items():
        lines += ["", f"[{section}]"]
        for key, value in keys.items():
            lines += [f"{key}={one}" for one in ([value] if isinstance(value, str) else value)]
    return "\n".join(lines) + "\n"


def cron_line(home: Home, environ: Mapping[str, str]) -> str:
    """The line for cron: `%` is special there even in quotes (crontab(5)); the mark at its end makes it ours.

    What `up` prints may hold the first log-in, so it is not kept; what it complains about is, in boot.log.
    """
    command = shlex.join([*program(environ), "--home", str(home.path), "up", "--yes"])
    errors = shlex.quote(str(home.path / "boot.log"))
    return f"@reboot {command} >/dev/null 2>{errors}".replace("%", r"\%") + f" {_mark(home)}"


def _mark(home: Home) -> str:
    return f"# {unit_name(home)}"


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
            changed = _write_crontab([*_other_cron_lines(home), line])
        else:
            path = _unit_path(home, kind)
            text = render(unit(home, settings, kind, environ))
            changed = write_file(path, text, mode=0o644)
            _systemctl(kind, "daemon-reload")
            _systemctl(kind, "enable", path.name)
            if kind == "user":
                _linger(say)
        with _as_owner(home):
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
    with _held(home, "install-service --remove", say):
        _remove(home, kind)
        with _as_owner(home):
            home.audit("install-service --remove", kind=kind)
    say("Removed: this server no longer starts with the machine.")


def _remove(home: Home, kind: Kind) -> None:
    if kind == "cron":
        _write_crontab(_other_cron_lines(home))
        return
    path = _unit_path(home, kind)
    _systemctl(kind, "disable", path.name)
    path.unlink(missing_ok=True)
    _systemctl(kind, "daemon-reload")


def installed(home: Home) -> Kind | None:
    """What starts this home at boot."""
    for kind in ("system", "user"):
        if _unit_path(home, kind).is_file():
            return kind
    if shutil.which("crontab") and any(line.endswith(_mark(home)) for line in _crontab()):
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
    _systemctl(kind, verb, unit_name(home), timeout=STOP_SECONDS + 30)
    return True


def reboot_warning(home: Home) -> str:
    """What to tell people whose server would not come back after a reboot; empty where it would."""
    if installed(home):
        return ""
    return "A reboot stops this server for good. `samsesh install-service` makes it start with the machine."


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
    env = (
        {"XDG_RUNTIME_DIR": str(USER_RUNTIME / str(os.geteuid()))} if kind == "user" else {}
    )  # unset after `su`
    run(["systemctl", *user, *words], env=env, timeout=timeout, what=f"systemctl {' '.join(words)}")


def _linger(say: Callable[[str], None]) -> None:
    """Let this user's services run without a session; some machines leave that to the administrator."""
    try:
        run(["loginctl", "enable-linger", user_name()], what="keeping the server running after log-out")
    except SamseshError:
        say(
            f"It stops when you log out. To change that, an administrator runs: loginctl enable-linger {user_name()}"
        )


def _crontab_command() -> list[str]:
    return ["crontab", "-u", SERVICE_USER] if os.geteuid() == 0 else ["crontab"]


def _crontab() -> list[str]:
    """Lines of the crontab; none where there is no crontab yet."""
    done = run([*_crontab_command(), "-l"], env={"LC_ALL": "C"}, ok=(0, 1), what="reading the crontab")
    if done.code == 0:
        return done.out.decode(errors="surrogateescape").splitlines()
    if any(
        sign in done.err for sign in ("no crontab", "No such file", "unknown")
    ):  # cron, busybox, no such user yet
        return []
    raise SamseshError("reading the crontab failed", "is this user allowed to use cron?", detail=done.err)


def _other_cron_lines(home: Home) -> list[str]:
    return [line for line in _crontab() if not line.endswith(_mark(home))]


def _write_crontab(lines: list[str]) -> bool:
    if lines == _crontab():
        return False
    text = "".join(f"{line}\n" for line in lines)
    run([*_crontab_command(), "-"], stdin=text.encode(errors="surrogateescape"), what="writing the crontab")
    return True


@contextmanager
def _held(home: Home, what: str, say: Callable[[str], None]) -> Iterator[None]:
    with ExitStack() as held:
        with _as_owner(home):
            held.enter_context(home.lock(what, say))
        yield


@contextmanager
def _as_owner(home: Home) -> Iterator[None]:
    """Root touches the home as its owner, so that it leaves no file there that the server cannot write."""
    owner = home.path.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
