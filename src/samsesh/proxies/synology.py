"""The reverse proxy of a Synology NAS (DSM 7), which passes whole hosts on: its fields (DSM's help: Login Portal).

It adds the client's address to X-Forwarded-For, of which the gateway takes the last, and limits no sizes.
"""

from samsesh.proxies.fields import Entry, sheet
from samsesh.proxies.layout import Forward, Layout

LONG = 86_400  # seconds: long polls and calls are open for long
WHERE = (
    "Control Panel > Login Portal > Advanced > Reverse Proxy > Create, once for each of these.",
    "Then Control Panel > Security > Certificate > Settings: choose for each a certificate that has its name.",
)


def render(layout: Layout) -> str:
    def entry(forward: Forward) -> Entry:
        return (
            ("General: Reverse Proxy Name", f"{forward.host} {forward.port}"),
            ("General: Source: Protocol", "HTTPS"),
            ("General: Source: Hostname", forward.host),
            ("General: Source: Port", str(forward.port)),
            ("General: Source: Enable HSTS", "on" if layout.hsts else "off"),
            ("General: Destination: Protocol", "HTTP"),
            ("General: Destination: Hostname", layout.gateway),
            ("General: Destination: Port", str(forward.to)),
            ("Custom Header: Create", "WebSocket (it fills in Upgrade and Connection)"),
            ("Advanced Settings: Proxy send timeout", str(LONG)),
            ("Advanced Settings: Proxy read timeout", str(LONG)),
            ("Advanced Settings: Proxy HTTP version", "HTTP 1.1"),
        )

    return sheet(layout, "synology", WHERE, entry)
