"""Measures what TLS costs at the gateway: one Caddy with a plain and a TLS port to the same place, printed as JSON.

    PYTHON scripts/bench_tls.py
PYTHON is that of the tests' environment. The routes and TLS policies are the gateway's own. A request goes over the plain
and the TLS connection in turn, both kept; then new connections, as a browser's first.
"""

import http.client
import json
import os
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import trustme

from samsesh.access import Access
from samsesh.facts import gather
from samsesh.home import Home
from samsesh.load import validate
from samsesh.model import Route
from samsesh.services.gateway import tls
from samsesh.services.gateway.handlers import route_json

TIMES, NEW = 3000, 200
BODY = json.dumps({"body": "x" * 2000})
HOST = "localhost"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def configuration(folder: Path, plain: int, secure: int) -> dict[str, object]:
    access = Access(validate({"server": {"access": "lan", "address": HOST}}, Home(folder)))
    route = route_json(Route("api", answer=(200, BODY)))
    shared = {"automatic_https": {"disable": True}, "routes": [route]}
    servers = {
        "plain": {**shared, "listen": [f"tcp4/127.0.0.1:{plain}"], "protocols": ["h1"]},
        "tls": {
            **shared,
            "listen": [f"tcp4/127.0.0.1:{secure}"],
            "protocols": ["h1", "h2"],
            "tls_connection_policies": tls.policies(access, "api"),
            "listener_wrappers": [{"wrapper": "http_redirect"}, {"wrapper": "tls"}],
        },
    }
    files = {"certificate": str(folder / "cert.pem"), "key": str(folder / "key.pem")}
    return {
        "admin": {"disabled": True},
        "apps": {
            "http": {"servers": servers},
            "tls": {"certificates": {"load_files": [files]}},
            "pki": {"certificate_authorities": {tls.AUTHORITY: {"install_trust": False}}},
        },
    }


def ask(link: http.client.HTTPConnection) -> float:
    began = time.perf_counter()
    link.request("GET", "/")
    answer = link.getresponse()
    answer.read()
    if answer.status != http.client.OK:
        raise SystemExit(f"the gateway answered {answer.status}")
    return time.perf_counter() - began


def measure(
    plain: Callable[[], http.client.HTTPConnection], secure: Callable[[], http.client.HTTPConnection]
) -> dict[str, float]:
    taken: dict[str, list[float]] = {"plain": [], "tls": []}
    kept = {"plain": plain(), "tls": secure()}
    for _ in range(TIMES):
        for name, link in kept.items():
            taken[name].append(ask(link))
    new: dict[str, list[float]] = {"plain": [], "tls": []}
    for _ in range(NEW):
        for name, make in (("plain", plain), ("tls", secure)):
            link = make()
            new[name].append(ask(link))
            link.close()
    for link in kept.values():
        link.close()
    medians = {name: statistics.median(values[100:]) * 1000 for name, values in taken.items()}
    first = {name: statistics.median(values[10:]) * 1000 for name, values in new.items()}
    return {
        "request over a kept TLS connection, ms": medians["tls"],
        "request over a kept plain connection, ms": medians["plain"],
        "what TLS adds to a request, ms": medians["tls"] - medians["plain"],
        "what TLS adds to a new connection, ms": first["tls"] - first["plain"],
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = trustme.CA()
        issued = authority.issue_cert(HOST)
        (folder / "cert.pem").write_bytes(issued.cert_chain_pems[0].bytes())
        (folder / "key.pem").write_bytes(issued.private_key_pem.bytes())
        trust = ssl.create_default_context()
        authority.configure_trust(trust)
        port, secure_port = free_port(), free_port()
        (folder / "caddy.json").write_text(json.dumps(configuration(folder, port, secure_port)))
        env = {"HOME": name, "XDG_DATA_HOME": name, "PATH": os.environ["PATH"]}
        command = [gather().programs["caddy"], "run", "--config", str(folder / "caddy.json")]
        with subprocess.Popen(
            command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as caddy:
            try:
                wait_for(secure_port)
                found = measure(
                    lambda: http.client.HTTPConnection(HOST, port, timeout=10),
                    lambda: http.client.HTTPSConnection(HOST, secure_port, timeout=10, context=trust),
                )
            finally:
                caddy.terminate()
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


def wait_for(port: int) -> None:
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


if __name__ == "__main__":
    main()
