"""ghcr.io/element-hq/synapse: what its docker/start.py and docker/Dockerfile promise, for `run`."""

from pathlib import Path

from docker.base import PROGRAMS
from docker.standin import StandIn, locked, packages

EXTRAS = "redis,url-preview,oidc,jwt"
START = '''#!/usr/local/bin/python
"""As the image's: `run` (or nothing) execs Synapse. As root, or where UID is set, as another user."""
import os
import platform
import sys

mode, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("run", [])
if mode != "run":
    sys.exit(f"Unknown execution mode '{mode}'")
if "-m" not in arguments:
    arguments = ["-m", os.environ.get("SYNAPSE_WORKER", "synapse.app.homeserver"), *arguments]
if not any(argument.startswith(("--config-path", "-c")) for argument in arguments):
    folder = os.environ.get("SYNAPSE_CONFIG_DIR", "/data")
    config = os.environ.get("SYNAPSE_CONFIG_PATH", folder + "/homeserver.yaml")
    if not os.path.exists(config):
        sys.exit(f"Config file '{config}' does not exist.")
    arguments += ["--config-path", config]
jemalloc = f"/usr/lib/{platform.machine()}-linux-gnu/libjemalloc.so.2"
environ = {**os.environ, "LD_PRELOAD": jemalloc}
print("Starting synapse with args " + " ".join(arguments), flush=True)
command = [sys.executable, *arguments]
if "UID" in os.environ or os.getuid() == 0:
    user, group = os.environ.get("UID", "991"), os.environ.get("GID", "991")
    command = ["/usr/bin/setpriv", "--reuid", user, "--regid", group, "--clear-groups", *command]
os.execve(command[0], command, environ)
'''
DOCKERFILE = """
RUN ln -s /usr/bin/python3 /usr/local/bin/python
COPY site /usr/local/lib/python3.11/dist-packages
RUN python -m compileall -q /usr/local/lib/python3.11/dist-packages
COPY start.py /start.py
EXPOSE 8008/tcp 8009/tcp 8448/tcp
ENTRYPOINT ["/start.py"]
HEALTHCHECK --start-period=5s --interval=15s --timeout=5s CMD curl -fSs http://localhost:8008/health || exit 1
"""


def fetch(context: Path) -> None:
    packages(context, f"matrix-synapse[{EXTRAS}]", "psycopg2-binary")


STAND_IN = StandIn(
    "synapse",
    PROGRAMS,
    DOCKERFILE,
    {"start.py": START},
    fetch,
    (locked("matrix-synapse"), locked("psycopg2-binary"), EXTRAS),
)
