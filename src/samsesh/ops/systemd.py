"""The systemd unit as data, dumped in systemd's syntax (systemd.syntax(7), systemd.service(5))."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from samsesh.cache import MACHINE_CACHE
from samsesh.home import SERVICE_USER, Home
from samsesh.settings import Settings
from samsesh.settings_server import Ports

UnitData = Mapping[str, Mapping[str, str | list[str]]]

STOP_SECONDS = 180


def unit(home: Home, settings: Settings, kind: Literal["system", "user"], up: list[str]) -> UnitData:
    """The unit that runs the command `up`, as sections of keys; a list is a key given several times."""
    command = [*up, "--foreground", "--yes"]
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
    online = {"Wants": "network-online.target", "After": "network-online.target"}
    return {
        "Unit": {
            "Description": f"Samsesh, a Matrix server ({home.path})".replace("%", "%%"),
            "StartLimitIntervalSec": "0",
            **(online if kind == "system" else {}),
        },
        "Service": service,
        "Install": {"WantedBy": "multi-user.target" if kind == "system" else "default.target"},
    }


def _hardening(home: Home, settings: Settings, start: str) -> dict[str, str | list[str]]:
    """What PostgreSQL, Synapse and Caddy can do without. User units: older systemd cannot grant it."""
    # Sockets are in the home, or in /tmp, where others than the unit must see them.
    in_home = home.runtime_dir() == home.path / "run"
    capabilities = "CAP_NET_BIND_SERVICE" if _low_port(settings) else ""
    outside = [f"-{MACHINE_CACHE}", *([] if in_home else ["/tmp"])]  # noqa: S108 - see runtime_dir
    hidden = _below_user_homes(home.path, Path(start), Path(sys.prefix), Path(sys.executable).resolve())
    return {
        "CapabilityBoundingSet": capabilities,
        "AmbientCapabilities": capabilities,
        "ProtectSystem": "strict",
        "ReadWritePaths": [quote(str(home.path)), *outside],  # the cache, where the agent renews the relay
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
    """Whether a port that is bound needs the right to bind low ports."""
    unused = {"http", "https"}  # a local server has neither
    return any(settings.ports.of(name) < 1024 for name in Ports.numbers() if name not in unused)


def _below_user_homes(*paths: Path) -> bool:
    hidden_by_protect_home = [Path("/home"), Path("/root"), Path("/run/user")]
    return any(path.is_relative_to(folder) for path in paths for folder in hidden_by_protect_home)


def quote(word: str) -> str:
    """One word in systemd's quoting: in double quotes, C escapes, `%` doubled (it begins a specifier)."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def render(data: UnitData) -> str:
    """A unit in systemd's syntax."""
    lines = ["# Written by `samsesh install-service`; run it again to renew, with --remove to undo."]
    for section, keys in data.items():
        lines += ["", f"[{section}]"]
        for key, value in keys.items():
            lines += [f"{key}={one}" for one in ([value] if isinstance(value, str) else value)]
    return "\n".join(lines) + "\n"
