"""A proxy as an ordinary process with the configuration that is printed for a server, everything in one folder."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import trustme
import yaml

from conftest import Stack
from proxies.programs import proxy_program
from samsesh.proxies.apache import MODULES

SECONDS = 20


@dataclass(frozen=True)
class Certificates:
    """Of an authority of the tests': paths of PEM files."""

    root: Path
    chain: Path
    key: Path
    both: Path

    def of(self, kind: str) -> tuple[str, ...]:
        """As options of `samsesh proxy-config`."""
        if kind == "haproxy":
            return ("--certificate", str(self.both))
        return ("--certificate", str(self.chain), "--key", str(self.key))


def certificates(folder: Path, *hosts: str) -> Certificates:
    authority = trustme.CA()
    own = authority.issue_cert(*hosts)
    paths = Certificates(*(folder / name for name in ("root.pem", "chain.pem", "key.pem", "both.pem")))
    authority.cert_pem.write_to_path(str(paths.root))
    paths.chain.write_bytes(b"".join(blob.bytes() for blob in own.cert_chain_pems))
    own.private_key_pem.write_to_path(str(paths.key))
    own.private_key_and_cert_chain_pem.write_to_path(str(paths.both))
    return paths


def printed(stack: Stack, *args: str) -> str:
    """What `samsesh proxy-config` writes to standard output."""
    done = stack.cli("proxy-config", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(kind: str, stack: Stack, folder: Path, own: Certificates) -> list[str]:
    """Write the configuration; the arguments with which the program takes it. What surrounds it is an operator's."""
    main, text = folder / kind, printed(stack, kind, *own.of(kind))
    if kind == "nginx":
        (folder / "samsesh.conf").write_text(text)
        return nginx(folder)
    if kind == "apache":
        (folder / "samsesh.conf").write_text(text)
        return apache(folder)
    if kind == "caddy":
        main.write_text(text)
        return ["run", "--adapter", "caddyfile", "--config", str(main)]
    if kind == "haproxy":
        main.write_text(text)
        return ["-db", "-f", str(main)]
    static = yaml.safe_load(printed(stack, kind, "--static", *own.of(kind)))
    (folder / "dynamic.yml").write_text(text)
    static["providers"]["file"]["filename"] = str(folder / "dynamic.yml")
    main = folder / "traefik.yml"
    main.write_text(yaml.safe_dump(static))
    return [f"--configFile={main}"]


def nginx(folder: Path) -> list[str]:
    """What surrounds samsesh.conf in that folder, as far as it is needed; the arguments."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temp = "".join(f"{name}_temp_path {folder}/{name};\n" for name in kinds)
    main = folder / "nginx"
    main.write_text(
        f"daemon off;\npid {folder}/pid;\nerror_log stderr warn;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temp}include {folder}/samsesh.conf;\n}}\n"
    )
    return ["-c", str(main), "-p", str(folder), "-e", "stderr"]


def apache(folder: Path) -> list[str]:
    """The same of Apache, with the modules that Debian has on beside those that a configuration asks for."""
    modules = Path(proxy_program("apache2")[0]).parents[1] / "lib" / "apache2" / "modules"
    names = ("mpm_event", "authz_core", "alias", "socache_shmcb", "reqtimeout", *MODULES)
    loads = "".join(f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in names)
    user = "User nobody\nGroup nogroup\n" if os.geteuid() == 0 else ""
    main = folder / "apache"
    main.write_text(
        f"{loads}{user}PidFile {folder}/pid\nErrorLog {folder}/errors\nMutex file:{folder} default\n"
        f"DefaultRuntimeDir {folder}\nServerName localhost\nInclude {folder}/samsesh.conf\n"
    )
    return ["-DFOREGROUND", "-d", str(folder), "-f", str(main)]


@contextmanager
def proxy(kind: str, stack: Stack, folder: Path, own: Certificates) -> Iterator[None]:
    """Runs until the block ends, with what is printed for this server."""
    with started(kind, files(kind, stack, folder, own), folder, 443 + stack.offset):
        yield


@contextmanager
def started(kind: str, arguments: list[str], folder: Path, port: int) -> Iterator[None]:
    """Runs until the block ends; `port` is where it listens."""
    path, needs = proxy_program({"apache": "apache2"}.get(kind, kind))
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    environ = {**os.environ, **needs, **home, "CADDY_ADMIN": f"unix/{folder}/admin.sock"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([path, *arguments], cwd=folder, env=environ, stdout=log, stderr=log)
    try:
        wait(process, folder / "log", port)
        yield
    finally:
        process.terminate()
        process.wait(SECONDS)


def wait(process: "subprocess.Popen[bytes]", log: Path, port: int) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens at {port}\n{log.read_text()}")
