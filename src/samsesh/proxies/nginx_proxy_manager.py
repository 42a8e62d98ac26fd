"""Nginx Proxy Manager, which passes whole hosts on: the fields of its pages "Proxy Hosts" (its documentation: Guide).

It adds the client's address to X-Forwarded-For, of which the gateway takes the last, and passes paths on as they are.
"""

from samsesh.proxies.fields import Entry, sheet
from samsesh.proxies.layout import Forward, Layout

ADVANCED = (
    "client_max_body_size {size};",
    "proxy_request_buffering off;",
    "proxy_buffering off;",
    "proxy_read_timeout 1d;",
    "proxy_send_timeout 1d;",
)
WHERE = ("Hosts > Proxy Hosts > Add Proxy Host, once for each of these:",)


def render(layout: Layout) -> str:
    def entry(forward: Forward) -> Entry:
        return (
            ("Details: Domain Names", forward.host),
            ("Details: Scheme", "http"),
            ("Details: Forward Hostname / IP", layout.gateway),
            ("Details: Forward Port", str(forward.to)),
            ("Details: Cache Assets", "off"),
            ("Details: Block Common Exploits", "off"),
            ("Details: Websockets Support", "on"),
            ("Details: Access List", "Publicly Accessible"),
            ("SSL: SSL Certificate", "a certificate for this name"),
            ("SSL: Force SSL, HTTP/2 Support", "on"),
            ("SSL: HSTS Enabled", "on" if layout.hsts else "off"),
            ("Advanced: Custom Nginx Configuration", "\n".join(ADVANCED).format(size=layout.size)),
        )

    return sheet(layout, "nginx-proxy-manager", WHERE, entry)
