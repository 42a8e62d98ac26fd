"""What the tests of public servers share: hosts, addresses, where names lead, certificates, and the doctor."""

import datetime
import json
from typing import Any

import trustme

from access.network import Network
from conftest import Stack, give_to_service_user
from system.trouble import Done

OWN, ROUTER, HOME = "203.0.113.10", "198.51.100.7", "192.168.7.5"
CDN = "104.16.132.229"  # Cloudflare's
HOSTS = ("example.org", "chat.example.org", "matrix.example.org", "call.example.org", "rtc.example.org")
WEB_SERVER = """
from http.server import *
import sys
BaseHTTPRequestHandler.server_version, BaseHTTPRequestHandler.sys_version = sys.argv[1], ""
server = HTTPServer(("0.0.0.0", 80), BaseHTTPRequestHandler)
print("ready", flush=True)
server.serve_forever()
"""


def certificate(stack: Stack, ca: trustme.CA, *hosts: str, days: float = 90) -> None:
    """Own files in the home, and the settings that name them."""
    now = datetime.datetime.now(datetime.UTC)
    made = ca.issue_cert(*hosts, not_after=now + datetime.timedelta(days=days))
    for name, parts in (("chain.pem", made.cert_chain_pems), ("key.pem", [made.private_key_pem])):
        path = stack.path / name
        path.write_bytes(b"".join(part.bytes() for part in parts))
        give_to_service_user(path)


def lead(net: Network, *addresses: str, **other: str) -> None:
    """All names lead to these addresses, but `other` ones."""
    net.publish(**{host.replace(".", "__"): " ".join(addresses) for host in HOSTS} | other)


def up(stack: Stack, *more: str) -> Done:
    return stack.cli("up", "--yes", *more)


def checks(stack: Stack, *names: str) -> dict[str, dict[str, Any]]:
    found = json.loads(stack.cli("doctor", *names, "--json").stdout)
    return {one["id"]: one for one in found["checks"]}
