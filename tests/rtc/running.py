"""The running service as tests see it: start, ask, stop, and webhooks as LiveKit sends them."""

import hashlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import trustme

from rtc.homeservers import Homeservers

KEY, SECRET = "testkey", "a-secret-of-the-tests-that-is-long-enough"
Environ = dict[str, str]


def clean_environ() -> Environ:
    return {
        name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "SAMSESH_"))
    }


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass
class Rtc:
    """One process of `samsesh rtc-auth` (or a command that leads to one)."""

    environ: Environ
    log: Path
    command: tuple[str, ...] = (sys.executable, "-m", "samsesh", "rtc-auth")
    process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self) -> "Rtc":
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, env={**clean_environ(), **self.environ}, stderr=out, stdout=out, cwd="/"
            )
        wait_for(lambda: self.process.poll() is not None or '"listening"' in self.logged(), "it listens")
        assert self.process.poll() is None, self.logged()
        return self

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(30)

    def logged(self) -> str:
        return self.log.read_text()

    def connect(self, timeout: float = 40) -> http.client.HTTPConnection:
        bind = self.environ["LIVEKIT_JWT_BIND"]
        if bind.startswith("unix:"):
            return _UnixConnection(bind[5:], timeout)
        return http.client.HTTPConnection(bind, timeout=timeout)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Environ | None = None
    ) -> Answer:
        link = self.connect()
        try:
            link.request(method, path, body, headers or {})
            found = link.getresponse()
            low = {name.lower(): value for name, value in found.getheaders()}
            return Answer(found.status, low, found.read())
        finally:
            link.close()

    def post(self, path: str, body: Any, headers: Environ | None = None) -> Answer:
        return self.ask("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)


def wait_for(true: Callable[[], Any], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited for: {what}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the tests."""

    folder: Path
    ca: trustme.CA

    @property
    def bundle(self) -> str:
        return str(self.folder / "ca.pem")

    def issue(self, *names: str) -> str:
        path = self.folder / f"{len(list(self.folder.iterdir()))}.pem"
        self.ca.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(path)
        return str(path)


@dataclass(frozen=True)
class Local:
    """A homeserver on loopback: `name` is its server name, `url` where it is."""

    stub: Homeservers
    name: str
    url: str


Run = Callable[..., Rtc]


def current(server: str, user: str = "ann", *, token: str = "", **more: Any) -> dict[str, Any]:
    """A good body of /get_token."""
    openid = {
        "access_token": token or f"{user}@{server}",
        "token_type": "Bearer",
        "matrix_server_name": server,
        "expires_in": 3600,
    }
    member = {"id": "member", "claimed_user_id": f"@{user}:{server}", "claimed_device_id": "DEVICE"}
    return {
        "room_id": "!room:example.org",
        "slot_id": "m.call#ROOM",
        "openid_token": openid,
        "member": member,
        **more,
    }


def legacy(server: str, user: str = "ann", **more: Any) -> dict[str, Any]:
    """A good body of /sfu/get."""
    openid = current(server, user)["openid_token"]
    return {"room": "!room:example.org", "openid_token": openid, "device_id": "DEVICE", **more}


def event(kind: str = "room_started", room: str = "room", identity: str = "me") -> bytes:
    return json.dumps({"event": kind, "room": {"name": room}, "participant": {"identity": identity}}).encode()


def signed(body: bytes, secret: str = SECRET, **claims: Any) -> str:
    now = int(time.time())
    digest = b64encode(hashlib.sha256(body).digest()).decode()
    return jwt.encode({"iss": KEY, "nbf": now, "exp": now + 300, "sha256": digest, **claims}, secret, "HS256")


def deliver(rtc: Rtc, body: bytes, authorization: str) -> Answer:
    return rtc.post(
        "/sfu_webhook", body, {"Authorization": authorization, "Content-Type": "application/webhook+json"}
    )
