"""A real gateway as it is planned behind a proxy; in the place of each service behind it one that says what it got."""

import http.server
import json
import os
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from conftest import free_offset
from programs import need
from proxies.running import wait
from samsesh.engines.native.placement import NativePlacement
from samsesh.facts import gather
from samsesh.home import Home
from samsesh.model import Context, Endpoint, Plan
from samsesh.plan import make_plan
from samsesh.secrets import preview
from samsesh.settings import Settings

BEHIND = ("synapse", "rtc-auth", "livekit")


@dataclass(frozen=True)
class Gateway:
    """One that runs. `key` is the doctor's."""

    settings: Settings
    plan: Plan
    key: str

    def port(self, name: str) -> int:
        return self.settings.ports.of(name)


@contextmanager
def gateway(folder: Path, **sections: object) -> Iterator[Gateway]:
    """Runs until the block ends, for example.test behind a proxy, in that folder."""
    usual = {
        "server": {"name": "example.test", "access": "domain", "address": "127.0.0.1", "trial": True},
        "tls": {"mode": "proxy"},
        "proxy": {"trusted": ["127.0.0.1/32"]},
        "media": {"upload_size": "30M"},
        "ports": {"offset": free_offset()},
    }
    settings, home = Settings.model_validate({**usual, **sections}), Home(folder / "home")
    facts = gather()
    facts = replace(
        facts, programs={"livekit-server": "livekit-server", **facts.programs, "caddy": need("caddy")}
    )
    context = Context(settings, preview(home), facts, NativePlacement(home, settings, facts))
    plan = make_plan(context)
    unit = plan.unit("gateway")
    with ExitStack() as running:
        home.runtime_dir().mkdir(parents=True, exist_ok=True)
        for file in unit.files:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            file.path.write_bytes(file.content)
        for name in BEHIND:
            running.enter_context(answering(name, context.place.listen(name)))
        with (folder / "gateway.log").open("wb") as log:
            process = subprocess.Popen(
                unit.command, env={**os.environ, **unit.env}, cwd=folder, stdout=log, stderr=log
            )
        try:
            wait(process, folder / "gateway.log", settings.ports.of("api"))
            yield Gateway(settings, plan, context.secrets.doctor_key.reveal())
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def answering(name: str, endpoint: Endpoint) -> Iterator[None]:
    """In the place of a service: tells its name and the path, as late as a `timeout` in milliseconds asks."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def address_string(self) -> str:
            return name

        def do_GET(self) -> None:
            end = time.monotonic() + int(parse_qs(urlsplit(self.path).query).get("timeout", ["0"])[0]) / 1000
            while (left := end - time.monotonic()) > 0:
                time.sleep(left)
            told = {"service": name, "path": self.path, "next_batch": "s1"}
            body = json.dumps({**told, "client": self.headers["X-Forwarded-For"]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - as http.server wants it

    class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
        daemon_threads = True
        allow_reuse_address = True

    class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
        daemon_threads = True

    if endpoint.socket:
        server: socketserver.BaseServer = UnixServer(str(endpoint.socket), Handler)
    else:
        server = Server((endpoint.host, endpoint.port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
