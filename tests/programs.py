"""Programs that tests drive: those of the distribution, in programs.txt, and those that are fetched or built once."""

import functools
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import pytest

from samsesh.artifacts import element_call, livekit
from samsesh.cache import cache_dir
from samsesh.errors import SamseshError
from samsesh.home import SERVICE_USER
from samsesh.ops.privileges import make_cache, service_user


def missing(what: str) -> NoReturn:
    """Skip a test, since what it needs is not on this machine. With SAMSESH_TEST_MISSING=fail, as in CI, it fails."""
    if os.environ.get("SAMSESH_TEST_MISSING") == "fail":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


@functools.cache
def packages() -> dict[str, str]:
    """Program -> the package that has it, of programs.txt."""
    lines = Path(__file__).with_suffix(".txt").read_text().splitlines()
    rows = (line.split() for line in lines if not line.startswith("#"))
    return {row[0]: row[1] for row in rows}


def need(name: str) -> str:
    """The path of one in programs.txt. Where it is missing, the test does not run."""
    package = packages()[name]
    return shutil.which(name) or missing(f"{name} is not installed (package {package})")


@functools.cache
def unpacked(name: str) -> tuple[str, dict[str, str]]:
    """(path, environment that it needs) of a program whose Debian package is unpacked, so that it starts no service."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        missing(f"{name} is not installed, and this is no Debian that has it")
    folder = Path(tempfile.mkdtemp(prefix=f"samsesh-{name}-"))
    folder.chmod(0o755)
    environ = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}

    def asked(*command: str) -> str:
        done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            missing(f"{name} could not be got: {done.stderr[-300:]}")
        return done.stdout

    said = asked("apt-get", "-s", "--no-install-recommends", "install", packages()[name])
    asked("apt-get", "-q", "download", *re.findall(r"^Inst (\S+)", said, re.MULTILINE))
    for package in folder.glob("*.deb"):
        asked("dpkg-deb", "-x", str(package), str(folder / "tree"))
    libraries = {str(path.parent) for path in (folder / "tree").rglob("*.so*")}
    found = next(path for path in (folder / "tree").rglob(name) if path.parent.name in ("bin", "sbin"))
    return str(found), {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}


def postgres_with_tls() -> tuple[Path, dict[str, str]]:
    """(folder of programs, environment that they need) of the distribution's PostgreSQL: the one from PyPI has no TLS."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    path, env = (str(installed[-1]), {}) if installed else unpacked("initdb")
    return Path(path).parent, env


def livekit_server() -> Path:
    """A real LiveKit that every user can run: SAMSESH_TEST_LIVEKIT, one on PATH, or fetched or built once and kept.

    Building takes two minutes or more. Where none is to be had, the test does not run.
    """
    if given := os.environ.get("SAMSESH_TEST_LIVEKIT"):
        return Path(given)
    try:
        return obtained(livekit)
    except SamseshError as error:
        missing(f"{error.message}\n{error.detail}")


def element_call_pages() -> Path:
    """The folder of a real Element Call, got once and kept. Where none is to be had, the test does not run."""
    try:
        return obtained(element_call)
    except SamseshError as error:
        missing(f"{error.message}\n{error.detail}")


PEBBLE = "v2.10.1"


@functools.cache
def pebble() -> Path:
    """A real ACME server for tests (Let's Encrypt's pebble): SAMSESH_TEST_PEBBLE, or built with Go once and kept."""
    if given := os.environ.get("SAMSESH_TEST_PEBBLE"):
        return Path(given)
    folder = cache_dir(os.environ, Path("/nonexistent")) / f"pebble-{PEBBLE}"
    if not (folder / "pebble").exists():
        module = f"github.com/letsencrypt/pebble/v2/cmd/pebble@{PEBBLE}"
        env = {**os.environ, **go_caches(), "GOBIN": str(folder), "CGO_ENABLED": "0"}
        done = subprocess.run(
            [need("go"), "install", module], env=env, capture_output=True, text=True, timeout=600
        )
        if done.returncode:
            missing(f"pebble could not be built: {done.stderr[-300:]}")
    return folder / "pebble"


COMPOUND = "@vector-im/compound-design-tokens@11.0.0"


@functools.cache
def compound_styles() -> bytes:
    """Compound's tokens, the design system of Element's pages, as npm has them: all themes in one, in no layer."""
    with tempfile.TemporaryDirectory() as folder:
        npm = Path(sys.executable).with_name("npm")
        command = [str(npm), "pack", "--silent", COMPOUND]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
        if done.returncode:
            missing(f"{COMPOUND} could not be got: {done.stderr[-300:]}")
        with tarfile.open(Path(folder) / done.stdout.strip()) as package:
            names = sorted(
                name for name in package.getnames() if re.search(r"/css/cpd-.*(?<!-mq)\.css$", name)
            )
            parts = [package.extractfile(name) for name in names if "fallbacks" not in name]
            return b"\n".join(part.read() for part in parts if part)


OBTAIN = """
import os, platform, sys
from importlib import import_module
from pathlib import Path
from samsesh.cache import Search, cache_dir
from samsesh.errors import SamseshError
from samsesh.settings import Artifacts
search = Search(Artifacts(), cache_dir(os.environ, Path("/nonexistent")), platform.machine(), os.environ)
try:
    print(import_module(sys.argv[1]).obtain(search).path)
except SamseshError as error:
    sys.exit(f"{error.message}\\n{error.detail}")
"""


@functools.cache
def obtained(module: ModuleType) -> Path:
    """Got as the user whose cache it is: root trusts nothing that the service user can change."""
    if as_root := os.geteuid() == 0:
        make_cache(service_user())
    done = subprocess.run(
        [sys.executable, "-I", "-c", OBTAIN, module.__name__],
        env={**os.environ, **go_caches()},
        capture_output=True,
        text=True,
        timeout=1800,
        cwd="/",
        user=SERVICE_USER if as_root else None,
        group=SERVICE_USER if as_root else None,
        extra_groups=[] if as_root else None,
    )
    if done.returncode:
        raise SamseshError(f"{module.__name__} could not be got", detail=done.stderr.strip())
    return Path(done.stdout.strip())


def go_caches() -> dict[str, str]:
    """The caches of this user's Go, so that it does not fetch and compile everything anew."""
    names = ("GOMODCACHE", "GOCACHE")
    if not (go := shutil.which("go")):
        return {}
    said = subprocess.run([go, "env", *names], capture_output=True, text=True, timeout=30)
    return dict(zip(names, said.stdout.split(), strict=False))


@functools.cache
def get_programs() -> None:
    """What calls need, once for this machine: so that no test's `up` has to wait for it. Without them calls are off."""
    for module in (livekit, element_call):
        with suppress(SamseshError):
            obtained(module)


_ports = itertools.count(61_000 + os.getpid() * 41 % 4400)


def free_port() -> int:
    """A port for a program that starts later: none of those from which the kernel takes one for a connection."""
    for number in itertools.islice(_ports, 1000):
        port = 61_000 + (number - 61_000) % 4500
        with (
            socket.socket() as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
            suppress(OSError),
        ):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")
