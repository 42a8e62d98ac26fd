"""The gateway's log, and what it tells those behind it, by a real Caddy."""

import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from programs import free_port
from samsesh.engines.native.placement import NativePlacement
from samsesh.facts import gather
from samsesh.formats import to_caddy_json
from samsesh.home import Home
from samsesh.model import Context, Endpoint, ErrorPages, Offer, Route
from samsesh.secrets import preview
from samsesh.services import synapse
from samsesh.services.gateway.caddy import caddy_json, log_encoder
from samsesh.services.gateway.errors import error_routes, intercept_routes
from samsesh.services.gateway.handlers import ending_connections, route_json
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
            "errors": {"routes": error_routes(None)},
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


PERSON = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
JSON = '{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}'


@contextmanager
def pages_site(folder: Path) -> Iterator[str]:
    """The address of a Caddy with pages in two languages, a JSON answer, Synapse's own pages, and nobody at /gone."""
    for language in ("en", "fa"):
        for kind in ("page", "403", "404", "4xx", "5xx"):
            file = folder / language / f"{kind}.html"
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"{language} {kind}")
    policy = {"Content-Type": "text/html; charset=utf-8", "X-Ours": "yes"}
    error_pages = ErrorPages(folder, ("en", "fa"), ("403", "404", "4xx", "5xx"), policy)
    json = {"Content-Type": "application/json", "Access-Control-Allow-Origin": "*", "Etag": '"theirs"'}
    html = {"Content-Type": "text/html"}
    routes = (
        Route("a", ("/page",), root=folder, rewrite={"/page": "/page.html"}, languages=("en", "fa")),
        Route("a", ("/_matrix/html",), answer=(403, "Synapse's own"), headers=html),
        Route("a", ("/_matrix/fine",), answer=(200, JSON), headers=json),
        Route("a", ("/_matrix/busy",), answer=(429, JSON), headers=json),
        Route("a", ("/_matrix/*", "/json"), answer=(404, JSON), headers=json),
        Route("a", ("/forbidden",), answer=(403, "no")),
        Route("a", ("/gone",), upstream=Endpoint("127.0.0.1", free_port())),
        Route("a", root=folder),
    )
    port = free_port()
    server = {
        "listen": [f"127.0.0.1:{port}"],
        "routes": [*intercept_routes(error_pages), *map(route_json, routes)],
        "errors": {"routes": error_routes(error_pages)},
    }
    config = {"admin": {"disabled": True}, "apps": {"http": {"servers": {"a": server}}}}
    (folder / "caddy.json").write_bytes(to_caddy_json(config))
    command = [CADDY, "run", "--config", str(folder / "caddy.json")]
    with subprocess.Popen(command, env={"HOME": str(folder)}, stderr=subprocess.DEVNULL) as caddy:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            caddy.terminate()


@pytest.mark.needs("caddy")
def test_no_wrong_path_shows_json_to_a_person(tmp_path: Path) -> None:
    """A browser gets a page of ours with the status, whoever said no; programs get what they got before."""
    transport = httpx2.HTTPTransport(retries=5)  # until it listens
    with (
        pages_site(tmp_path) as url,
        closing(httpx2.Client(transport=transport, trust_env=False, base_url=url, timeout=30)) as client,
    ):
        expected = {
            "/nothing": (404, "404"),
            "/json": (404, "404"),
            "/forbidden": (403, "403"),
            "/_matrix/nothing": (404, "404"),
            "/_matrix/busy": (429, "4xx"),
            "/gone": (502, "5xx"),
        }
        for path, (status, kind) in expected.items():
            answer = client.get(path, headers=PERSON)
            assert (answer.status_code, answer.text) == (status, f"en {kind}"), path
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert answer.headers["x-ours"] == "yes" and answer.headers["connection"] == "close"
            assert "theirs" not in answer.headers["etag"]
        posted = client.post("/_matrix/nothing", headers=PERSON, content=b"a=b")
        assert (posted.status_code, posted.text) == (404, "en 404")
        kept = client.get("/_matrix/html", headers=PERSON)
        assert (kept.status_code, kept.text) == (403, "Synapse's own")
        assert client.get("/_matrix/fine", headers=PERSON).text == JSON
        for path in ("/json", "/_matrix/nothing"):
            assert client.get(path).text == JSON
        assert client.get("/nothing").json() == {"errcode": "M_UNKNOWN", "error": "Not Found"}
        assert client.get("/gone").json()["errcode"] == "M_UNKNOWN"
        assert client.get("/forbidden").text == "no"
        persian = client.get("/nothing", headers={**PERSON, "Accept-Language": "fa-IR,fa;q=0.9,en;q=0.8"})
        assert persian.text == "fa 404"


@pytest.mark.needs("caddy")
def test_pages_speak_the_visitors_language(tmp_path: Path) -> None:
    """The first language of the browser that we have; what was chosen by the switch counts more, and is kept."""
    transport = httpx2.HTTPTransport(retries=5)
    with (
        pages_site(tmp_path) as url,
        closing(httpx2.Client(transport=transport, trust_env=False, base_url=url, timeout=30)) as client,
    ):

        def shown(accepted: str = "", cookie: str = "", query: str = "") -> str:
            headers = {"Accept-Language": accepted, **({"Cookie": cookie} if cookie else {})}
            answer = client.get(f"/page{query}", headers=headers)
            client.cookies.clear()
            assert "Accept-Language, Cookie" in answer.headers.get_list("vary")
            return answer.text.removesuffix(" page")

        accepted = {
            "": "en",
            "*": "en",
            "fa": "fa",
            "fa-IR,fa;q=0.9,en-US;q=0.8,en;q=0.7": "fa",
            "en-GB,en;q=0.9,fa;q=0.8": "en",
            "de-DE, de;q=0.9, fa;q=0.8, en;q=0.5": "fa",
            "fat,tlh": "en",
        }
        assert {header: shown(header) for header in accepted} == accepted
        assert shown("fa", cookie="a=b; language=en") == "en"
        assert shown("en", cookie="language=fa") == "fa"
        assert shown("en", cookie="language=../etc") == "en"
        assert shown("en", cookie="language=en", query="?token=x&lang=fa") == "fa"
        assert shown("fa", query="?lang=..%2F") == "fa"
        chosen = client.get("/page?lang=fa")
        assert chosen.headers["set-cookie"] == "language=fa; Path=/; Max-Age=31536000; SameSite=Lax"
        assert client.get("/page").text == "fa page"
        assert "set-cookie" not in client.get("/page?lang=xx").headers
