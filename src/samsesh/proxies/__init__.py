"""Configuration for a web server of the operator's that stands before the gateway: one module for each kind.

Each has `render(layout) -> str`. Pure: `layout.py` says what is to be served, they say it in their words.
"""

KINDS = ("nginx", "apache", "caddy", "traefik", "haproxy", "nginx-proxy-manager", "synology", "cloudflared")
ONLY_HTTPS = ("nginx-proxy-manager", "cloudflared")  # they have no port but 443
OWN_CERTIFICATES = ("nginx-proxy-manager", "synology", "cloudflared")  # they are given none by a file
