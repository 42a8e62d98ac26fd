"""A server under a domain, with one host for all of it: what is where, and what is not there."""

import json
from collections.abc import Callable, Iterator

import httpx2
import pytest
from playwright.sync_api import Playwright

from access.sites import client, root_of
from calls.call import Caller, chromium
from calls.conftest import add_people, chromium_path, playwright
from conftest import Stack

__all__ = ["chromium_path", "playwright"]
pytestmark = pytest.mark.slow

SETTINGS = {
    "server.trial": "true",  # no DNS knows the name
    "server.name": "example.test",
    "hosts.single": "chat.example.test",
    "tls.mode": "internal",
    "server.access": "domain",
}


@pytest.fixture(scope="module")
def server(session_home: Callable[[str], Stack]) -> Stack:
    made = session_home("one-host")
    made.set(SETTINGS)
    made.up()
    return made


@pytest.fixture(scope="module")
def http(server: Stack) -> Iterator[httpx2.Client]:
    with client(root_of(server.path)) as made:
        yield made


def test_addresses(server: Stack) -> None:
    """Everything is below one host, by path, but the page for calls, which has the port of its own."""
    port, call = 443 + server.offset, 8082 + server.offset
    told = server.status()["addresses"]
    assert told["web"] == told["homeserver"] == f"https://chat.example.test:{port}"
    assert told["rtc"] == f"https://chat.example.test:{port}/livekit/jwt"
    assert told["livekit"] == f"wss://chat.example.test:{port}/livekit/sfu"
    assert told["call"] == f"https://chat.example.test:{call}"
    assert told["admin"] == f"http://localhost:{8081 + server.offset}"


def test_paths(server: Stack, http: httpx2.Client) -> None:
    """Web client, API, calls and delegation answer where people and programs look for them."""
    told = server.status()["addresses"]
    web = told["web"]
    assert "text/html" in http.get(f"{web}/").headers["content-type"]
    assert http.get(f"{web}/_matrix/client/versions").json()["versions"]
    assert http.get(f"{told['rtc']}/healthz").status_code == 200
    assert http.get(f"{told['livekit'].replace('wss', 'https')}/rtc/validate").status_code == 401
    assert http.get(f"{told['call']}/config.json").json()["livekit"]["livekit_service_url"] == told["rtc"]
    bare = f"https://example.test:{443 + server.offset}"
    found = http.get(f"{bare}/.well-known/matrix/client").json()
    assert found["m.homeserver"]["base_url"] == web
    delegated = http.get(f"{bare}/.well-known/matrix/server").json()
    assert delegated == {"m.server": f"chat.example.test:{443 + server.offset}"}
    assert http.get(f"{bare}/", follow_redirects=False).headers["location"] == web


def test_federation_answers(server: Stack, http: httpx2.Client) -> None:
    """Other servers find the keys at both ports; the federation port has nothing but federation."""
    for port in (443, 8448):
        base = f"https://chat.example.test:{port + server.offset}"
        assert http.get(f"{base}/_matrix/key/v2/server").json()["server_name"] == "example.test"
        assert http.get(f"{base}/_matrix/federation/v1/version").json()["server"]["name"] == "Synapse"
    assert http.get(f"{base}/_matrix/client/versions").status_code == 404


def test_what_is_not_there(server: Stack, http: httpx2.Client) -> None:
    """The administration of Synapse and the panel are not to be reached from outside; other hosts are not ours."""
    web = server.url("web")
    assert http.get(f"{web}/_synapse/admin/v1/server_version").status_code == 404
    assert http.get(f"{web}/admin").status_code in (200, 404)  # the web client's, if it has one
    with client(root_of(server.path)) as other, pytest.raises(httpx2.ConnectError):  # no certificate for it
        other.get(f"https://other.test:{443 + server.offset}/")
    strange = http.get(f"{web}/", headers={"Host": "other.test"})
    assert strange.status_code == 404
    with client(root_of(server.path)) as other, pytest.raises(httpx2.ConnectError):
        other.get(f"https://chat.example.test:{8081 + server.offset}/")


def test_plain_http_leads_to_https(server: Stack, http: httpx2.Client) -> None:
    """At port 80, and where somebody writes http:// at the https port."""
    https = f"https://chat.example.test:{443 + server.offset}"
    for port in (80, 443):
        answer = http.get(f"http://chat.example.test:{port + server.offset}/x?y=1", follow_redirects=False)
        assert answer.status_code in (302, 308)
        assert answer.headers["location"] == f"{https}/x?y=1"


def test_http2_and_3(server: Stack) -> None:
    """HTTP/2 is spoken, and HTTP/3 is offered."""
    with client(root_of(server.path), http2=True) as http:
        answer = http.get(server.url("web"))
    assert answer.http_version == "HTTP/2"
    assert f'h3=":{443 + server.offset}"' in answer.headers["alt-svc"]


@pytest.mark.browser
def test_a_call(server: Stack, playwright: Playwright, chromium_path: str) -> None:
    """Two people see each other over https, their signalling below a path of the shared host."""
    add_people(server, "ada", "ben")
    here = ("--host-resolver-rules=MAP *.test 127.0.0.1", "--ignore-certificate-errors")
    with chromium(playwright, chromium_path, *here) as browser:
        ada, ben = (Caller(browser, server.url("call")).log_in(name) for name in ("ada", "ben"))
        link = ada.start("Tea time")
        ada.join()
        ben.join(link)
        ada.sees()
        ben.sees()
        assert ada.errors == ben.errors == []


def test_settings_are_told(server: Stack) -> None:
    """`config show` has the hosts."""
    shown = json.loads(server.cli("config", "show", "--json").stdout)
    assert "chat.example.test" in json.dumps(shown)
