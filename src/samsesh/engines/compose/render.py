"""compose.yaml and the files beside it, as data, for a plan that was made with the placement of containers.

Keys: the Compose specification. Everything in it is relative to its folder, so that the folder can be moved.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samsesh.engines.compose import images
from samsesh.engines.compose.containers import CONTAINERS, MB, Container
from samsesh.engines.compose.placement import CONFIG, FILES, RUN, SECRETS, data_of, file_in_container, service
from samsesh.home import Home
from samsesh.model import Endpoint, File, Plan, Unit
from samsesh.operator_files import named_files
from samsesh.secrets import Secrets
from samsesh.settings import Settings

PRIVATE, PUBLIC = "matrix-network", "matrix-public"
PREPARE = "volumes"  # the service that prepares them, and ends
FINGERPRINT = "net.samsesh.fingerprint"  # label: changes when a container must be made anew
IN_ORDER_ONLY = {("livekit", "coturn")}  # no need to wait until the relay answers
# The document's order of starts, beside what units need by themselves.
AFTER = {
    "livekit": ("coturn",),
    "rtc-auth": ("livekit",),
    "synapse": ("coturn",),
    "element": ("synapse", "rtc-auth"),
    "element-call": ("synapse", "rtc-auth"),
    "panel": ("synapse", "rtc-auth"),
}
NOT_KEPT = ("livekit",)  # its data folder is for the moment
# LiveKit offers the machine's address in the place of its own: of two, it might listen on the wrong one.
ONE_ADDRESS = ("livekit",)
# It relays to and from the machine's address: behind a translation it would take LiveKit's media for its own.
ON_MACHINE = ("coturn",)
LOG = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}
IMAGE = "image"  # folder of our image's build context
TMP = "/tmp"  # noqa: S108 - in containers
BUILD_ARGS = (
    "PIP_INDEX_URL",
    "PIP_NO_INDEX",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
)  # the caller's, where set
SHARED_MEMORY = 256 * MB  # PostgreSQL's parallel workers share what Docker's 64 MB do not hold
Given = dict[str, list[File]]  # unit -> files
INIT_SQL = CONFIG / "postgres" / "init.sql"


@dataclass(frozen=True)
class Project:
    """Where it is rendered to and for whom. `user`: as whom containers run; `run`: the folder of the sockets."""

    name: str
    folder: Path
    run: Path
    user: tuple[int, int]
    memory: int
    quick: bool = False  # Docker 25 and later can ask oftener while a container starts

    def on_host(self, path: Path) -> Path:
        """A path in the containers -> where it is on this machine."""
        for inside, outside in (
            (CONFIG, self.folder / "config"),
            (SECRETS, self.folder / "secrets"),
            (RUN, self.run),
        ):
            if path.is_relative_to(inside):
                return outside / path.relative_to(inside)
        return path

    def mount(self, path: Path) -> str:
        """How compose.yaml names the folder or file behind a path of the containers."""
        there = self.on_host(path)
        return f"./{there.relative_to(self.folder)}" if there.is_relative_to(self.folder) else str(there)


def compose(project: Project, plan: Plan, given: Given, settings: Settings) -> dict[str, Any]:
    """The whole of compose.yaml."""
    kept = {unit.name: volumes(unit) for unit in plan.units if volumes(unit)}
    services = {
        service(unit.name): _service(project, plan, unit, given[unit.name], settings) for unit in plan.units
    }
    used = sorted({name for unit in plan.units for name in secrets_of(unit)})
    return {
        "name": project.name,
        "services": {PREPARE: _prepare(project, kept, settings), **services},
        "networks": {PRIVATE: {"internal": True}, PUBLIC: {}},
        "volumes": {service(name): {} for name in sorted(kept)},
        "secrets": {name: {"file": f"./secrets/{name}"} for name in used},
    }


def given(plan: Plan, home: Home, settings: Settings, secrets: Secrets) -> Given:
    """What each unit is given: its own files, what the settings name, secrets, and what only containers lack."""
    database = plan.offer.database
    named = dict.fromkeys((*named_files(settings), *(database.files.values() if database else ())))
    return {unit.name: [*unit.files, *_more(unit, home, list(named), secrets)] for unit in plan.units}


def _more(unit: Unit, home: Home, named: list[str], secrets: Secrets) -> list[File]:
    found = [
        File(file_in_container(path), home.operator_file(path).read_bytes(), secret=True)
        for path in named
        if _names(unit, file_in_container(path))
    ]
    found += [
        File(SECRETS / name, getattr(secrets, name).reveal().encode(), secret=True)
        for name in secrets_of(unit)
    ]
    if unit.prepare and (sql := unit.prepare.steps[-1].stdin):
        found.append(File(INIT_SQL, sql.reveal().encode(), secret=True))
    if unit.name == "synapse":
        found += synapse_module_files()
    return found


def secrets_of(unit: Unit) -> tuple[str, ...]:
    return (*unit.secrets, *(("database_admin_password",) if unit.image == "postgres" else ()))


def volumes(unit: Unit) -> list[Path]:
    """Data folders of a unit, below its volume."""
    return [] if unit.name in NOT_KEPT else list(unit.folders)


def synapse_module_files() -> list[File]:
    """Our module in Synapse, which has no packages of ours."""
    import samsesh

    code = Path(samsesh.__file__).parent
    sources = [code / "__init__.py", code / "text.py", *sorted((code / "synapse_module").glob("*.py"))]
    to = CONFIG / "synapse" / "modules" / "samsesh"
    return [File(to / path.relative_to(code), path.read_bytes()) for path in sources]


def _names(unit: Unit, path: Path) -> bool:
    """Whether a unit's configuration names a file."""
    text = str(path).encode()
    return any(text in file.content for file in unit.files)


def _service(
    project: Project, plan: Plan, unit: Unit, given: list[File], settings: Settings
) -> dict[str, Any]:
    container = CONTAINERS[unit.image]
    data: dict[str, Any] = {
        "image": images.reference(unit.image, settings.images),
        **(_build(settings) if unit.image == "samsesh" else {}),
        **({"entrypoint": list(container.entrypoint)} if container.entrypoint else {}),
        **({"command": list(container.command(unit))} if unit.command else {}),
        "user": "{}:{}".format(*project.user),
        "working_dir": "/",  # nothing is loaded from a folder that others write to
        "environment": _environment(unit, container, settings),
        "volumes": _mounts(project, plan, unit, given),
        **({"secrets": list(secrets_of(unit))} if secrets_of(unit) else {}),
        **_network(unit),
        "depends_on": _after(plan, unit),
        "healthcheck": _health(project, unit, container),
        "restart": "unless-stopped",
        "stop_signal": f"SIG{unit.stop_signal}",
        "stop_grace_period": f"{unit.stop_seconds}s",
        **_closed(container),
        "tmpfs": _writable(project, unit, container),
        **({"shm_size": SHARED_MEMORY} if unit.image == "postgres" else {}),
        "mem_limit": _memory(project, container),
        "pids_limit": 4096,
        "logging": LOG,
    }
    if unit.name not in ON_MACHINE and any(endpoint.port < 1024 for _, endpoint in unit.binds):
        data["sysctls"] = {
            "net.ipv4.ip_unprivileged_port_start": "0"
        }  # for any user, as Docker has it by itself
    data = {key: value for key, value in data.items() if value not in ([], {})}
    return {**data, "labels": {FINGERPRINT: _fingerprint(data, given)}}


def _writable(project: Project, unit: Unit, container: Container) -> list[str]:
    """What it may write to for the moment. Without a mode such a folder is closed as the image's own is."""
    mine = "uid={},gid={},mode=0700".format(*project.user)
    more = [str(path) for path in unit.folders if unit.name in NOT_KEPT]
    return [f"{path}:{'mode=1777' if path == TMP else mine}" for path in (*container.tmpfs, *more)]


def _closed(container: Container) -> dict[str, Any]:
    return {
        "read_only": True,
        "cap_drop": ["ALL"],
        **({"cap_add": list(container.add)} if container.add else {}),
        "security_opt": ["no-new-privileges:true"],
    }


def _prepare(project: Project, kept: dict[str, list[Path]], settings: Settings) -> dict[str, Any]:
    """Runs first, as root without a network: gives new volumes to the services' user."""
    folders = [
        str(Path("/volumes", service(name)) / folder.relative_to(data_of(name)))
        for name, found in kept.items()
        for folder in found
    ]
    return {
        "image": images.reference("samsesh", settings.images),
        **_build(settings),
        "entrypoint": ["python", "-I", "-m", "samsesh.engines.compose.volumes"],
        "command": [*map(str, project.user), *folders],
        "user": "0:0",
        "volumes": [f"{service(name)}:/volumes/{service(name)}:nocopy" for name in kept],
        "network_mode": "none",
        "restart": "no",
        "read_only": True,
        "cap_drop": ["ALL"],
        "cap_add": ["CHOWN", "SETUID", "SETGID"],  # none by which it could read the machine's files
        "security_opt": ["no-new-privileges:true"],
        "mem_limit": 256 * MB,
        "logging": LOG,
    }


def _build(settings: Settings) -> dict[str, Any]:
    """How our own image is made, where none is named."""
    if settings.images.samsesh:
        return {}
    python = f"PYTHON={images.reference('python', settings.images)}"
    build = {"context": f"./{IMAGE}", "args": [python, *BUILD_ARGS]}
    return {
        "build": build,
        "pull_policy": "never",
    }  # no registry is asked for it: it is built where it is missing


def _environment(unit: Unit, container: Container, settings: Settings) -> dict[str, str]:
    env = {"TZ": settings.server.timezone, **container.env, **unit.env}
    if unit.image == "postgres":
        env |= {"PGDATA": unit.command[2], "POSTGRES_PASSWORD_FILE": str(SECRETS / "database_admin_password")}
    if unit.name == "synapse":
        env["PYTHONPATH"] = str(CONFIG / "synapse" / "modules")
    return env


def _mounts(project: Project, plan: Plan, unit: Unit, given: list[File]) -> list[str]:
    """Its configuration, read-only; the folders of its sockets; its volumes, and those of others that it works in."""
    others = {other.name for other in plan.units} - {unit.name}
    ours = [file.path.relative_to(CONFIG) for file in given if file.path.is_relative_to(CONFIG)]
    named = FILES.relative_to(CONFIG)
    tops = {path.parts[0] for path in ours if not path.is_relative_to(named)}
    configs = [CONFIG / top for top in sorted(tops - others)]
    single = [CONFIG / path for path in ours if path.is_relative_to(named)]
    mounts = [f"{project.mount(path)}:{path}:ro" for path in (*configs, *single)]
    if any(file.path == INIT_SQL for file in given):
        mounts.append(f"{project.mount(INIT_SQL)}:/docker-entrypoint-initdb.d/samsesh.sql:ro")
    if unit.image in ("element-web", "element-call"):
        config = CONFIG / unit.name / "config.json"
        mounts.append(f"{project.mount(config)}:/app/config.json:ro")
    if unit.name == "synapse":  # where people look for it, and tools of Synapse's
        config = CONFIG / "synapse" / "homeserver.yaml"
        mounts.append(f"{project.mount(config)}:{data_of('synapse') / config.name}:ro")
    sockets = dict.fromkeys(socket.parent for socket in unit.sockets)
    mounts += [f"{project.mount(folder)}:{folder}" for folder in sockets]
    for other in plan.units:
        data = data_of(other.name)
        written = other == unit or _below(unit.shared, data)
        if volumes(other) and (written or _below(unit.reads, data)):
            how = "nocopy" if written else "ro,nocopy"  # nothing of the image's
            mounts.append(f"{service(other.name)}:{data}:{how}")
    return mounts


def _below(folders: tuple[Path, ...], data: Path) -> bool:
    return any(folder.is_relative_to(data) for folder in folders)


def _network(unit: Unit) -> dict[str, Any]:
    """Where it is, and what of it is published."""
    if unit.name in ON_MACHINE:
        return {"network_mode": "host"}
    outside = [PUBLIC] if unit.binds or unit.outward else []
    ports = [_published(endpoint) for _, endpoint in unit.binds]
    return {
        **({"ports": ports} if ports else {}),
        "networks": outside if unit.name in ONE_ADDRESS else [PRIVATE, *outside],
    }


def _published(endpoint: Endpoint) -> str:
    host, port = endpoint.host, endpoint.port
    return f"{f'[{host}]' if ':' in host else host}:{port}:{port}/{endpoint.protocol}"


def _after(plan: Plan, unit: Unit) -> dict[str, dict[str, Any]]:
    """What has to be well before it starts; what can be spared is only waited for."""
    there = {other.name: other for other in plan.units}
    found: dict[str, dict[str, Any]] = {}
    if volumes(unit):
        found[PREPARE] = {"condition": "service_completed_successfully"}
    for name in dict.fromkeys((*AFTER.get(unit.name, ()), *unit.needs)):
        if name in there:
            state = "started" if (unit.name, name) in IN_ORDER_ONLY else "healthy"
            spare = {"required": False} if there[name].spare and name not in unit.needs else {}
            found[service(name)] = {"condition": f"service_{state}", **spare}
    return found


def _health(project: Project, unit: Unit, container: Container) -> dict[str, Any]:
    test = ["CMD", *container.health(unit.probe)]
    allowed = int(unit.probe.seconds)
    if project.quick:
        return {
            "test": test,
            "interval": "30s",
            "timeout": "5s",
            "retries": 3,
            "start_period": f"{allowed}s",
            "start_interval": "1s",
        }
    # Docker asks for the first time after an interval, and each link of depends_on waits for that.
    return {"test": test, "interval": "3s", "timeout": "5s", "retries": 5, "start_period": f"{allowed}s"}


def _memory(project: Project, container: Container) -> int:
    share, least = container.memory
    return min(max(int(project.memory * share), least), project.memory) // MB * MB


def _fingerprint(data: dict[str, Any], given: list[File]) -> str:
    told = hashlib.sha256(json.dumps(data, sort_keys=True).encode())
    for file in given:
        if not file.live:
            told.update(f"{file.path}\0".encode() + file.content)
    return told.hexdigest()
