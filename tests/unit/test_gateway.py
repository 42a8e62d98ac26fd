"""The gateway's log, by a real Caddy."""

import json
import socket
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from programs import free_port
from samsesh.facts import gather
from samsesh.model import Endpoint, Route
from samsesh.services.gateway.caddy import log_encoder
from samsesh.services.gateway.handlers import route_json

CADDY = gather().programs.get("caddy", "")


def cut_off(listener: socket.socket) -> None:
    """Answers the first request with less than it says."""
    link, _ = listener.accept()
    with link:
        link.recv(4096)
        link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")


@pytest.mark.skipif(not CADDY, reason="Caddy is not installed")
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
        (tmp_path / "caddy.json").write_text(json.dumps(config))
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
                    client.get(f"http://127.0.0.1:{port}/rtc/validate?access_token=a-token")
            finally:
                caddy.terminate()
            assert caddy.stderr
            logged = caddy.stderr.read()
    assert "incomplete response" in logged and "/rtc/validate" in logged
    assert "a-token" not in logged
    assert "\tWARN\t" in logged  # as the doctor looks for errors: without colours
