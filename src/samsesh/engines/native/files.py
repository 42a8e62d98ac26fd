"""What the native engine writes for a plan: rendered files, each unit's specification, supervisord's configuration."""

import hashlib
import json
from pathlib import Path
from typing import Any

from samsesh.compress import drop_stale
from samsesh.engines.native import start
from samsesh.formats import to_ini, to_json
from samsesh.home import Home
from samsesh.model import File, Plan, Probe, Unit
from samsesh.run import service_environment
from samsesh.write import write_file

LOG_BYTES = 10 * 1024 * 1024
LOG_FILES = 4
FOREVER = 2_000_000_000  # supervisord never gives up on a unit


def probe_data(name: str, probe: Probe) -> dict[str, Any]:
    """A probe as start.py takes it."""
    end = probe.endpoint
    where = {"socket": str(end.socket)} if end.socket else {"host": end.host, "port": end.port}
    return {"name": name, "kind": probe.kind, "path": probe.path, **where}


def specification(home: Home, plan: Plan, unit: Unit) -> dict[str, Any]:
    """What start.py needs to start this unit."""
    needs = [probe_data(plan.unit(name).title, plan.unit(name).probe) for name in unit.needs]
    marked = {"TZ": "UTC", **dict([home.mark(unit.name)]), **unit.env}
    return {
        "name": unit.name,
        "command": list(unit.command),
        "env": service_environment(marked),
        "needs": needs,
        "death_signal": unit.stop_signal,
        "supervisor_pid": str(pid_file(home)),
        "starts": str(home.runtime_dir() / f"{unit.name}.starts"),
        "keep_low_ports": any(endpoint.port < 1024 for _, endpoint in unit.binds),
    }


def fingerprint(unit: Unit, spec: dict[str, Any]) -> str:
    """Changes when a running unit must be started again."""
    told = hashlib.sha256(json.dumps([spec, unit.version], sort_keys=True).encode())
    for file in unit.files:
        if not file.live:
            told.update(f"{file.path}\0{file.mode}\0".encode() + file.content)
    return told.hexdigest()


def plan_files(home: Home, plan: Plan, python: str) -> list[File]:
    """Every file that this plan wants, supervisord's among them."""
    rendered = [file for unit in plan.units for file in unit.files]
    specs = [File(spec_path(home, unit), to_json(specification(home, plan, unit))) for unit in plan.units]
    return [*rendered, *specs, File(conf_path(home), to_ini(supervisord(home, plan, python)))]


def put(file: File) -> None:
    """Write one of them; what was compressed of an earlier content goes with that."""
    write_file(file.path, file.content, file.mode)
    if file.live:
        drop_stale(file.path)


def spec_path(home: Home, unit: Unit) -> Path:
    return home.config_dir / "units" / f"{unit.name}.json"


def conf_path(home: Home) -> Path:
    return home.config_dir / "supervisord.conf"


def socket_path(home: Home) -> Path:
    return home.runtime_dir() / "supervisor.sock"


def pid_file(home: Home) -> Path:
    return home.runtime_dir() / "supervisord.pid"


def log_path(home: Home, unit: str) -> Path:
    return home.logs_dir / f"{unit}.log"


def supervisord(home: Home, plan: Plan, python: str) -> dict[str, dict[str, str | int | bool]]:
    """supervisord's configuration (its manual: Configuration File). Later units stop first."""
    sections: dict[str, dict[str, str | int | bool]] = {
        "unix_http_server": {"file": str(socket_path(home)), "chmod": "0600"},
        "supervisord": {
            "logfile": str(log_path(home, "supervisord")),
            "logfile_maxbytes": LOG_BYTES,
            "logfile_backups": 1,
            "pidfile": str(pid_file(home)),
            "childlogdir": str(home.logs_dir),
            "directory": str(home.path),
            "umask": "077",
            "identifier": home.id,
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
    }
    for rank, unit in enumerate(plan.units):
        sections[f"program:{unit.name}"] = {
            "command": " ".join(
                map(quoted, [python, "-I", "-S", start.__file__, str(spec_path(home, unit))])
            ),
            "priority": (rank + 1) * 10,
            "autorestart": True,
            "startsecs": 1,
            "startretries": FOREVER,
            "stopsignal": unit.stop_signal,
            "stopwaitsecs": unit.stop_seconds,
            "stopasgroup": False,
            "killasgroup": False,
            "redirect_stderr": True,
            "stdout_logfile": str(log_path(home, unit.name)).replace(
                "%", "%%"
            ),  # supervisord expands it twice
            "stdout_logfile_maxbytes": LOG_BYTES,
            "stdout_logfile_backups": LOG_FILES,
        }
    return sections


def quoted(word: str) -> str:
    """A word of a command as supervisord's shlex reads it; quoting the whole word keeps `;` from being a comment."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
