"""One server as a whole: what `up` promises, and what is reachable."""

import http.client
import json
import os
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from conftest import ENGINE, SERVICES, Stack
from samsesh import names
from system.trouble import fine, refused, wait_for

SECRET_FILES = {
    "pgpass",
    "keys",
    "keys.yaml",
    "turn_secret",
    "turnserver.conf",
    "init.sql",
}  # what programs read them from
BACK_SECONDS = 10 if ENGINE == "native" else 20  # Docker asks every three seconds, and begins later


def fetch(url: str, method: str = "GET", data: bytes | None = None) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body), whatever the status."""
    request = urllib.request.Request(url, method=method, data=data)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def test_status_is_what_programs_rely_on(stack: Stack) -> None:
    """`status --json` has the documented shape, and says ok."""
    done = stack.cli("status", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] is True
    assert found["engine"] == ENGINE
    assert found["server_name"] == "localhost"
    addresses = {"homeserver", "web", "admin", "call", "rtc", "livekit", "turn"}
    assert addresses <= found["addresses"].keys()
    keys = {"name", "state", "reason", "pid", "uptime_seconds", "memory_bytes", "address"}
    assert {service["name"] for service in found["services"]} == SERVICES
    for service in found["services"]:
        assert keys <= service.keys()
        assert service["state"] == "running"
        assert service["memory_bytes"] > 1_000_000


@pytest.mark.native
def test_services_cannot_get_more_rights(stack: Stack) -> None:
    """No unit holds a capability or can get one, by set-uid programs either; started by root, none is even left to get
    but that of binding low ports."""
    low_ports = 1 << 10
    pids = {service["name"]: service["pid"] for service in stack.status()["services"]}
    assert pids.keys() == SERVICES
    for name, pid in pids.items():
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        rights = dict(line.split(":\t") for line in lines if ":\t" in line)
        assert rights["NoNewPrivs"] == "1", name
        assert not any(int(rights[held], 16) for held in ("CapPrm", "CapEff", "CapAmb")), name
        if os.geteuid() == 0:
            assert int(rights["CapBnd"], 16) & ~low_ports == 0, name


def test_invitations_do_not_stay_in_logs(stack: Stack) -> None:
    """Neither the question whether one is good nor our own work with them leaves a token in any service's log."""
    token = json.loads(stack.cli("invite", "create", "--json").stdout)["token"]
    asked = f"{stack.url('homeserver')}/_matrix/client/v1/register/m.login.registration_token/validity"
    assert fetch(f"{asked}?token={token}")[0] == 200
    assert fetch(f"{stack.url('web')}/register?token={token}")[0] == 200
    assert stack.cli("invite", "revoke", token).returncode == 0

    def logged() -> str:
        return "".join(stack.cli("logs", name, "--lines", "500").stdout for name in sorted(SERVICES))

    wait_for(lambda: "registration_tokens/<redacted>" in logged(), 20)
    assert "validity?token=<redacted>" in (found := logged())
    assert token not in found
    if ENGINE == "native":
        assert not any(
            token.encode() in path.read_bytes() for path in stack.home.logs_dir.rglob("*") if path.is_file()
        )


def test_up_twice_changes_nothing(stack: Stack) -> None:
    """`up` is idempotent: nothing is restarted, and it says so."""
    before = [service["pid"] for service in stack.status()["services"]]
    done = stack.cli("up", "--yes")
    assert done.returncode == 0, done.stderr
    assert "Nothing to do" in done.stdout
    assert [service["pid"] for service in stack.status()["services"]] == before


def test_the_dry_run_shows_and_changes_nothing(stack: Stack) -> None:
    """`up --dry-run` names the unit that a setting would restart; `up` restarts that one alone. With previews, OIDC and
    JWT the homeserver starts, and a key that it does not know is told.
    """
    before = {service["name"]: service["pid"] for service in stack.status()["services"]}
    sso = {
        "idp_id": "a",
        "idp_name": "A",
        "issuer": "https://idp.invalid",
        "client_id": "b",
        "client_secret": "c",
    }
    stack.set(
        {
            "media.upload_size": "60M",
            "media.url_previews": "yes",
            "extra.synapse.oidc_providers": json.dumps([{**sso, "scopes": ["openid"]}]),
            "extra.synapse.jwt_config": json.dumps({"enabled": True, "secret": "a", "algorithm": "HS256"}),
            "extra.synapse.presense": "no",
        }
    )
    shown = stack.cli("up", "--dry-run").stdout
    assert "restart  gateway" in shown
    assert "restart  synapse" in shown
    assert "keep     postgres" in shown
    assert {service["name"]: service["pid"] for service in stack.status()["services"]} == before
    done = fine(stack.cli("up", "--yes"))
    assert "extra.synapse.presense" in done.stderr and "did you mean presence?" in done.stderr
    after = {service["name"]: service["pid"] for service in stack.status()["services"]}
    assert after["postgres"] == before["postgres"]
    assert after["synapse"] != before["synapse"]
    flows = json.loads(fetch(stack.url("homeserver") + "/_matrix/client/v3/login")[2])["flows"]
    assert {"org.matrix.login.jwt", "m.login.sso"} <= {flow["type"] for flow in flows}
    for key in ("oidc_providers", "jwt_config", "presense"):
        fine(stack.cli("config", "unset", f"extra.synapse.{key}"))
    fine(stack.cli("up", "--yes"))


def test_what_a_program_refuses_does_not_touch_what_runs(stack: Stack) -> None:
    """A module that is not there, and a bridge's broken registration: all of it is told before anything is touched, with
    the settings; the chat goes on with the files that it has, and without them there is nothing to do.
    """
    before = {service["name"]: service["pid"] for service in stack.status()["services"]}
    files = {path: path.read_bytes() for path in stack.home.config_dir.rglob("*") if path.is_file()}
    bridge = stack.path / "bridge.yaml"
    bridge.write_text("id: bridge\n")
    bridge.chmod(0o644)
    for settings, words in (
        ({"extra.synapse.modules": '[{"module": "nothing.Here"}]'}, "No module named 'nothing'"),
        ({"synapse.appservices": "bridge.yaml", "brand.name": "Other"}, "as_token"),
    ):
        stack.set(settings)
        first = next(iter(settings))
        refused(
            stack.cli("up", "--yes"),
            1,
            f"{first}: the homeserver (Synapse) does not take it; what runs goes on as it is",
            f" config unset {first}",
            words,
        )
        assert {service["name"]: service["pid"] for service in stack.status()["services"]} == before
        assert fetch(stack.url("homeserver") + "/_matrix/client/versions")[0] == 200
        for key in settings:
            fine(stack.cli("config", "unset", key))
    assert files == {path: path.read_bytes() for path in stack.home.config_dir.rglob("*") if path.is_file()}
    assert "Nothing to do" in fine(stack.cli("up", "--yes")).stdout


def test_the_client_api_answers_through_the_gateway(stack: Stack) -> None:
    """8008 serves the Matrix client API, with CORS for web clients."""
    status, headers, body = fetch(stack.url("homeserver") + "/_matrix/client/versions")
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "v1.11" in json.loads(body)["versions"]


@pytest.mark.parametrize("page", ["client", "support"])
def test_discovery(stack: Stack, page: str) -> None:
    """Discovery documents are JSON, readable for web pages of any origin, and cached for an hour."""
    status, headers, body = fetch(f"{stack.url('homeserver')}/.well-known/matrix/{page}")
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "public, max-age=3600"
    assert headers["X-Content-Type-Options"] == "nosniff"
    if page == "client":
        assert json.loads(body)["m.homeserver"]["base_url"] == stack.url("homeserver")


@pytest.mark.parametrize("site", ["homeserver", "web"])
@pytest.mark.parametrize("document", ["matrix/server", "matrix/unknown", "openid-configuration"])
def test_what_is_not_published_is_not_found(stack: Stack, site: str, document: str) -> None:
    """A local server has no m.server, and no server has all that clients ask for: they read so, in Matrix's words."""
    status, headers, body = fetch(f"{stack.url(site)}/.well-known/{document}")
    assert status == 404
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["errcode"] == "M_NOT_FOUND"


def test_people_behind_one_address_stay_in_their_call(stack: Stack) -> None:
    """Apps restart their leave without a token, so an office counts as one: 60 at once, as ten people send in 25 s."""
    url = f"{stack.url('homeserver')}/_matrix/client/unstable/org.matrix.msc4140/delayed_events/none/restart"
    assert {fetch(url, "POST", b"{}")[0] for _ in range(60)} == {404}


@pytest.mark.parametrize(
    "path",
    [
        "/_synapse/admin/v1/server_version",
        "//_synapse/admin/v1/server_version",
        "/_matrix/../_synapse/admin/v1/server_version",
        "/_matrix/%2e%2e/_synapse/admin/v1/server_version",
        "/%5Fsynapse/admin/v1/server_version",
        "/_synapse/client/../admin/v1/server_version",
        "/_SYNAPSE/admin/v1/server_version",
        "/_synapse/metrics",
        "/health",
    ],
)
def test_what_is_private_is_not_reachable(stack: Stack, path: str) -> None:
    """Neither the admin API nor metrics can be had through the public ports, however the path is written."""
    status, _, body = fetch(stack.url("homeserver") + path)
    assert status == 404
    assert b"server_version" not in body
    assert b"M_UNRECOGNIZED" in body


def test_a_forged_address_does_not_count(stack: Stack) -> None:
    """Synapse sees the address that the gateway saw, not what a client writes into X-Forwarded-For."""
    url = stack.url("homeserver") + "/_matrix/client/v3/login?forged"
    request = urllib.request.Request(url, headers={"X-Forwarded-For": "203.0.113.77"})
    with urllib.request.urlopen(request, timeout=20):
        pass
    log = wait_for(lambda: [line for line in log_lines(stack, "synapse") if "login?forged" in line])
    assert all("203.0.113.77" not in line for line in log)
    if ENGINE == "native":  # in containers it is Docker's own
        assert any("127.0.0.1" in line or "::1" in line for line in log)


def test_strangers_share_their_limit_whatever_address_they_write(stack: Stack) -> None:
    """Synapse counts requests about delayed events by the address that the gateway saw, not by what clients write."""
    host = urlsplit(stack.url("homeserver")).netloc
    path = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/made-up/restart"
    link = http.client.HTTPConnection(host, timeout=20, source_address=("127.0.0.2", 0))
    statuses: list[int] = []
    while 429 not in statuses and len(statuses) < 1500:
        link.request("POST", path, "{}", {"X-Forwarded-For": f"100::{len(statuses)}"})
        answer = link.getresponse()
        answer.read()
        statuses.append(answer.status)
    link.close()
    assert statuses[0] == 404 and statuses[-1] == 429


def test_too_large_a_request_is_refused_by_the_gateway(stack: Stack) -> None:
    """Bodies above the upload limit do not reach Synapse."""
    limit = names.size(stack.cli("config", "get", "media.upload_size").stdout.strip())
    size = limit + 1  # just above, so that all of it is sent before the answer comes
    status, _, _ = fetch(stack.url("homeserver") + "/_matrix/media/v3/upload", "POST", b"\0" * size)
    assert status == 413


@pytest.mark.native
def test_pages_are_compressed_in_the_background(stack: Stack) -> None:
    """Ours and Element Call's, a while after the chat answered; nobody waits for it, and `up` finds nothing to do."""
    addresses = stack.status()["addresses"]
    script = re.search(r'src="\.?/?(assets/index-[^"]+\.js)"', fetch(addresses["call"])[2].decode())
    assert script

    def encoding(url: str) -> str | None:
        asked = urllib.request.Request(url, headers={"Accept-Encoding": "br, zstd"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            found: str | None = answer.headers["Content-Encoding"]
            return found

    urls = (f"{addresses['web']}/", f"{addresses['call']}/{script[1]}")
    wait_for(lambda: {encoding(url) for url in urls} == {"br"}, 600)
    assert "Nothing to do" in stack.up().stdout


def test_secrets_are_private(stack: Stack) -> None:
    """Secrets are files of mode 0600; no configuration, log or command line carries one."""
    values = [
        path.read_bytes().strip() for path in stack.home.secrets_dir.iterdir() if path.name != "livekit_key"
    ]
    assert len(values) >= 9
    for path in stack.home.secrets_dir.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    for folder in (stack.home.config_dir, stack.home.logs_dir):
        for path in folder.rglob("*"):
            if path.is_file() and path.name not in SECRET_FILES:
                content = path.read_bytes()
                assert not any(value in content for value in values), path
    for service in stack.status()["services"]:
        # The entry point of the image of postgres takes its password out of the file into the environment.
        image = ENGINE == "compose" and service["name"] == "postgres"
        for name in ("cmdline",) if image else ("cmdline", "environ"):
            content = Path(f"/proc/{service['pid']}/{name}").read_bytes()
            assert not any(value in content for value in values), (service["name"], name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_killed_service_comes_back(stack: Stack, name: str) -> None:
    """`kill -9` of any service: within seconds it answers again, and twenty people at once can log in."""
    pid = next(service["pid"] for service in stack.status()["services"] if service["name"] == name)
    os.kill(pid, signal.SIGKILL)
    began = time.monotonic()

    def back() -> bool:
        services = stack.status()["services"]
        return all(service["state"] == "running" for service in services) and all(
            service["pid"] != pid for service in services
        )

    wait_for(back, BACK_SECONDS + 5)
    wait_for(lambda: set(log_ins(stack, 20)) == {403}, BACK_SECONDS + 5)
    assert time.monotonic() - began < BACK_SECONDS


def log_ins(stack: Stack, count: int) -> list[int]:
    """What so many log-ins at once, each with another wrong name, answer; each asks the database."""
    url = stack.url("homeserver") + "/_matrix/client/v3/login"

    def log_in(number: int) -> int:
        identifier = {"type": "m.id.user", "user": f"nobody.{number}.{time.monotonic_ns()}"}
        body = {"type": "m.login.password", "identifier": identifier, "password": "x"}
        return fetch(url, "POST", json.dumps(body).encode())[0]

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(log_in, range(count)))


@pytest.mark.slow
@pytest.mark.native
def test_a_killed_process_manager_leaves_nothing_behind(new_home: Callable[[str], Stack]) -> None:
    """After `kill -9` of supervisord the services end, the next `up` takes over, and `down` leaves nothing."""
    own = new_home("killed")
    own.up()
    manager = int((own.home.runtime_dir() / "supervisord.pid").read_text())
    pids = [service["pid"] for service in own.status()["services"]]
    os.kill(manager, signal.SIGKILL)
    done = own.cli("up", "--yes")
    assert done.returncode == 0, done.stderr
    after = [service["pid"] for service in own.status()["services"]]
    assert not set(pids) & set(after)
    assert own.cli("down").returncode == 0
    assert own.cli("status", "--json").returncode == 1
    assert all(not runs(pid) for pid in after)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def log_lines(stack: Stack, service: str) -> list[str]:
    return stack.cli("logs", service, "-n", "200").stdout.splitlines()
