"""Homeservers over TLS for these tests, as a thread here or as the whole internet of a network namespace.

    python homeservers.py SPEC     inside `unshare --net --mount`: addresses, a name server, homeservers, and the service

Userinfo says what the token asks for: `ann@example.org` is that user, `401` is refused, `to:URL` redirects, `raw:TEXT`
answers that text, `slow` does not answer. Every request is noted.
"""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

USERINFO = "/_matrix/federation/v1/openid/userinfo"
Hit = dict[str, Any]


class Homeservers:
    """Any number of listeners with one certificate.

    `pages`: by host and path, a JSON value; {"to": URL} redirects, {"size": n} makes it so much larger.
    """

    def __init__(self, certificate: str | None, pages: dict[str, Any] | None = None) -> None:
        self.pages = pages or {}
        self.hits: list[Hit] = []
        self.log: Path | None = None
        self.slow = threading.Event()  # set at the end, so that slow answers end
        self.links: set[socket.socket] = set()  # that are open: kept connections outlive the listener
        self._context: ssl.SSLContext | None = None
        self._servers: list[ThreadingHTTPServer] = []
        if certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
            self._context.sni_callback = lambda link, name, _: setattr(link, "asked_for", name)

    def listen(self, address: str, port: int = 0) -> int:
        """On an address and port, or on a unix socket's path."""
        if address.startswith("/"):
            server: ThreadingHTTPServer = _ServerUnix(address, type("Handler", (_Handler,), {"stub": self}))  # type: ignore[arg-type]
        else:
            kind = _Server6 if ":" in address else _Server
            server = kind((address, port), type("Handler", (_Handler,), {"stub": self}))
        if self._context:
            server.socket = self._context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        self._servers.append(server)
        return 0 if address.startswith("/") else int(server.server_address[1])

    def note(self, hit: Hit) -> None:
        self.hits.append(hit)
        if self.log:
            with self.log.open("a") as out:
                out.write(json.dumps(hit) + "\n")

    def stop(self) -> None:
        self.slow.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers.clear()
        for link in list(self.links):
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not like our certificate is no news."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _ServerUnix(_Server):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)

    def get_request(self) -> tuple[Any, Any]:
        return self.socket.accept()[0], ("unix", 0)


class _Handler(BaseHTTPRequestHandler):
    stub: Homeservers
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.stub.links.add(self.request)

    def finish(self) -> None:
        self.stub.links.discard(self.request)
        super().finish()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.note()
        if parts.path == USERINFO:
            self.userinfo(parse_qs(parts.query).get("access_token", [""])[0])
            return
        host = self.headers["Host"].rpartition(":")[0] or self.headers["Host"]
        page = self.stub.pages.get(f"{host}{parts.path}")
        if page is None:
            self.answer(404, b"{}")
        elif isinstance(page, dict) and "to" in page:
            self.answer(302, b"", page["to"])
        elif isinstance(page, dict) and "size" in page:
            self.answer(200, json.dumps({**page, "padding": "x" * page["size"]}).encode())
        else:
            self.answer(200, json.dumps(page).encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.note()
        self.answer(200, b"{}")

    def userinfo(self, token: str) -> None:
        if token == "401":
            self.answer(401, b'{"errcode":"M_UNKNOWN_TOKEN"}')
        elif token == "big":
            self.answer(200, b" " * 70_000 + b"{}")
        elif token == "slow":
            self.stub.slow.wait(60)
            self.close_connection = True
        elif token.startswith("to:"):
            self.answer(302, b"", token[3:])
        elif token.startswith("raw:"):
            self.answer(200, token[4:].encode())
        else:
            name, _, server = token.partition("@")
            self.answer(200, json.dumps({"sub": f"@{name}:{server}"}).encode())

    def note(self) -> None:
        local = self.request.getsockname()
        local = (local, 0) if isinstance(local, str) else local
        sni = getattr(self.request, "asked_for", None)
        hit = {"to": local[0], "port": local[1], "host": self.headers["Host"], "sni": sni}
        forwarded = self.headers.get("X-Forwarded-For")
        self.stub.note({**hit, "method": self.command, "path": self.path, "forwarded": forwarded})

    def answer(self, status: int, body: bytes, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing: hits are kept."""


def main() -> None:
    sys.path.append(str(Path(__file__).parents[1]))  # as a program it is only beside its neighbours
    import nameserver

    spec = json.loads(Path(sys.argv[1]).read_text())
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in spec["addresses"]:
        nodad = ["nodad"] if ":" in address else []
        subprocess.run(["ip", "addr", "add", address, "dev", "lo", *nodad], check=True)
    resolv = Path(sys.argv[1]).with_name("resolv.conf")
    resolv.write_text("nameserver 127.0.0.1\n")
    subprocess.run(["mount", "--bind", str(resolv), "/etc/resolv.conf"], check=True)
    stub = Homeservers(spec["certificate"], spec["pages"])
    stub.log = Path(spec["hits"])
    for address, port in spec["listen"]:
        stub.listen(address, port)
    nameserver.serve("127.0.0.1", lambda: spec["records"])
    service = subprocess.Popen(spec["command"], env={**os.environ, **spec["environ"]})
    signal.signal(signal.SIGTERM, lambda *_: service.terminate())
    sys.exit(service.wait())


if __name__ == "__main__":
    main()
