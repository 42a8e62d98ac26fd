"""ghcr.io/element-hq/element-web: its Dockerfile's ways, around pages that only have the shape of the client."""

import json

from docker.base import PROGRAMS
from docker.standin import StandIn
from docker.standins import nginx
from samsesh.artifacts.element_web import VERSION

# The image serves the configuration from a copy that is made at each start (docker-entrypoint.d/18-...).
LOAD = """#!/bin/sh
set -e
mkdir -p /tmp/element-web-config
cp /app/config*.json /tmp/element-web-config/
"""
SITE = """server {
    listen ${ELEMENT_WEB_PORT};
    listen [::]:${ELEMENT_WEB_PORT};
    root /app;
    index index.html;
    location = /index.html { add_header Cache-Control "no-cache"; }
    location = /version { add_header Cache-Control "no-cache"; }
    location /i18n/ { add_header Cache-Control "no-cache"; }
    location /config {
        root /tmp/element-web-config;
        add_header Cache-Control "no-cache";
    }
}
"""
DEFAULT = "server { listen 80; listen [::]:80; root /app; index index.html; }\n"
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Element</title></head>
<body><section id="matrixchat"></section><script src="bundles/stand-in/bundle.js"></script></body></html>
"""
BUNDLE = """fetch("config.json").then((answer) => answer.json()).then((config) => {
    document.title = config.brand;
    document.getElementById("matrixchat").textContent = config.brand;
});
"""
DOCKERFILE = """
COPY 18-load-element-modules.sh /docker-entrypoint.d/
COPY default.conf /etc/nginx/conf.d/
COPY default.conf.template /etc/nginx/templates/
COPY index.html version config.json config.sample.json /app/
COPY bundle.js /app/bundles/stand-in/
RUN chown -R nginx:0 /var/cache/nginx /etc/nginx && chmod -R g+w /var/cache/nginx /etc/nginx
USER nginx
ENV ELEMENT_WEB_PORT=80
HEALTHCHECK --start-period=5s CMD wget -q --spider http://localhost:$ELEMENT_WEB_PORT/config.json
"""
SAMPLE = json.dumps({"brand": "Element"}) + "\n"
STAND_IN = StandIn(
    "element-web",
    PROGRAMS,
    nginx.DOCKERFILE + DOCKERFILE,
    {
        **nginx.FILES,
        "nginx.conf": nginx.nginx_conf("/var/cache/nginx"),
        "18-load-element-modules.sh": LOAD,
        "default.conf": DEFAULT,
        "default.conf.template": SITE,
        "index.html": PAGE,
        "bundle.js": BUNDLE,
        "version": VERSION,
        "config.json": SAMPLE,
        "config.sample.json": SAMPLE,
    },
)
