"""Real proxies: on PATH, or Debian's packages unpacked into a temporary folder, so that none starts as a service."""

import os
import shutil

from programs import unpacked
from samsesh.facts import gather


def proxy_program(name: str) -> tuple[str, dict[str, str]]:
    """(path, environment that it needs). Where there is none and none can be had, the test does not run."""
    if name == "caddy" and (ours := gather().programs.get("caddy")):
        return ours, {}
    path = os.environ.get(f"SAMSESH_TEST_{name.upper()}") or shutil.which(name)
    return (path, {}) if path else unpacked(name)
