"""An ACME directory that refuses every order as one that has had enough of a domain (RFC 8555, 6.7), run as a program.

Arguments: certificate and key (PEM), and how many hours its clock is ahead. It listens on 127.0.0.1:14000.
"""

import json
import secrets
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BASE = "https://127.0.0.1:14000"
DIRECTORY = {
    "newNonce": f"{BASE}/nonce",
    "newAccount": f"{BASE}/account",
    "newOrder": f"{BASE}/order",
    "revokeCert": f"{BASE}/revoke",
    "keyChange": f"{BASE}/key",
    "meta": {"termsOfService": f"{BASE}/terms"},
}
LIMIT = {
    "type": "urn:ietf:params:acme:error:rateLimited",
    "detail": "too many certificates already issued for this domain",
    "status": 429,
}


class Authority(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: Any, **headers: str) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        kind = "application/problem+json" if status >= 400 else "application/json"
        sent = {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            "Replay-Nonce": secrets.token_urlsafe(12),
        }
        for name, value in {**sent, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def date_time_string(self, timestamp: float | None = None) -> str:
        ahead = 3600 * float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
        return super().date_time_string((timestamp or time.time()) + ahead)

    def do_GET(self) -> None:
        self.answer(200, DIRECTORY if self.path == "/directory" else {})

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/account":
            self.answer(201, {"status": "valid"}, Location=f"{BASE}/account/1")
        else:
            self.answer(429, LIMIT)

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[1], sys.argv[2])
    server = ThreadingHTTPServer(("127.0.0.1", 14000), Authority)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
