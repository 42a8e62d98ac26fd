"""Configuration for a web server of the operator's that stands before the gateway: one module for each kind.

Each has `render(layout) -> str`. Pure: `layout.py` says what is to be served, they say it in their words.
"""

KINDS = ("nginx", "caddy", "traefik", "haproxy")
