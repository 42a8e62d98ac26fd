"""The parts of calls as a server has them: found, missing, named, refused, turned off."""

import hashlib
import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from artifacts.releases import serving, tar
from conftest import Stack
from programs import livekit_server, need
from samsesh.engines.native.supervisor import left_over
from samsesh.home import CATCH_UP
from system.test_server import fetch
from system.trouble import Done, fine, processes, refused, started, wait_for

pytestmark = [pytest.mark.native, pytest.mark.slow]
TRANSPORTS = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports"
PASSWORD = "long enough for all"


def token(stack: Stack, name: str) -> str:
    """Access token of a new account."""
    fine(stack.cli("user", "add", name, "--password-stdin", stdin=PASSWORD + "\n"))
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": name},
        "password": PASSWORD,
    }
    found = fetch(f"{stack.url('homeserver')}/_matrix/client/v3/login", "POST", json.dumps(body).encode())
    return str(json.loads(found[2])["access_token"])


def answer(stack: Stack, path: str, access: str) -> dict[str, object]:
    status, _, body = fetch(f"{stack.url('homeserver')}{path}?access_token={access}")
    assert status == 200, body
    found: dict[str, object] = json.loads(body)
    return found


def test_all_three_ways_to_find_calls_agree(stack: Stack) -> None:
    """Transports endpoint, well-known document and Element Call's configuration name the same service, which answers."""
    addresses = stack.status()["addresses"]
    focus = {"type": "livekit", "livekit_service_url": addresses["rtc"]}
    asked = answer(stack, TRANSPORTS, token(stack, "finder"))
    assert asked["rtc_transports"] == [focus]
    for name in ("homeserver", "web"):
        status, headers, body = fetch(f"{addresses[name]}/.well-known/matrix/client")
        assert status == 200 and headers["Access-Control-Allow-Origin"] == "*"
        assert json.loads(body)["org.matrix.msc4143.rtc_foci"] == [focus]
    configuration = json.loads(fetch(f"{addresses['call']}/config.json")[2])
    assert configuration["livekit"] == {"livekit_service_url": addresses["rtc"]}
    home = configuration["default_server_config"]["m.homeserver"]
    assert home == {"base_url": addresses["homeserver"], "server_name": "localhost"}
    assert fetch(f"{addresses['rtc']}/healthz")[0] == 200
    assert addresses["livekit"].startswith("ws://") and addresses["turn"].startswith("turn:")


def test_the_homeserver_hands_out_turn_credentials(stack: Stack) -> None:
    """One-to-one calls of older clients: URIs of our coturn, a name that expires, a password."""
    found = answer(stack, "/_matrix/client/v3/voip/turnServer", token(stack, "turner"))
    assert found["uris"] == [f"{stack.url('turn')}?transport={transport}" for transport in ("udp", "tcp")]
    assert str(found["username"]).endswith("@turner:localhost") and found["password"]


def test_what_is_private_of_the_service_stays_so(stack: Stack) -> None:
    """Metrics, readiness and webhooks of the authorization service are not at its public port."""
    for path in ("/metrics", "/readyz", "/sfu_webhook", "/"):
        assert fetch(stack.url("rtc") + path)[0] == 404


def test_calls_are_for_those_in_the_room(stack: Stack) -> None:
    """Through the whole server: who is in a room gets a token for its call, a stranger who knows its ID gets none."""
    base = stack.url("homeserver")

    def said(path: str, access: str, body: dict[str, object]) -> dict[str, Any]:
        sent = json.dumps(body).encode()
        status, _, text = fetch(f"{base}/_matrix/client/v3{path}?access_token={access}", "POST", sent)
        assert status == 200, text
        found: dict[str, Any] = json.loads(text)
        return found

    owner, stranger = token(stack, "owner"), token(stack, "stranger")
    room = said("/createRoom", owner, {"preset": "public_chat"})["room_id"]

    def asks(name: str, access: str) -> tuple[int, dict[str, Any]]:
        proof = said(f"/user/{quote(f'@{name}:localhost')}/openid/request_token", access, {})
        body = {"room": room, "openid_token": proof, "device_id": "DEVICE"}
        status, headers, text = fetch(f"{stack.url('rtc')}/sfu/get", "POST", json.dumps(body).encode())
        assert headers["Access-Control-Allow-Origin"] == "*"
        return status, json.loads(text)

    assert asks("owner", owner)[0] == 200
    refused = asks("stranger", stranger)
    assert refused[0] == 403 and refused[1]["errcode"] == "M_FORBIDDEN"
    said(f"/join/{quote(room)}", stranger, {})
    assert asks("stranger", stranger)[0] == 200
    said(f"/rooms/{quote(room)}/kick", owner, {"user_id": "@stranger:localhost"})
    assert asks("stranger", stranger)[0] == 403


def test_the_port_behind_the_gateway_is_for_webhooks_alone(stack: Stack) -> None:
    """A local process gets nothing else of the authorization service there, whatever address it claims to have."""
    for path in ("/get_token", "/sfu/get", "/readyz", "/metrics"):
        assert fetch(f"http://127.0.0.1:{12788 + stack.offset}{path}", "POST", b"{}")[0] == 404
    assert fetch(f"http://127.0.0.1:{12788 + stack.offset}/sfu_webhook", "POST", b"{}")[0] == 200


@pytest.fixture
def bare(new_home: Callable[[str], Stack]) -> Stack:
    """A server whose machine has no LiveKit and no Element Call, and may fetch nothing."""
    made = new_home("bare")
    made.environ = {"SAMSESH_CACHE": str(made.path / "cache"), "PATH": "/usr/bin:/bin"}
    fine(made.cli("config", "set", "artifacts.offline", "yes"))
    return made


def test_chat_comes_up_without_calls_and_they_join_later(bare: Stack) -> None:
    """Without LiveKit the chat works, and `up` and `status` say why calls are off and what to do.

    Then its release is published, as it is for a user's machine without Go: `up` fetches it beside the chat, and calls
    start, for accounts and sessions that are there already.
    """
    done = bare.up()
    assert "is ready" in done.stdout and "LiveKit" in done.stderr and "nothing may be fetched" in done.stderr
    found = bare.status()
    assert found["ok"] and {"livekit", "rtc-auth"}.isdisjoint(one["name"] for one in found["services"])
    assert {"call", "rtc", "livekit"}.isdisjoint(found["addresses"])
    calls = next(off for off in found["off"] if off["name"] == "calls")
    assert "LiveKit" in calls["reason"] and calls["advice"].endswith(" up")
    client = json.loads(fetch(f"{found['addresses']['homeserver']}/.well-known/matrix/client")[2])
    assert "org.matrix.msc4143.rtc_foci" not in client
    access = token(bare, "alone")
    assert fetch(f"{found['addresses']['homeserver']}{TRANSPORTS}?access_token={access}")[0] == 404
    assert " services are running, without calls: LiveKit" in found["verdict"]
    assert "There are no calls yet: LiveKit" in fetch(found["addresses"]["web"])[2].decode()
    again = bare.up()  # it waits for nothing that failed a moment ago
    assert "without calls" in again.stdout and "background: livekit-server" in again.stdout
    assert "could not be got" not in again.stderr
    log = bare.home.logs_dir / "catch-up.log"
    wait_for(lambda: log.exists() and not left_over(bare.home, CATCH_UP))
    assert "Traceback" not in log.read_text()

    with serving() as releases:
        release = tar(("livekit-server", livekit_server().read_bytes()))
        releases.publish(release)
        sha256 = hashlib.sha256(release).hexdigest()  # without it nothing comes from an address without TLS
        for key, value in {
            "offline": "no",
            "mirror": releases.url,
            "build": "no",
            "livekit_sha256": sha256,
        }.items():
            fine(bare.cli("config", "set", f"artifacts.{key}", value))
        done = bare.up()
        assert "livekit-server 1.13.5: " in done.stderr and "release" in done.stderr
        assert "http://localhost" in done.stdout.partition("Getting the rest")[2]
    found = bare.status()
    assert found["ok"] and {"livekit", "rtc-auth"} <= {one["name"] for one in found["services"]}
    assert found["off"] == []
    assert answer(bare, TRANSPORTS, access)["rtc_transports"]


def test_a_named_program_that_is_none_is_refused(new_home: Callable[[str], Stack]) -> None:
    """What the settings name is used or told to be of no use, also where another is at hand; the chat goes on."""
    own = new_home("named")
    own.up()
    fine(own.cli("config", "set", "artifacts.livekit", "/bin/true"))
    done = own.up()
    assert "artifacts.livekit cannot be used" in done.stderr and "/bin/true" in done.stderr
    found = own.status()
    assert found["ok"] and "livekit" not in [service["name"] for service in found["services"]]
    assert "artifacts.livekit cannot be used" in found["off"][0]["reason"]
    doctor = json.loads(fine(own.cli("doctor", "calls", "--json")).stdout)["checks"]
    told = next(check for check in doctor if check["id"] == "calls-transports")
    assert told["status"] == "warning" and told["advice"].endswith(" up")


def assert_chat_runs(own: Stack, done: Done) -> None:
    """What failed could be spared: somebody can log in, and the first administrator was told."""
    assert "is ready" in done.stdout and "(shown only now)" in done.stdout
    states = {service["name"]: service["state"] for service in own.status()["services"]}
    assert {states[name] for name in ("postgres", "synapse", "gateway")} == {"running"}
    assert fetch(f"{own.url('homeserver')}/_matrix/client/versions")[0] == 200


@pytest.mark.parametrize("setting", ["livekit_tcp", "turn"])
def test_a_taken_port_of_calls_is_told(new_home: Callable[[str], Stack], setting: str) -> None:
    """TCP and UDP alike: which setting, which port, by which program. The chat comes up all the same."""
    own = new_home(f"taken-{setting}")
    kind = socket.SOCK_DGRAM if setting == "turn" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        fine(own.cli("config", "set", f"ports.{setting}", str(port)))
        done = own.cli("up", "--yes", "--port-offset", str(own.offset))
        refused(done, 1, f"port {port} (ports.{setting}) is in use")
        assert_chat_runs(own, done)


def test_jitsi_and_off(new_home: Callable[[str], Stack]) -> None:
    """`jitsi` tells clients of the other server and runs none of ours; `off` tells of nothing; the relay goes alone."""
    own = new_home("jitsi")
    fine(own.cli("config", "set", "calls.provider", "jitsi"))
    fine(own.cli("config", "set", "calls.jitsi_domain", "meet.example.org"))
    own.up()
    found = own.status()
    assert {one["name"] for one in found["services"]} == {"postgres", "synapse", "gateway", "coturn"}
    assert found["off"] == []
    client = json.loads(fetch(f"{found['addresses']['homeserver']}/.well-known/matrix/client")[2])
    assert client["im.vector.riot.jitsi"] == {"preferredDomain": "meet.example.org"}
    with socket.create_connection(("localhost", int(found["addresses"]["call"].rpartition(":")[2]))) as link:
        link.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert b"Location: https://meet.example.org/" in link.recv(2000)
    fine(own.cli("config", "set", "calls.provider", "off"))
    fine(own.cli("config", "set", "turn.enabled", "no"))
    own.up()
    found = own.status()
    assert {one["name"] for one in found["services"]} == {"postgres", "synapse", "gateway"}
    assert found["addresses"].keys() == {"homeserver", "web", "admin"}


def test_a_coturn_that_does_not_take_its_configuration(new_home: Callable[[str], Stack]) -> None:
    """coturn only logs an option that it does not know, and starts without it: `up` says so, and the chat runs."""
    own = new_home("coturn")
    own.path.mkdir(mode=0o755, exist_ok=True)
    other = own.path.with_name("other-turnserver")
    real = need("turnserver")
    # A later version's words for a switch that it no longer has.
    other.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] || echo "CONFIG: ERROR: Bad configuration format: no-cli"\nexec {real} "$@"\n'
    )
    other.chmod(0o755)
    fine(own.cli("config", "set", "artifacts.turnserver", str(other)))
    done = own.cli("up", "--yes", "--port-offset", str(own.offset))
    refused(done, 1, "relay (coturn) does not take its configuration", "Bad configuration format: no-cli")
    assert_chat_runs(own, done)


def test_a_service_that_kept_ending_is_given_a_new_try(new_home: Callable[[str], Stack]) -> None:
    """What ended again and again before is not held against a start after it was mended (it once was)."""
    own = new_home("mended")
    broken = own.path.with_name("broken-turnserver")
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 4.6.1\nexit 1\n')
    broken.chmod(0o755)
    fine(own.cli("config", "set", "calls.provider", "off"))
    fine(own.cli("config", "set", "artifacts.turnserver", str(broken)))
    refused(
        own.cli("up", "--yes", "--port-offset", str(own.offset)), 1, "relay (coturn) ends again and again"
    )
    fine(own.cli("config", "unset", "artifacts.turnserver"))
    own.up()


def test_a_part_that_fails_in_the_foreground(new_home: Callable[[str], Stack]) -> None:
    """As systemd runs it, too: the chat goes on, the failure is told, and the end is in good order."""
    own = new_home("spare")
    broken = own.path.with_name("ending-turnserver")
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 4.6.1\nexit 1\n')
    broken.chmod(0o755)
    fine(own.cli("config", "set", "calls.provider", "off"))
    fine(own.cli("config", "set", "artifacts.turnserver", str(broken)))
    with started(own, "up", "--foreground", "--yes", "--port-offset", str(own.offset)) as running:
        running.wait_told("relay (coturn) ends again and again", 90)
        assert fetch(f"{own.url('homeserver')}/_matrix/client/versions")[0] == 200
        running.process.terminate()
        assert running.process.wait(60) == 0
    assert processes(own) == []
