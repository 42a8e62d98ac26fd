"""The gateway's log, and what it tells those behind it, by a real Caddy."""

import socket
import subprocess
import threading
from contextlib import closing, suppress
from pathlib import Path

import httpx2
import pytest

from programs import free_port
from samsesh.engines.native.placement import NativePlacement
from samsesh.facts import gather
from samsesh.formats import to_caddy_json
from samsesh.home import Home
from samsesh.model import Context, Endpoint, Offer, Route
from samsesh.secrets import preview
from samsesh.services import synapse
from samsesh.services.gateway.caddy import caddy_json, log_encoder
from samsesh.services.gateway.handlers import ending_connections, error_routes, route_json
from samsesh.settings import Settings

FORGED = dict.fromkeys(
    ("X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP", "True-Client-IP"), "203.0.113.66"
)
CADDY = gather().programs.get("caddy", "")


def cut_off(listener: socket.socket) -> None:
    """Answers the first request with less than it says."""
    link, _ = listener.accept()
    with link:
        link.recv(4096)
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")


@pytest.mark.needs("caddy")
def test_no_token_of_an_address_is_logged(tmp_path: Path) -> None:
    """LiveKit's tokens stand in addresses, since browsers send them no other way: what Caddy logs of one has none."""
    with socket.create_server(("127.0.0.1", 0)) as backend:
        route = route_json(Route("livekit", upstream=Endpoint(*backend.getsockname())))
        port = free_port()
        server = {"listen": [f"127.0.0.1:{port}"], "automatic_https": {"disable": True}, "routes": [route]}
        log = {"writer": {"output": "stderr"}, "encoder": log_encoder(), "level": "WARN"}
        config = {
            "admin": {"disabled": True},
            "logging": {"logs": {"default": log}},
            "apps": {"http": {"servers": {"livekit": server}}},
        }
        (tmp_path / "caddy.json").write_bytes(to_caddy_json(config))
        threading.Thread(target=cut_off, args=(backend,), daemon=True).start()
        command = [CADDY, "run", "--config", str(tmp_path / "caddy.json")]
        env = {"HOME": str(tmp_path)}
        with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as caddy:
            try:
                transport = httpx2.HTTPTransport(retries=5)  # until it listens
                with (
                    closing(httpx2.Client(transport=transport, trust_env=False)) as client,
                    pytest.raises(httpx2.RemoteProtocolError),
                ):
                    client.get(
                        f"http://127.0.0.1:{port}/rtc/validate?access_token=a-token",
                        headers={"Referer": "https://example.org/register?token=a-token"},
                    )
            finally:
                caddy.terminate()
            assert caddy.stderr
            logged = caddy.stderr.read()
    assert "incomplete response" in logged and "/rtc/validate" in logged
    assert "a-token" not in logged
    assert "\tWARN\t" in logged  # as the doctor looks for errors: without colours


@pytest.mark.skipif(not CADDY, reason="Caddy is not installed")
def test_plain_http_leads_to_our_own_hosts_only(tmp_path: Path) -> None:
    """Port 80 sends nobody to a host that a request made up; our own names keep their path and query."""
    settings = Settings.model_validate({"server": {"name": "example.org", "access": "domain"}})
    facts = gather()
    context = Context(
        settings, preview(Home(tmp_path)), facts, NativePlacement(Home(tmp_path), settings, facts)
    )
    plain = caddy_json(context, Offer(routes=(Route("web"), Route("api"))))["apps"]["http"]["servers"]["http"]
    port = free_port()
    servers = {"http": {**plain, "listen": [f"127.0.0.1:{port}"]}}
    config = {"admin": {"disabled": True}, "apps": {"http": {"servers": servers}}}
    (tmp_path / "caddy.json").write_bytes(to_caddy_json(config))
    command = [CADDY, "run", "--config", str(tmp_path / "caddy.json")]
    with subprocess.Popen(command, env={"HOME": str(tmp_path)}, stderr=subprocess.DEVNULL) as caddy:
        try:
            transport = httpx2.HTTPTransport(retries=5)  # until it listens
            with closing(httpx2.Client(transport=transport, trust_env=False)) as client:
                answers = {
                    host: client.get(
                        f"http://127.0.0.1:{port}/a/{{env.HOME}}?b={{env.HOME}}", headers={"Host": host}
                    )
                    for host in (
                        "chat.example.org",
                        "CHAT.example.org:80",
                        "example.org",
                        "evil.test",
                        "127.0.0.1",
                    )
                }
        finally:
            caddy.terminate()
    assert {host: answer.status_code for host, answer in answers.items()} == {
        **dict.fromkeys(("chat.example.org", "CHAT.example.org:80", "example.org"), 302),
        **dict.fromkeys(("evil.test", "127.0.0.1"), 404),
    }
    leads = answers["chat.example.org"].headers["location"]
    assert leads.startswith("https://chat.example.org/a/") and str(tmp_path) not in leads


def heard(listener: socket.socket, requests: list[bytes]) -> None:
    """Keeps the head of each request, and answers before it has read the rest."""
    while True:
        try:
            link, _ = listener.accept()
        except OSError:
            return
        with link:
            requests.append(link.recv(4096).lower())
            link.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            link.settimeout(1)
            with suppress(OSError):
                while link.recv(65536):
                    pass


@pytest.mark.needs("caddy")
def test_what_is_behind_gets_one_true_address(tmp_path: Path) -> None:
    """Whatever a client says of itself, and one request is answered once: what is left of its body is no other."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as backend:
        route = route_json(Route("api", upstream=Endpoint(*backend.getsockname())))
        port = free_port()
        server = {
            "listen": [f"127.0.0.1:{port}"],
            "automatic_https": {"disable": True},
            "routes": [ending_connections(always=False), route],
            "errors": {"routes": error_routes()},
        }
        config = {"admin": {"disabled": True}, "apps": {"http": {"servers": {"api": server}}}}
        (tmp_path / "caddy.json").write_bytes(to_caddy_json(config))
        threading.Thread(target=heard, args=(backend, requests), daemon=True).start()
        command = [CADDY, "run", "--config", str(tmp_path / "caddy.json")]
        with subprocess.Popen(command, env={"HOME": str(tmp_path)}, stderr=subprocess.DEVNULL) as caddy:
            try:
                transport = httpx2.HTTPTransport(retries=5)  # until it listens
                with closing(httpx2.Client(transport=transport, trust_env=False)) as client:
                    client.get(f"http://127.0.0.1:{port}/", headers=FORGED)
                answers = at_once(port, b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n" * 100_000)
            finally:
                caddy.terminate()
    assert b"\r\nx-forwarded-for: 127.0.0.1\r\n" in requests[0]
    assert b"203.0.113.66" not in requests[0]
    assert answers <= 1 and len(requests) == 2


@pytest.mark.needs("caddy")
def test_the_admin_api_has_a_port_of_its_own(tmp_path: Path) -> None:
    """`synapse.admin_api`: tools reach it and log in there; at the port of apps it stays closed."""
    numbers = {"admin_api": free_port(), "api": free_port()}
    settings = Settings.model_validate({"ports": numbers, "synapse": {"admin_api": True}})
    home, facts = Home(tmp_path), gather()
    context = Context(settings, preview(home), facts, NativePlacement(home, settings, facts))
    servers = caddy_json(context, synapse.offer(context))["apps"]["http"]["servers"]
    two = {name: servers[name] for name in numbers}
    config = {"admin": {"disabled": True}, "apps": {"http": {"servers": two}}}
    (tmp_path / "caddy.json").write_bytes(to_caddy_json(config))
    home.make_runtime_dir()
    requests: list[bytes] = []
    with socket.socket(socket.AF_UNIX) as backend:
        backend.bind(str(context.place.reach("synapse").socket))
        backend.listen()
        threading.Thread(target=heard, args=(backend, requests), daemon=True).start()
        command = [CADDY, "run", "--config", str(tmp_path / "caddy.json")]
        with subprocess.Popen(command, env={"HOME": str(tmp_path)}, stderr=subprocess.DEVNULL) as caddy:
            try:
                transport = httpx2.HTTPTransport(retries=6)  # until it listens
                with closing(httpx2.Client(transport=transport, trust_env=False)) as client:
                    answers = {
                        (name, path): client.get(f"http://127.0.0.1:{numbers[name]}{path}").text
                        for name in ("admin_api", "api")
                        for path in ("/_synapse/admin/v1/rooms", "/_matrix/client/versions", "/")
                    }
            finally:
                caddy.terminate()
    passed = {place for place, text in answers.items() if text == "no"}
    assert passed == {
        ("admin_api", "/_synapse/admin/v1/rooms"),
        ("admin_api", "/_matrix/client/versions"),
        ("api", "/_matrix/client/versions"),
    }


def at_once(port: int, body: bytes) -> int:
    """Sends a request with that body; how many answers come."""
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        with suppress(OSError):  # it hangs up before it has heard all
            link.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        with suppress(ConnectionResetError):
            while (more := link.recv(65536)) and len(got) < 1_000_000:
                got += more
    return got.count(b"HTTP/1.1 ")
