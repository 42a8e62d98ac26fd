"""livekit/livekit-server: the program on its own, beside what alpine has."""

import shutil
from pathlib import Path

from docker.base import PROGRAMS
from docker.standin import StandIn
from programs import livekit_server
from samsesh.artifacts.livekit import VERSION

DOCKERFILE = """
RUN rm -f /usr/bin/curl /usr/bin/python3* && ln -s /bin/busybox /usr/bin/wget
COPY livekit-server /livekit-server
ENTRYPOINT ["/livekit-server"]
"""


def fetch(context: Path) -> None:
    shutil.copy(livekit_server(), context / "livekit-server")
    (context / "livekit-server").chmod(0o755)


STAND_IN = StandIn("livekit", PROGRAMS, DOCKERFILE, fetch=fetch, made_of=(VERSION,))
