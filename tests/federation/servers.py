"""Servers of ours on machines of their own, each with certificates of a private authority that the others trust."""

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import trustme

from calls.call import PASSWORD
from conftest import Stack, give_to_service_user
from federation.network import Machine
from samsesh.clients.participant import Call, Pair, Transport
from system.clients import Device

SERVICES = ("matrix", "chat", "call", "rtc")
Tables = dict[str, dict[str, Any]]
NETWORKS = ["10.99.0.0/24", "fd00:99::/64"]


def hosts_of(domain: str) -> list[str]:
    return [domain, *(f"{service}.{domain}" for service in SERVICES)]


@dataclass
class Server:
    """One server; `name` is its server name, `api` where clients find it."""

    name: str
    api: str
    machine: Machine
    stack: Stack
    trust: ssl.SSLContext

    def http(self, url: str = "") -> httpx2.Client:
        return httpx2.Client(base_url=url or self.api, verify=self.trust, trust_env=False, timeout=60)

    def set(self, **federation: Any) -> None:
        """Change settings of federation and apply them."""
        for key, value in federation.items():
            done = self.stack.cli("config", "set", f"federation.{key}", json.dumps(value))
            assert done.returncode == 0, done.stderr
        self.stack.up()

    def meet(self, authorities: "Authorities") -> None:
        """Trust everybody who is there by now."""
        (self.stack.path / "authorities.pem").write_bytes(authorities.bundle.read_bytes())
        self.stack.up()
        self.trust = authorities.trust()

    def log_in(self, user: str) -> "Account":
        """A new account's first device."""
        added = self.stack.cli("user", "add", user, "--password-stdin", stdin=f"{PASSWORD}\n")
        assert added.returncode == 0, added.stderr
        who = {"type": "m.id.user", "user": user}
        body = {"type": "m.login.password", "identifier": who, "password": PASSWORD}
        with self.http() as http:
            return Account(self, Device.of(http.post("/_matrix/client/v3/login", json=body)))

    @property
    def log(self) -> str:
        return (self.stack.home.logs_dir / "synapse/homeserver.log").read_text()


@dataclass(frozen=True)
class Account:
    """Somebody with a token, who asks the client API as it is written."""

    server: Server
    device: Device

    @property
    def id(self) -> str:
        return self.device.user_id

    def ask(self, method: str, path: str, body: Any = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.device.access_token}"}
        with self.server.http() as http:
            return http.request(method, f"/_matrix/client/{path}", json=body, headers=headers)

    def get(self, path: str) -> Any:
        return good(self.ask("GET", path))

    def post(self, path: str, body: Any) -> Any:
        return good(self.ask("POST", path, body))

    def room(self, alias: str, **more: Any) -> str:
        """A public room of that alias."""
        return str(
            self.post("v3/createRoom", {"preset": "public_chat", "room_alias_name": alias, **more})["room_id"]
        )

    def join(self, alias: str) -> httpx2.Response:
        return self.ask("POST", f"v3/join/{quote(alias)}", {})

    def say(self, room: str, words: str) -> None:
        body = {"msgtype": "m.text", "body": words}
        good(self.ask("PUT", f"v3/rooms/{quote(room)}/send/m.room.message/{quote(words)}", body))

    def reads(self, room: str) -> list[str]:
        """The messages of a short room, oldest first."""
        found = self.get(f"v3/rooms/{quote(room)}/messages?dir=b&limit=100")["chunk"]
        return [event["content"]["body"] for event in reversed(found) if event["type"] == "m.room.message"]


def good(answer: httpx2.Response) -> Any:
    assert answer.status_code == 200, answer.text
    return answer.json()


@dataclass
class Authorities:
    """Everybody's: of `files`, whose certificates are files, and those that gateways have of their own."""

    folder: Path
    ca: trustme.CA

    @property
    def bundle(self) -> Path:
        return self.folder / "everybody.pem"

    def add(self, root: Path) -> None:
        with self.bundle.open("ab") as out:
            out.write(root.read_bytes())

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.bundle))


@contextmanager
def server(
    home: Path,
    machine: Machine,
    name: str,
    api: str,
    authorities: Authorities,
    settings: Tables,
) -> Iterator[Server]:
    """A server that runs until the end of the block; its own authority is everybody's from then on."""
    home.mkdir(mode=0o700)
    (home / "authorities.pem").write_bytes(authorities.bundle.read_bytes())
    if settings.get("tls", {}).get("mode") == "files":
        certificate = authorities.ca.issue_cert(*hosts_of(name.partition(":")[0]))
        (home / "key.pem").write_bytes(certificate.private_key_pem.bytes())
        (home / "chain.pem").write_bytes(b"".join(one.bytes() for one in certificate.cert_chain_pems))
    (home / "samsesh.toml").write_text(toml(settings))
    give_to_service_user(home)
    made = Server(name, api, machine, Stack(home, 0, prefix=machine.prefix), authorities.trust())
    try:
        made.stack.up()
        root = home / "data/gateway/pki/authorities/local/root.crt"
        if root.exists():
            authorities.add(root)
        made.trust = authorities.trust()
        yield made
    finally:
        made.stack.cli("down")


def toml(settings: Tables) -> str:
    return "\n".join(
        f"[{section}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for section, values in settings.items()
    )


def in_a_call(
    machine: Machine,
    authorities: Authorities,
    url: str,
    tokens: tuple[str, str],
    transport: Transport = "udp",
) -> Call:
    """Two participants on that machine, in a process of their own that trusts everybody."""
    asked = {"url": url, "tokens": tokens, "transport": transport, "seconds": 20}
    done = subprocess.run(
        [*machine.prefix, sys.executable, "-I", "-m", "samsesh.clients.participant"],
        input=json.dumps(asked),
        env={**os.environ, "SSL_CERT_FILE": str(authorities.bundle)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return Call(**{**found, "pairs": tuple(Pair(**pair) for pair in found["pairs"])})
