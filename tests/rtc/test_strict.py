"""The stricter service of our engines: webhooks proven first, limits, figures, readiness."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest

from programs import free_port
from rtc.running import KEY, Answer, Local, Rtc, Run, current, deliver, event, signed
from samsesh.rtc.limits import BURST

DELAY: dict[str, Any] = {"delay_id": "x", "delay_timeout": 60_000}


@pytest.fixture(scope="module")
def strict(run: Run, homeserver: Local) -> Rtc:
    return run(SAMSESH_RTC_STRICT="yes", LIVEKIT_FULL_ACCESS_HOMESERVERS=homeserver.name)


def test_no_delegation_without_webhooks(strict: Rtc, homeserver: Local) -> None:
    """Not proven: POST is a 404 that a page can read, OPTIONS and 405 stay, and tokens with a delay are bad requests."""
    for body in (b"", json.dumps(current(homeserver.name, **DELAY)).encode()):
        answer = strict.post("/delegate_delayed_leave", body)
        assert answer.status == 404 and answer.headers["access-control-allow-origin"] == "*"
        assert answer.json["errcode"] == "M_UNRECOGNIZED"
    assert strict.ask("OPTIONS", "/delegate_delayed_leave").status == 200
    assert strict.ask("GET", "/delegate_delayed_leave").status == 405
    answer = strict.post("/get_token", current(homeserver.name, **DELAY))
    assert (answer.status, answer.json["errcode"]) == (400, "M_BAD_JSON")


def test_a_drop_in_delegates_at_once(rtc: Rtc) -> None:
    """Without our variable the bodyless probe of Element Call is answered as upstream does."""
    assert rtc.ask("POST", "/delegate_delayed_leave").status == 400


@pytest.mark.parametrize(
    "way", ["none", "other key", "other body", "stale", "not yet", "other issuer", "none algorithm", "bearer"]
)
def test_forged_webhooks(run: Run, homeserver: Local, way: str, strict: Rtc) -> None:
    """Not from our LiveKit, for another body, or too old: 200 all the same, and nothing happens."""
    body, now = event("participant_joined"), int(time.time())
    authorization = {
        "none": "",
        "other key": signed(body, "another-secret-that-is-long-enough-too"),
        "other body": signed(event("participant_left")),
        "stale": signed(body, nbf=now - 600, exp=now - 61),
        "not yet": signed(body, nbf=now + 90),
        "other issuer": signed(body, iss="other"),
        "none algorithm": jwt.encode({"iss": KEY, "exp": now + 300, "sha256": ""}, "", "none"),
        "bearer": "Bearer " + signed(body),
    }[way]
    before = strict.logged().count("webhook not signed")
    assert deliver(strict, body, authorization).status == 200
    assert strict.logged().count("webhook not signed") == before + 1


@pytest.mark.parametrize(
    "body", [event(), b"[]", b"{}", b'{"event":7,"room":[],"participant":"x"}', b"no", b"[" * 9000]
)
def test_signed_webhooks_of_any_form(strict: Rtc, body: bytes) -> None:
    """What LiveKit signed is taken, within a minute of leeway; nonsense does no harm, and proves nothing."""
    now = int(time.time())
    assert deliver(strict, body, signed(body, exp=now - 30)).status == 200
    assert deliver(strict, event(room="samsesh-probe-0"), signed(event(room="samsesh-probe-0"))).status == 200
    assert "defect" not in strict.logged()
    assert strict.post("/delegate_delayed_leave", {}).status == 404


def many(rtc: Rtc, address: str) -> list[Answer]:
    """More requests than one client may make, several at once, so that even a busy machine is faster than the bucket
    fills; `{n}` in the address is the request's number.
    """

    def ask(n: int) -> Answer:
        return rtc.post("/get_token", b"{}", {"X-Forwarded-For": address.format(n=n)})

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(ask, range(1, int(BURST) + 101)))


def test_limits(run: Run, tmp_path: Path) -> None:
    """One client is held back with 429 that a page can read; another behind the same proxy is not. Lies do not help."""
    rtc = run(SAMSESH_RTC_STRICT="yes", LIVEKIT_JWT_BIND=f"unix:{tmp_path}/rtc.sock")
    first = many(rtc, "8.8.{n}.8, 203.0.113.1")
    assert [answer.status for answer in first[: int(BURST) - 8]] == [400] * (int(BURST) - 8)
    held = next(answer for answer in first if answer.status != 400)
    assert held.status == 429 and held.headers["access-control-allow-origin"] == "*"
    assert held.json["errcode"] == "M_LIMIT_EXCEEDED" and 0 < held.json["retry_after_ms"] <= 1000
    assert rtc.post("/get_token", b"{}", {"X-Forwarded-For": "203.0.113.2"}).status == 400
    assert 429 in {answer.status for answer in many(rtc, "2001:db8::{n:x}")}  # one customer has a whole /64
    assert {answer.status for answer in many(rtc, "::ffff:198.51.100.{n}")} == {
        400
    }  # these are many, of IPv4


def test_nobody_on_this_machine_forges_an_address(run: Run) -> None:
    """At a port even a local process is who it is: another X-Forwarded-For each time gives it no other limit."""
    rtc = run(SAMSESH_RTC_STRICT="yes")
    assert 429 in {answer.status for answer in many(rtc, "203.0.113.{n}")}


@pytest.mark.parametrize("strict", ["yes", "no"])
def test_webhooks_at_a_port_of_their_own(run: Run, homeserver: Local, tmp_path: Path, strict: str) -> None:
    """There LiveKit is heard, and nobody gets anything else: no token, no figures, whatever address they claim."""
    port = free_port()
    bind = f"127.0.0.1:{port}"
    rtc = run(
        SAMSESH_RTC_STRICT=strict,
        LIVEKIT_JWT_BIND=f"unix:{tmp_path}/rtc.sock",
        SAMSESH_RTC_WEBHOOK_BIND=bind,
    )
    at_port = Rtc({"LIVEKIT_JWT_BIND": bind}, rtc.log)
    forged = {"X-Forwarded-For": "203.0.113.7"}
    body = json.dumps(current(homeserver.name)).encode()
    for path in ("/get_token", "/sfu/get", "/delegate_delayed_leave"):
        assert at_port.ask("POST", path, body, forged).status == 404
    for path in ("/healthz", "/readyz", "/metrics", "/rejoin"):
        assert at_port.ask("GET", path, None, forged).status == 404
    assert rtc.post("/get_token", current(homeserver.name)).status == 200
    before = rtc.logged().count("webhook not signed")
    assert deliver(at_port, b"{}", "forged").status == 200
    assert rtc.logged().count("webhook not signed") == before + 1


def test_a_drop_in_has_no_limits(rtc: Rtc) -> None:
    """Upstream has none."""
    assert {rtc.post("/get_token", b"{}").status for _ in range(300)} == {400}


def test_readiness_and_figures(strict: Rtc, homeserver: Local) -> None:
    """/readyz says what is down and why; /metrics counts by route and answer."""
    strict.post("/get_token", current(homeserver.name, token="401"))
    ready = strict.ask("GET", "/readyz")
    assert ready.status == 503 and ready.json["ready"] is False
    assert ready.json["livekit"] == {
        "ok": False,
        "reason": "LiveKit cannot be reached: connection refused",
    }
    assert ready.json["delegation"] is False and ready.json["leaves"] == {"count": 0, "trouble": ""}
    page = strict.ask("GET", "/metrics").body.decode()
    assert 'samsesh_rtc_requests_total{route="/get_token",status="401"}' in page
    assert "samsesh_rtc_verification_seconds_bucket" in page and "samsesh_rtc_delegation 0.0" in page


def test_readiness_of_our_homeserver(run: Run) -> None:
    """Our homeserver is looked at, too, where it is named."""
    rtc = run(
        SAMSESH_RTC_STRICT="yes",
        SAMSESH_RTC_HOMESERVER="ours.example",
        SAMSESH_RTC_HOMESERVER_URL="http://127.0.0.1:9",
    )
    found = rtc.ask("GET", "/readyz").json
    assert found["homeserver"] == {
        "ok": False,
        "reason": "the homeserver cannot be reached: connection refused",
    }


def test_redis_down(run: Run, homeserver: Local) -> None:
    """Without its Redis the service goes on in memory and says so; the password in the URL is shown to nobody."""
    rtc = run(
        SAMSESH_RTC_STRICT="yes",
        LIVEKIT_REDIS_URL="redis://:hidden-word@127.0.0.1:9",
        LIVEKIT_FULL_ACCESS_HOMESERVERS=homeserver.name,
    )
    found = rtc.ask("GET", "/readyz").json
    assert found["leaves"]["trouble"] and "hidden-word" not in json.dumps(found)
    assert rtc.post("/get_token", current("nobody.invalid")).status == 401
    assert "hidden-word" not in rtc.logged() and "defect" not in rtc.logged()
