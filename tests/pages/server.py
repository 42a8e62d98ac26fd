"""A real Synapse (SQLite, thrown away afterwards) behind a real Caddy that serves the pages with their headers."""

import hashlib
import hmac
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import yaml

from programs import free_port
from samsesh import pages
from samsesh.formats import to_caddy_json
from samsesh.model import Endpoint, ErrorPages, Route
from samsesh.pages.words import LANGUAGES
from samsesh.services.gateway.errors import error_routes, intercept_routes
from samsesh.services.gateway.handlers import route_json

SHARED_SECRET = "of a server that lives for a minute"
FACTS = pages.PageFacts(
    brand="SamSesh Chat",
    theme="dark",
    server_name="localhost",
    homeserver_url="http://localhost:8008",
    web_url="http://localhost:8080",
    admin_url="http://localhost:8081",
    registration="token",
    footer_links=(("SamSesh", "https://samsesh.net"), ("Blog", "https://blog.samsesh.net")),
    logo=None,
    logo_type="image/svg+xml",
    password_min_length=8,
    local_only=False,
    version="1.2.3",
    command="./samsesh",
)


@dataclass
class Site:
    web_url: str
    homeserver_url: str
    admin_url: str
    admin: dict[str, str] = field(default_factory=dict)  # headers of an administrator

    def new_token(self, uses: int = 1, **more: Any) -> str:
        """A registration token of Synapse; `expiry_time` (ms) may be given."""
        body = {"uses_allowed": uses, **more}
        path = "/_synapse/admin/v1/registration_tokens/new"
        return str(ask(self.homeserver_url + path, body, self.admin)["token"])

    def login(self, name: str, password: str) -> str:
        """The user ID that a log-in by password gives."""
        identifier = {"type": "m.id.user", "user": name}
        body = {"type": "m.login.password", "identifier": identifier, "password": password}
        return str(ask(f"{self.homeserver_url}/_matrix/client/v3/login", body)["user_id"])


def ask(
    url: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, headers or {}), timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@contextmanager
def running(command: list[str], log: Path, url: str) -> Iterator[None]:
    """A program that answers at `url` within a minute, and is gone afterwards."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=log.parent)
        try:
            deadline = time.monotonic() + 60
            while not answers(url):
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.1)
            yield
        finally:
            process.terminate()
            process.wait(30)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=2).close()
    except (URLError, OSError):
        return False
    return True


@contextmanager
def serving(folder: Path, **synapse: Any) -> Iterator[Site]:
    """The whole site; `synapse` goes into homeserver.yaml."""
    web, api, admin, inner = [free_port() for _ in range(4)]
    site = Site(f"http://localhost:{web}", f"http://localhost:{api}", f"http://localhost:{admin}")
    facts = replace(
        FACTS,
        web_url=site.web_url,
        homeserver_url=site.homeserver_url,
        admin_url=site.admin_url,
        theme="auto",
        own_ca=True,
        registration="token" if synapse.get("registration_requires_token", True) else "open",
    )
    homeserver = folder / "homeserver.yaml"
    homeserver.write_text(yaml.safe_dump(homeserver_yaml(folder, inner, synapse)))
    caddy = folder / "caddy.json"
    caddy.write_bytes(to_caddy_json(caddy_json(folder, facts, (web, api, admin, inner))))
    python = Path(sys.executable)
    synapse_command = [str(python), "-m", "synapse.app.homeserver", "-c", str(homeserver)]
    caddy_command = [str(python.with_name("caddy")), "run", "--config", str(caddy)]
    subprocess.run(
        [*synapse_command, "--generate-keys"], check=True, cwd=folder, capture_output=True, timeout=60
    )
    with (
        running(synapse_command, folder / "synapse.log", f"http://localhost:{inner}/health"),
        running(caddy_command, folder / "caddy.log", site.web_url),
    ):
        site.admin = {"Authorization": f"Bearer {first_admin(site)}"}
        yield site


def homeserver_yaml(folder: Path, port: int, more: dict[str, Any]) -> dict[str, Any]:
    names = ["client", "openid", *(["consent"] if "user_consent" in more else [])]
    generous = {"per_second": 1000, "burst_count": 1000}
    return {
        "server_name": "localhost",
        "listeners": [
            {
                "port": port,
                "bind_addresses": ["127.0.0.1"],
                "type": "http",
                "x_forwarded": True,
                "resources": [{"names": names}],
            }
        ],
        "database": {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}},
        "media_store_path": str(folder / "media"),
        "signing_key_path": str(folder / "signing.key"),
        "pid_file": str(folder / "homeserver.pid"),
        "macaroon_secret_key": "a",
        "form_secret": "b",
        "registration_shared_secret": SHARED_SECRET,
        "enable_registration": True,
        "registration_requires_token": True,
        "password_config": {"policy": {"enabled": True, "minimum_length": 8, "require_digit": True}},
        "rc_registration": generous,
        "rc_registration_token_validity": generous,
        "rc_login": {"address": generous, "account": generous},
        "trusted_key_servers": [],
        "federation_domain_whitelist": [],
        "report_stats": False,
        **more,
    }


def caddy_json(folder: Path, facts: pages.PageFacts, ports: tuple[int, int, int, int]) -> dict[str, Any]:
    """The gateway's own routes, on three ports."""
    web, api, admin, inner = ports
    languages = tuple(LANGUAGES)
    rendered = {
        "web": pages.render_web(facts),
        "admin": pages.render_admin(facts),
        "errors": pages.render_errors(facts),
    }
    for name, files in rendered.items():
        for path, content in files.items():
            file = folder / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    error_pages = ErrorPages(folder / "errors", languages, pages.ERRORS, pages.error_headers())

    def server(port: int, route: Route) -> dict[str, Any]:
        listen = (
            [f"127.0.0.1:{port}", f"[::1]:{port}"] if socket.has_dualstack_ipv6() else [f"127.0.0.1:{port}"]
        )
        return {
            "listen": listen,
            "automatic_https": {"disable": True},
            "routes": [*intercept_routes(error_pages), route_json(route)],
            "errors": {"routes": error_routes(error_pages)},
        }

    rewrite = {name: f"/{name[1:]}.html" for name in ("/register", "/trust")} | {"/": "/index.html"}
    routes = {
        web: Route(
            "web",
            root=folder / "web",
            rewrite=rewrite,
            languages=languages,
            headers=pages.web_headers(facts),
        ),
        admin: Route(
            "admin",
            root=folder / "admin",
            rewrite={"/": "/admin.html"},
            languages=languages,
            headers=pages.admin_headers(facts),
        ),
        api: Route("api", upstream=Endpoint("127.0.0.1", inner)),
    }
    return {
        "admin": {"disabled": True},
        "storage": {"module": "file_system", "root": str(folder / "caddy")},
        "apps": {
            "http": {"servers": {route.listener: server(port, route) for port, route in routes.items()}}
        },
    }


def first_admin(site: Site) -> str:
    """An administrator's access token, through Synapse's registration by shared secret."""
    url = f"{site.homeserver_url}/_synapse/admin/v1/register"
    nonce = ask(url)["nonce"]
    secret = hmac.new(SHARED_SECRET.encode(), digestmod=hashlib.sha1)
    secret.update(b"\0".join(part.encode() for part in (nonce, "operator", "operator-1", "admin")))
    account = {"nonce": nonce, "username": "operator", "password": "operator-1", "admin": True}
    return str(ask(url, {**account, "mac": secret.hexdigest()})["access_token"])
