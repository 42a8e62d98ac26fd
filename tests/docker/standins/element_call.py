"""ghcr.io/element-hq/element-call: the real pages, from npm, on nginx-unprivileged."""

import shutil
from pathlib import Path

from docker.base import PROGRAMS
from docker.standin import StandIn
from docker.standins import nginx
from programs import obtained
from samsesh.artifacts import element_call

SITE = """server {
    listen 8080;
    root /app;
    gzip_static on;
    location / {
        try_files $uri $uri/ /index.html;
        add_header Cache-Control "no-store, no-cache, must-revalidate";
    }
    location /assets {
        add_header Cache-Control "public, immutable, max-age=31536000";
    }
    location /apple-app-site-association { default_type application/json; }
}
"""
DOCKERFILE = """
COPY default.conf /etc/nginx/conf.d/
COPY app /app
RUN chown -R 101:0 /var/cache/nginx /etc/nginx && chmod -R g+w /var/cache/nginx /etc/nginx
EXPOSE 8080
USER 101
"""


def fetch(context: Path) -> None:
    shutil.copytree(obtained(element_call), context / "app")


STAND_IN = StandIn(
    "element-call",
    PROGRAMS,
    nginx.DOCKERFILE + DOCKERFILE,
    {**nginx.FILES, "nginx.conf": nginx.nginx_conf("/tmp"), "default.conf": SITE},
    fetch,
    (element_call.version(),),
)
