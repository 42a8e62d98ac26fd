"""coturn/coturn: Debian's coturn with the image's entrypoint, user and file capability."""

from docker.base import COTURN
from docker.standin import StandIn

ENTRYPOINT = """#!/bin/bash
# Options alone are turnserver's; all words go through the shell once more, as in the image.
case $1 in -*) set -- turnserver "$@" ;; esac
exec $(eval "echo $@")
"""
DOCKERFILE = """
RUN setcap CAP_NET_BIND_SERVICE=+ep /usr/bin/turnserver && mkdir -p /etc/coturn \\
    && chown -R nobody:nogroup /var/lib/turn && ln -s turn /var/lib/coturn
COPY docker-entrypoint.sh /usr/local/bin/
USER nobody:nogroup
EXPOSE 3478 3478/udp 5349 5349/udp
VOLUME ["/var/lib/coturn"]
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["--log-file=stdout", "--external-ip=$(detect-external-ip)"]
"""
STAND_IN = StandIn("coturn", COTURN, DOCKERFILE, {"docker-entrypoint.sh": ENTRYPOINT})
