"""A small real Synapse (SQLite, thrown away afterwards) with our module or without it, and people on it."""

import itertools
import json
import secrets
import sys
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote

import yaml

from pages.server import homeserver_yaml, running
from programs import free_port

MODULE = {"module": "samsesh.synapse_module.CallsModule", "config": {}}
BRIDGE_TOKEN = "of-a-bridge-that-lives-for-a-minute"
NUMBERS = itertools.count(1)
Json = dict[str, Any]


class RefusedError(Exception):
    """Synapse said no."""


@dataclass(frozen=True)
class Person:
    url: str
    token: str
    user_id: str
    device_id: str

    def ask(self, method: str, path: str, body: Json | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        request = urllib.request.Request(f"{self.url}/_matrix/client/v3{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except HTTPError as error:
            with error:
                raise RefusedError(f"{error.code} {error.read().decode()}") from None

    def create(self, version: str | None = None, **request: Any) -> str:
        body = {**request, **({"room_version": version} if version else {})}
        return str(self.ask("POST", "/createRoom", body)["room_id"])

    def levels(self, room: str) -> Json:
        found: Json = self.ask("GET", f"/rooms/{quote(room)}/state/m.room.power_levels/")
        return found

    def state(self, room: str) -> list[Json]:
        """All state, without what is new in each room."""
        kept = ("type", "state_key", "sender", "content")
        return [{key: event[key] for key in kept} for event in self.ask("GET", f"/rooms/{quote(room)}/state")]

    def join(self, room: str) -> None:
        self.ask("POST", f"/join/{quote(room)}", {})

    def call(self, room: str) -> None:
        """Join and leave a call as Element Call 0.26.1 does: a state key of the person, the device and the call."""
        key = quote(f"_{self.user_id}_{self.device_id}_m.call")
        membership = {
            "application": "m.call",
            "call_id": "",
            "scope": "m.room",
            "device_id": self.device_id,
            "expires": 14_400_000,
            "m.call.intent": "video",
            "foci_preferred": [],
            "focus_active": {"type": "livekit", "focus_selection": "oldest_membership"},
        }
        for content in (membership, {}):
            self.ask("PUT", f"/rooms/{quote(room)}/state/org.matrix.msc3401.call.member/{key}", content)


@dataclass(frozen=True)
class Homeserver:
    url: str

    def person(self, name: str = "") -> Person:
        body = {
            "username": name or f"person{next(NUMBERS)}",
            "password": secrets.token_hex(),
            "auth": {"type": "m.login.dummy"},
        }
        made = Person(self.url, "", "", "").ask("POST", "/register", body)
        return Person(self.url, made["access_token"], made["user_id"], made["device_id"])

    @property
    def bridge(self) -> Person:
        return Person(self.url, BRIDGE_TOKEN, "@bridge:localhost", "")


@contextmanager
def serving(folder: Path, **more: Any) -> Iterator[Homeserver]:
    """Synapse with `more` in its homeserver.yaml, until the end of the block."""
    port = free_port()
    generous = {"per_second": 1000, "burst_count": 10_000}
    registration: Json = {
        "id": "bridge",
        "url": None,
        "as_token": BRIDGE_TOKEN,
        "hs_token": "b",
        "sender_localpart": "bridge",
        "namespaces": {},
    }
    (folder / "bridge.yaml").write_text(yaml.safe_dump(registration))
    config = {
        "registration_requires_token": False,
        "enable_registration_without_verification": True,
        "password_config": {},
        "rc_message": generous,
        "rc_invites": {"per_room": generous, "per_user": generous, "per_issuer": generous},
        "rc_room_creation": generous,
        "rc_joins": {"local": generous},
        "app_service_config_files": [str(folder / "bridge.yaml")],
        **more,
    }
    path = folder / "homeserver.yaml"
    path.write_text(yaml.safe_dump(homeserver_yaml(folder, port, config)))
    seed = b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    (folder / "signing.key").write_text(f"ed25519 a_test {seed}\n")
    command = [sys.executable, "-m", "synapse.app.homeserver", "-c", str(path)]
    url = f"http://127.0.0.1:{port}"
    with running(command, folder / "log", f"{url}/health"):
        yield Homeserver(url)
