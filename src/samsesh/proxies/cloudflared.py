"""A tunnel of Cloudflare's: config.yml with a rule for each host (its documentation: Configuration file).

Cloudflare adds the client's address to X-Forwarded-For, of which the gateway takes the last. Only what comes to it by
https passes: no media of calls, and no port but 443.
"""

from typing import Any

from samsesh import names
from samsesh.formats import without_header
from samsesh.proxies.layout import Layout

TUNNEL = "samsesh"


def render(layout: Layout) -> str:
    address = names.in_url(layout.gateway)
    rules: list[dict[str, Any]] = [
        {"hostname": forward.host, "service": f"http://{address}:{forward.to}"} for forward in layout.forwards
    ]
    data = {
        "tunnel": TUNNEL,
        "credentials-file": f"/etc/cloudflared/{TUNNEL}.json",
        "ingress": [*rules, {"service": "http_status:404"}],
    }
    note = (
        f"# Before it: cloudflared tunnel create {TUNNEL}; and cloudflared tunnel route dns {TUNNEL} HOST\n"
    )
    return f"# {layout.about('cloudflared')}\n{note}" + without_header(data)
