"""The program `turnserver`: where it is looked for, and which versions are safe to use."""

import re
from collections.abc import Mapping
from pathlib import Path

from samsesh import names
from samsesh.cache import Search
from samsesh.errors import SamseshError
from samsesh.run import run

NAME = "turnserver"
PLACES = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin")
OLDEST = (4, 5, 2)  # those before it let anyone reach the machine itself through the relay (CVE-2020-26262)


def find(search: Search) -> Path | None:
    """The machine's own."""
    path = search.on_path(NAME, *PLACES)
    return Path(path) if path else None


def accepted(path: Path, env: Mapping[str, str]) -> str:
    """The version of one that runs and is safe to use. `--version` came with 4.6; older ones answer with their usage."""
    what = f"asking {path} for its version"
    done = run([path, "--version"], env=env, timeout=30, ok=range(256), what=what, cwd=Path("/"))
    output = done.out.decode(errors="replace") + done.err
    version = re.search(r"^(?:Coturn-)?(\d+\.\d+\.\d+)", output, re.MULTILINE)
    if not version and "Usage: turnserver" in output:
        version = re.search(r"Coturn-(\d+\.\d+\.\d+)", path.read_bytes().decode("latin-1"))
    if not version:
        raise SamseshError(f"{path} does not say that it is coturn", detail=output[-1000:])
    if names.version(version[1]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise SamseshError(f"{path} is coturn {version[1]}, older than {oldest} and not safe", "upgrade it")
    return version[1]
