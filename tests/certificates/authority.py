"""A certificate authority for tests: a real ACME server (pebble), and a DNS server that leads every name to loopback."""

import http.server
import json
import os
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset
import trustme

from programs import free_port, pebble


class _Names(socketserver.StreamRequestHandler):
    """DNS over TCP (RFC 1035, 4.2.2), as pebble asks: one address for every name."""

    server: "_NameServer"

    def handle(self) -> None:
        while len(head := self.rfile.read(2)) == 2:
            query = dns.message.from_wire(self.rfile.read(int.from_bytes(head)))
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            question = query.question[0]
            if question.rdtype == dns.rdatatype.A:
                answer.answer.append(dns.rrset.from_text(question.name, 1, "IN", "A", self.server.address))
            wire = answer.to_wire()
            self.wfile.write(len(wire).to_bytes(2) + wire)


class _NameServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    address: str


TOO_MANY = "too many certificates (5) already issued for this exact set of identifiers in the last 168h"


@contextmanager
def names_at(address: str) -> Iterator[int]:
    """The port of a DNS server that knows one address for every name."""
    with _NameServer(("127.0.0.1", 0), _Names) as server:
        server.address = address
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@dataclass
class Pebble:
    """An ACME server that runs, and can be stopped and started again; it forgets everything then."""

    folder: Path
    port: int
    management: int
    dns: int
    host: str = "127.0.0.1"
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def directory(self) -> str:
        return f"https://{self.host}:{self.port}/dir"

    @property
    def ca(self) -> Path:
        """With which its own https is checked."""
        return self.folder / "directory_ca.pem"

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def start(self, *, http: int, https: int, validity: int = 86_400, refuse: int = 5) -> None:
        """`http`, `https`: where it looks for answers; `validity`: seconds; `refuse`: per cent of nonces refused."""
        self.stop()
        profiles = {
            name: {"description": name, "validityPeriod": validity} for name in ("default", "shortlived")
        }
        config = {
            "pebble": {
                "listenAddress": f"{self.host}:{self.port}",
                "managementListenAddress": f"127.0.0.1:{self.management}",
                "certificate": str(self.folder / "cert.pem"),
                "privateKey": str(self.folder / "key.pem"),
                "httpPort": http,
                "tlsPort": https,
                "keyAlgorithm": "ecdsa",
                "retryAfter": {"authz": 1, "order": 1},
                "profiles": profiles,
            }
        }
        (self.folder / "pebble.json").write_text(json.dumps(config))
        config_file = str(self.folder / "pebble.json")
        command = [str(pebble()), "-config", config_file, "-dnsserver", f"127.0.0.1:{self.dns}"]
        env = {"PATH": os.environ["PATH"], "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": str(refuse)}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while True:
            with suppress(OSError), socket.create_connection((self.host, self.port), 1):
                return
            assert time.monotonic() < end, self.log
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(10)
            self.process = None

    def root(self) -> Path:
        """The root of what it issues, in a file; another one after each start."""
        trust = ssl.create_default_context(cafile=str(self.ca))
        url = f"https://127.0.0.1:{self.management}/roots/0"
        path = self.folder / "root.pem"
        with urllib.request.urlopen(url, context=trust, timeout=10) as answer:
            path.write_bytes(answer.read())
        return path

    def settings(self) -> dict[str, Any]:
        return {"tls.directory": self.directory, "tls.directory_ca": str(self.ca)}


class _Refusal(http.server.BaseHTTPRequestHandler):
    """An ACME directory (RFC 8555) whose orders are all refused, as Let's Encrypt does it where there were too many."""

    protocol_version = "HTTP/1.1"
    server: "_Refusing"

    def do_GET(self) -> None:
        names = {"newNonce": "nonce", "newAccount": "account", "newOrder": "order", "keyChange": "x"}
        here = f"https://127.0.0.1:{self.server.server_port}"
        profiles = {"profiles": {"shortlived": "for addresses"}}
        self._say(200, {**{name: f"{here}/{path}" for name, path in names.items()}, "meta": profiles})

    def do_HEAD(self) -> None:
        self._say(200, {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/account":
            self._say(201, {"status": "valid"})
            return
        self.server.orders.append(time.monotonic())
        told = {"type": "urn:ietf:params:acme:error:rateLimited", "detail": TOO_MANY, "status": 429}
        self._say(429, told)

    def _say(self, status: int, told: dict[str, Any]) -> None:
        body = b"" if self.command == "HEAD" else json.dumps(told).encode()
        self.send_response(status)
        self.send_header("Replay-Nonce", f"nonce{time.monotonic_ns()}")
        self.send_header("Location", f"https://127.0.0.1:{self.server.server_port}/my-account/1")
        kind = "application/problem+json" if status == 429 else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
        """Nothing."""


class _Refusing(http.server.ThreadingHTTPServer):
    orders: list[float]


@contextmanager
def refusing(instead: Pebble) -> Iterator[list[float]]:
    """At the address of a pebble that is stopped: an authority that says no. Gives the times at which it was asked."""
    instead.stop()
    with _Refusing(("127.0.0.1", instead.port), _Refusal) as server:
        server.orders = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(instead.folder / "cert.pem", instead.folder / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        yield server.orders
        server.shutdown()


@contextmanager
def authority(folder: Path, host: str = "127.0.0.1") -> Iterator[Pebble]:
    """Not yet started; it is at that address, and takes every name for it. `folder` must be readable for the server's
    user.
    """
    folder.mkdir(mode=0o755)
    own = trustme.CA()
    certificate = own.issue_cert("127.0.0.1", "localhost", host)
    own.cert_pem.write_to_path(str(folder / "directory_ca.pem"))
    (folder / "directory_ca.pem").chmod(0o644)
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
    with names_at(host) as port:
        made = Pebble(folder, free_port(), free_port(), port, host)
        try:
            yield made
        finally:
            made.stop()
