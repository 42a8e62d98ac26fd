"""Which web server stands before this one, by what it answers."""

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from samsesh import web_servers
from samsesh.proxies import KINDS


@pytest.mark.parametrize(
    ("status", "server", "page", "kind"),
    [
        (200, "nginx/1.22.1", b"", "nginx"),
        (404, "openresty", b"", "nginx-proxy-manager"),
        (200, "Apache/2.4.66 (Debian)", b"", "apache"),
        (308, "Caddy", b"", "caddy"),
        (530, "cloudflare", b"", "cloudflared"),
        (404, "", b"404 page not found\n", "traefik"),
        (503, "", b"<html>503\nNo server is available to handle this request.\n</html>", "haproxy"),
    ],
)
def test_by_what_it_answers(status: int, server: str, page: bytes, kind: str) -> None:
    """Those that say who they are by their word, Traefik and HAProxy by their own pages; each has its configuration."""
    found = web_servers.judged(status, {"server": server} if server else {}, page)
    assert found is not None and found.kind == kind and kind in KINDS


def test_others_are_not_named() -> None:
    """Who says something else, or nothing, is no web server that we know."""
    assert web_servers.judged(404, {"server": "gunicorn"}, b"404 page not found") is None
    assert web_servers.judged(200, {}, b"404 page not found") is None


def test_a_process_counts_over_an_answer(answering: Callable[[str], int]) -> None:
    """What holds the port is known by its name; else it is asked."""
    port = answering("Apache/2.4")
    assert web_servers.at_port(port) == web_servers.APACHE
    assert web_servers.at_port(port, " by nginx (pid 7)") == web_servers.NGINX


def test_a_nas(answering: Callable[[str], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nginx on a Synology NAS is set up by the pages of the NAS."""
    monkeypatch.setattr(web_servers, "DSM", tmp_path)
    found = web_servers.at_port(answering("nginx"))
    assert found and found.kind == "synology"


@pytest.fixture
def answering() -> Iterator[Callable[[str], int]]:
    """The port of a web server that calls itself so."""
    servers = []

    def start(name: str) -> int:
        class Handler(http.server.BaseHTTPRequestHandler):
            server_version, sys_version = name, ""

            def log_message(self, *args: object) -> None:
                pass

            def do_GET(self) -> None:
                self.send_error(404)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
