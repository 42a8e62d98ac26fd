"""`samsesh doctor calls` and `turn` on a real server: all well, and then one hop broken at a time."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from conftest import Stack, give_to_service_user
from doctor.parts import PUBLIC, namespace
from programs import livekit_server
from samsesh.clients import participant
from system.trouble import fine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs("turnserver"),
]
Checks = Mapping[str, dict[str, Any]]
Edit = Callable[[Any], Any]
BY_CALL = {"calls-media-udp", "calls-media-tcp"}
BY_SFU = {"calls-sfu", *BY_CALL, "calls-media-relay"}
BY_OPENID = {*BY_SFU, "calls-members"}
BY_ROOM = {*BY_OPENID, "calls-openid", "calls-webhook"}
BY_TURN = {"turn-private-peer", "turn-tls", "turn-https", "calls-media-relay"}
# Skipped where LiveKit is on loopback, without a certificate, and without the splitter.
LOCAL = {"calls-media-relay", "turn-tls", "turn-https"}


def examined(stack: Stack) -> Checks:
    done = stack.cli("doctor", "calls", "turn", "--json", timeout=120)
    assert "Traceback" not in done.stderr, done.stderr
    found = {check["id"]: check for check in json.loads(done.stdout)["checks"]}
    failed = any(check["status"] == "failed" for check in found.values())
    assert done.returncode == (1 if failed else 0), done.stderr
    assert "livekit_ffi" not in done.stderr
    for word in ("livekit_secret", "turn_shared_secret", "doctor_token"):
        if (secret := stack.home.secrets_dir / word).exists():
            assert secret.read_text().strip() not in done.stdout + done.stderr
    return {id_: check for id_, check in found.items() if id_.startswith(("calls-", "turn-"))}


def only(found: Checks, failed: set[str], skipped: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """These failed, those were skipped for it, and all else is well."""
    told = {id_: f"{check['status']}: {check['summary']} {check['seen']}" for id_, check in found.items()}
    assert {id_ for id_, check in found.items() if check["status"] == "failed"} == failed, told
    assert {id_ for id_, check in found.items() if check["status"] == "skipped"} == skipped | LOCAL, told
    assert all(found[id_]["advice"] for id_ in failed)


@pytest.fixture(scope="module")
def caller(session_home: Callable[[str], Stack]) -> Stack:
    """A running server with calls, in which each test breaks one thing and mends it again."""
    made = session_home("caller")
    fine(made.cli("config", "set", "artifacts.livekit", str(livekit_server())))
    made.up()
    return made


@contextmanager
def edited(stack: Stack, edits: Mapping[str, Edit], *restart: str) -> Iterator[None]:
    """Files below `config` changed by hand, and those services restarted; all as before afterwards."""
    paths = {stack.home.config_dir / name: edit for name, edit in edits.items()}
    before = {path: path.read_bytes() for path in paths}
    try:
        for path, edit in paths.items():
            path.write_bytes(changed(path, before[path], edit))
        restarted(stack, restart)
        yield
    finally:
        for path, content in before.items():
            path.write_bytes(content)
        restarted(stack, restart)


def restarted(stack: Stack, names: tuple[str, ...]) -> None:
    """Our many restarts within a minute are not a program that ends again and again."""
    for name in names:
        (stack.home.runtime_dir() / f"{name}.starts").unlink(missing_ok=True)
    if names:
        fine(stack.cli("restart", *names))


def changed(path: Path, content: bytes, edit: Edit) -> bytes:
    if path.suffix == ".conf":
        return str(edit(content.decode())).encode()
    return json.dumps(edit(yaml.safe_load(content))).encode()  # YAML reads JSON, too


def put(*where: str, value: Any) -> Edit:
    """Set one value deep in a document."""

    def edit(document: Any) -> Any:
        part = document
        for key in where[:-1]:
            part = part.setdefault(key, {})
        part[where[-1]] = value
        return document

    return edit


def drop(key: str) -> Edit:
    return lambda document: {name: value for name, value in document.items() if name != key}


def without_module(name: str) -> Edit:
    return lambda document: {
        **document,
        "modules": [module for module in document["modules"] if not module["module"].endswith(f".{name}")],
    }


def test_calls_are_proven_on_a_healthy_server(caller: Stack) -> None:
    """Every hop is gone, sound is heard over UDP and TCP, well under the 20 seconds; twice, and nothing is left."""
    for _ in range(2):
        began = time.monotonic()
        found = examined(caller)
        assert time.monotonic() - began < 20
        only(found, set())
        assert "127.0.0.1:" in found["calls-media-udp"]["summary"]
    assert asyncio.run(_livekit_rooms(caller)) == []
    assert _joined_rooms(caller) == []


async def _livekit_rooms(stack: Stack) -> list[str]:
    from livekit import api

    key, secret = ((stack.home.secrets_dir / f"livekit_{name}").read_text() for name in ("key", "secret"))
    async with api.LiveKitAPI(stack.url("livekit").replace("ws", "http", 1), key, secret) as livekit:
        found = await livekit.room.list_rooms(api.ListRoomsRequest())
        return [room.name for room in found.rooms]


def _joined_rooms(stack: Stack) -> list[str]:
    """Rooms that the doctor's account is still in; deleting them takes Synapse a moment."""
    import httpx2

    token = (stack.home.secrets_dir / "doctor_token").read_text().strip()
    for _ in range(50):
        answer = httpx2.get(
            f"{stack.url('homeserver')}/_matrix/client/v3/joined_rooms",
            headers={"Authorization": f"Bearer {token}"},
            trust_env=False,
        )
        rooms: list[str] = answer.json()["joined_rooms"]
        if not rooms:
            return []
        time.sleep(0.2)
    return rooms


HOMESERVER = {
    "transports": (
        drop("matrix_rtc"),
        {"calls-transports"},
        set[str](),
        "announces no calls",
        "matrix_rtc",
    ),
    "delayed": (
        drop("max_event_delay_duration"),
        {"calls-delayed"},
        set[str](),
        "could be scheduled",
        "max_event_delay_duration",
    ),
    "power": (
        without_module("CallsModule"),
        {"calls-power"},
        set[str](),
        "only moderators",
        "rooms allow-calls",
    ),
    "turn": (drop("turn_uris"), {"turn-allocate"}, BY_TURN, "the homeserver tells apps", "turn_uris"),
}


@pytest.mark.parametrize("case", HOMESERVER)
def test_what_the_homeserver_lacks_is_named(caller: Stack, case: str) -> None:
    """One setting of Synapse's missing: the one check that is about it fails, with that setting in its advice."""
    edit, failed, skipped, summary, advice = HOMESERVER[case]
    with edited(caller, {"synapse/homeserver.yaml": edit}, "synapse"):
        found = examined(caller)
    only(found, failed, skipped)
    (id_,) = failed
    assert summary in found[id_]["summary"] and advice in found[id_]["advice"], found[id_]


def test_two_addresses_of_one_service_are_told(caller: Stack) -> None:
    """Element Call that is configured for another service than the others."""
    edit = put("livekit", "livekit_service_url", value="https://elsewhere.example")
    with edited(caller, {"call/config.json": edit}):
        found = examined(caller)
    only(found, {"calls-transports"})
    assert "leads to https://elsewhere.example" in found["calls-transports"]["summary"]


def test_another_key_at_livekit_is_told(caller: Stack) -> None:
    """LiveKit with other keys: rooms cannot be made, and what needs one is not tried."""
    edit: Edit = lambda keys: dict.fromkeys(keys, "w" * 40)  # noqa: E731
    with edited(caller, {"livekit/keys.yaml": edit}, "livekit", "rtc-auth"):
        found = examined(caller)
    only(found, {"calls-room"}, BY_ROOM)
    assert "another key" in found["calls-room"]["summary"]
    assert "samsesh" in found["calls-room"]["advice"] and "restart livekit" in found["calls-room"]["advice"]


@pytest.mark.native
def test_a_service_that_does_not_reach_livekit_is_told(caller: Stack) -> None:
    """LiveKit is there, and the authorization service asks elsewhere: its own words say so."""
    edit = put("env", "SAMSESH_RTC_LIVEKIT_API_URL", value="http://127.0.0.1:9")
    with edited(caller, {"units/rtc-auth.json": edit}, "rtc-auth"):
        found = examined(caller)
    only(found, {"calls-room"}, BY_ROOM)
    assert found["calls-room"]["seen"] == "LiveKit cannot be reached: connection refused"


@pytest.mark.native
def test_a_service_that_sends_people_elsewhere_is_told(caller: Stack) -> None:
    """The authorization service with a wrong LIVEKIT_URL: tokens are given, for an address where nobody is."""
    edit = put("env", "LIVEKIT_URL", value="ws://localhost:9")
    with edited(caller, {"units/rtc-auth.json": edit}, "rtc-auth"):
        found = examined(caller)
    only(found, {"calls-sfu"}, BY_SFU - {"calls-sfu"})
    assert "ws://localhost:9" in found["calls-sfu"]["summary"]


@pytest.mark.native
def test_a_service_that_does_not_reach_the_homeserver_is_told(caller: Stack) -> None:
    """OpenID tokens cannot be verified: the service refuses everybody."""
    edit = put("env", "SAMSESH_RTC_HOMESERVER_URL", value="unix:/nonexistent")
    with edited(caller, {"units/rtc-auth.json": edit}, "rtc-auth"):
        found = examined(caller)
    only(found, {"calls-openid"}, BY_OPENID)
    assert "real OpenID token" in found["calls-openid"]["summary"]
    assert "the service on the homeserver: the homeserver cannot be reached" in found["calls-openid"]["seen"]
    assert "logs rtc-auth" in found["calls-openid"]["advice"]


@pytest.mark.native
@pytest.mark.parametrize("kind", ["nobody answers", "nobody is asked"])
def test_calls_that_are_not_for_their_room_alone_are_told(caller: Stack, kind: str) -> None:
    """Where Synapse is not reached nobody gets a token, where it is not asked everybody does: both are told."""

    def edit(unit: dict[str, Any]) -> dict[str, Any]:
        names = ("SAMSESH_RTC_MEMBERS", "SAMSESH_RTC_MEMBERS_KEY_FILE")
        if kind == "nobody answers":
            return {**unit, "env": {**unit["env"], names[0]: "unix:/nonexistent"}}
        return {**unit, "env": {name: value for name, value in unit["env"].items() if name not in names}}

    with edited(caller, {"units/rtc-auth.json": edit}, "rtc-auth"):
        found = examined(caller)
    if kind == "nobody answers":
        only(found, {"calls-openid"}, BY_OPENID)
        assert "does not say who is in a room" in found["calls-openid"]["summary"]
        assert "no such file" in found["calls-openid"]["seen"]
    else:
        only(found, {"calls-members"})
        assert "whoever knows the ID" in found["calls-members"]["summary"]


def test_webhooks_that_lead_nowhere_are_told(caller: Stack) -> None:
    """LiveKit tells nobody who left: delegation is not offered, and the doctor says why."""
    edit = put("webhook", "urls", value=["http://127.0.0.1:9/sfu_webhook"])
    with edited(caller, {"livekit/livekit.yaml": edit}, "livekit", "rtc-auth"):
        found = examined(caller)
    only(found, {"calls-webhook"})
    assert "webhook" in found["calls-webhook"]["summary"]


@pytest.mark.native
@pytest.mark.parametrize(
    ("unit", "failed", "skipped"),
    [
        ("livekit", {"calls-room"}, BY_ROOM),
        ("rtc-auth", {"calls-service"}, BY_ROOM),
        ("coturn", {"turn-allocate"}, BY_TURN),
    ],
)
def test_a_service_that_hangs_is_named(caller: Stack, unit: str, failed: set[str], skipped: set[str]) -> None:
    """One program that does not answer: its own check fails in time, and the others are about others."""
    pid = next(one["pid"] for one in caller.status()["services"] if one["name"] == unit)
    os.kill(int(pid), 19)
    try:
        found = examined(caller)
    finally:
        os.kill(int(pid), 18)
    only(found, failed, skipped)
    (id_,) = failed
    assert unit in found[id_]["advice"]


def test_a_relay_with_another_secret_is_told(caller: Stack) -> None:
    """coturn and Synapse that do not share their secret: no credential opens the relay."""
    edit = lambda text: _line(text, "static-auth-secret", "another")  # noqa: E731
    with edited(caller, {"coturn/turnserver.conf": edit}, "coturn"):
        found = examined(caller)
    only(found, {"turn-allocate"}, BY_TURN)
    assert "share their secret" in found["turn-allocate"]["summary"]


@pytest.mark.native
def test_a_relay_into_private_networks_is_told(caller: Stack) -> None:
    """coturn without our denied ranges: every private address that it lets through is named."""

    def edit(text: str) -> str:
        kept = [line for line in text.splitlines() if not line.startswith("denied-peer-ip")]
        return "\n".join([*kept, "allow-loopback-peers", ""])

    with edited(caller, {"coturn/turnserver.conf": edit}, "coturn"):
        found = examined(caller)
    only(found, {"turn-private-peer"})
    for peer in ("10.0.0.1", "127.0.0.1", "169.254.169.254"):
        assert peer in found["turn-private-peer"]["summary"]
    assert "turn.enabled false" in found["turn-private-peer"]["advice"]


def test_a_configuration_that_coturn_does_not_take_is_told(caller: Stack) -> None:
    """An option that this version does not know is in its log only; mended, it is forgotten."""
    with edited(caller, {"coturn/turnserver.conf": lambda text: f"{text}no-such-option\n"}, "coturn"):
        found = examined(caller)
        only(found, {"turn-log"})
        assert "no-such-option" in found["turn-log"]["seen"]
    only(examined(caller), set())


def _line(text: str, key: str, value: str) -> str:
    return "\n".join(f"{key}={value}" if line.startswith(f"{key}=") else line for line in text.split("\n"))


@pytest.mark.native
@pytest.mark.parametrize(("protocol", "failed"), [("udp", "calls-media-udp"), ("tcp", "calls-media-tcp")])
def test_a_blocked_media_port_is_named(new_home: Callable[[str], Stack], protocol: str, failed: str) -> None:
    """A firewall before one media port: the call over the other protocol is still proven, and the port is named."""
    if reason := participant.obstacle():
        pytest.skip(reason)
    with namespace(protocol) as inside:
        own = new_home(f"blocked-{protocol}")
        own.prefix = tuple(inside.command())
        fine(own.cli("config", "set", "artifacts.livekit", str(livekit_server())))
        own.up()
        try:
            port = (7881 if protocol == "tcp" else 7882) + own.offset
            inside.block(protocol, port)
            found = examined(own)
            only(found, {failed})
            assert f"{protocol.upper()} port {port}" in found[failed]["advice"]
        finally:
            fine(own.cli("down"))
            own.prefix = ()


@pytest.mark.native
def test_the_relay_carries_calls(new_home: Callable[[str], Stack]) -> None:
    """Where people reach LiveKit at an address, coturn relays to it; media goes to that address and no other."""
    with namespace("relay") as inside:
        own = new_home("relay")
        own.prefix = tuple(inside.command())
        fine(own.cli("config", "set", "artifacts.livekit", str(livekit_server())))
        fine(own.cli("config", "set", "calls.media_addresses", PUBLIC))
        own.up()
        try:
            found = examined(own)
            told = {id_: f"{check['status']}: {check['summary']}" for id_, check in found.items()}
            not_ok = {id_ for id_, check in found.items() if check["status"] != "ok"}
            assert not_ok == LOCAL - {"calls-media-relay"}, told
            assert f"{PUBLIC}:" in found["calls-media-relay"]["summary"]
            assert f"{PUBLIC}:" in found["calls-media-udp"]["summary"]
        finally:
            fine(own.cli("down"))
            own.prefix = ()


@pytest.mark.native
def test_the_relay_over_tls(new_home: Callable[[str], Stack]) -> None:
    """With a certificate of an authority that this machine trusts TLS is proven; where it does not, that is told."""
    own = new_home("tls")
    authority = trustme.CA()
    made = authority.issue_cert("localhost")
    fine(own.cli("config", "set", "turn.certificate", "turn.pem"))
    fine(own.cli("config", "set", "turn.certificate_key", "turn.key"))
    authority.cert_pem.write_to_path(own.path / "ca.pem")
    made.cert_chain_pems[0].write_to_path(own.path / "turn.pem")
    made.private_key_pem.write_to_path(own.path / "turn.key")
    (own.path / "turn.key").chmod(0o600)
    give_to_service_user(own.path)
    own.up()
    found = json.loads(own.cli("doctor", "--only", "turn-tls", "--json").stdout)["checks"]
    tls = next(check for check in found if check["id"] == "turn-tls")
    assert tls["status"] == "failed" and "does not count" in tls["summary"]
    assert "turn.certificate" in tls["advice"]
    own.environ = {"SSL_CERT_FILE": str(own.path / "ca.pem")}
    found = json.loads(own.cli("doctor", "--only", "turn-tls", "--json").stdout)["checks"]
    tls = next(check for check in found if check["id"] == "turn-tls")
    assert tls["status"] == "ok" and tls["summary"].startswith("TLSv1."), tls


@pytest.mark.parametrize("provider", ["off", "jitsi"])
def test_calls_that_are_off_are_skipped_with_the_reason(
    new_home: Callable[[str], Stack], provider: str
) -> None:
    """Nothing fails where no calls are wanted; the relay for one-to-one calls is still examined."""
    own = new_home(f"no-calls-{provider}")
    fine(own.cli("config", "set", "calls.provider", provider))
    own.up()
    done = own.cli("doctor", "calls", "--json")
    checks = json.loads(done.stdout)["checks"]
    assert done.returncode == 0
    calls = [check for check in checks if check["id"].startswith("calls-")]
    assert calls and {check["status"] for check in calls} == {"skipped"}
    assert any(f"calls.provider is {provider}" in check["summary"] for check in calls)
    turn = json.loads(own.cli("doctor", "turn", "--json").stdout)
    assert turn["ok"] and any(c["id"] == "turn-allocate" and c["status"] == "ok" for c in turn["checks"])
