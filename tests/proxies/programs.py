"""Real proxies: on PATH, or Debian's packages unpacked into a temporary folder, so that none starts as a service."""

import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from programs import missing, packages
from samsesh.facts import gather


def proxy_program(name: str) -> tuple[str, dict[str, str]]:
    """(path, environment that it needs). Where there is none and none can be had, the test does not run."""
    if name == "caddy" and (ours := gather().programs.get("caddy")):
        return ours, {}
    path = os.environ.get(f"SAMSESH_TEST_{name.upper()}") or shutil.which(name)
    return (path, {}) if path else _unpacked(name)


@cache
def _unpacked(name: str) -> tuple[str, dict[str, str]]:
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
