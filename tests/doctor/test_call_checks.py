"""What the checks of calls make of what they see: the judgements alone, without a server."""

import time

import pytest

from samsesh.checks import (
    calls_media_tcp,
    calls_members,
    calls_power,
    calls_service,
    calls_sfu,
    calls_transports,
    calls_webhook,
    turn_log,
    turn_private_peer,
    turn_tls,
)
from samsesh.clients import participant, rtc, turn

URL = "https://rtc.example.org"


def answer(status: int = 200, allowed: tuple[str, ...] = ("*",), **body: object) -> rtc.Answer:
    return rtc.Answer("GET", URL, status, allowed, body, "", "application/json")


FOCUS = {"type": "livekit", "livekit_service_url": URL}


def test_each_way_of_discovery_is_read() -> None:
    """The three documents, and what is in them of other kinds or damaged."""
    assert rtc.advertised({"rtc_transports": [{"type": "other"}, FOCUS]}) == [URL]
    assert rtc.well_known({"org.matrix.msc4143.rtc_foci": [FOCUS]}) == [URL]
    assert rtc.element_call({"livekit": {"livekit_service_url": URL}}) == [URL]
    for damaged in (
        {},
        {"rtc_transports": None},
        {"rtc_transports": "x"},
        {"rtc_transports": [1, {"type": "livekit"}]},
    ):
        assert rtc.advertised(damaged) == []
    configs: list[dict[str, object]] = [{}, {"livekit": []}, {"livekit": {"livekit_service_url": 1}}]
    for config in configs:
        assert rtc.element_call(config) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (answer(rtc_transports=[FOCUS]), ""),
        (answer(rtc_transports=[{**FOCUS, "livekit_service_url": f"{URL}/"}]), ""),
        (answer(), "announces no calls"),
        (answer(allowed=()), "0 times"),
        (answer(allowed=("*", "*"), rtc_transports=[FOCUS]), "2 times"),
        (answer(status=404, errcode="M_UNRECOGNIZED"), "404 (M_UNRECOGNIZED)"),
        (
            answer(rtc_transports=[{**FOCUS, "livekit_service_url": "https://old.example"}]),
            "https://old.example",
        ),
    ],
)
def test_a_way_that_leads_elsewhere_or_nowhere_is_told(found: rtc.Answer, words: str) -> None:
    """No transport, another service, an error, an answer that no web page may read."""
    problem = calls_transports.problem("transports", found, rtc.advertised, URL)
    assert words in problem if words else problem == ""


def test_cors_must_be_there_exactly_once() -> None:
    """A browser takes neither none nor two, though any other client would."""
    assert calls_service.problem(answer()) == ""
    for allowed in ((), ("*", "*"), ("https://proxy.example",)):
        assert "exactly one" in calls_service.problem(answer(allowed=allowed))
    assert "404" in calls_service.problem(answer(status=404))


def test_the_version_of_livekit_counts() -> None:
    """1.9.9 is the last that today's apps refuse; what tells no version is only odd."""
    assert calls_sfu.judged(URL, "1.13.5").status == "ok"
    assert calls_sfu.judged(URL, "1.10.0").status == "ok"
    old = calls_sfu.judged(URL, "1.9.9")
    assert old.status == "failed" and "artifacts.livekit" in old.advice
    assert calls_sfu.judged(URL, "").status == "warning"


def test_power_levels_are_read_as_the_specification_says() -> None:
    """State events want 50 where nothing is said; what is said of this one event counts."""
    kind = "org.matrix.msc3401.call.member"
    assert calls_power.judged({"events": {kind: 0}}).status == "ok"
    assert calls_power.judged({"state_default": 0}).status == "ok"
    assert calls_power.judged({"users_default": 50}).status == "ok"
    for levels in ({}, {"events": {kind: 50}}, {"events": {"m.room.name": 0}}):
        found = calls_power.judged(levels)
        assert found.status == "failed" and "rooms allow-calls" in found.advice


def test_delegation_must_be_what_apps_are_told() -> None:
    """Offered and proven is right; every other pair is a defect, the ghosts of an hour the worst."""
    offered, withheld = answer(400), answer(404)
    assert calls_webhook.judged(True, offered).status == "ok"
    ghosts = calls_webhook.judged(False, offered)
    assert ghosts.status == "failed" and "for an hour" in ghosts.summary
    for found in (calls_webhook.judged(False, withheld), calls_webhook.judged(True, withheld)):
        assert found.status == "failed" and found.advice


def test_a_stranger_must_be_refused() -> None:
    """403 that a page can read is right; a token is a defect, and so is any other answer."""
    assert calls_members.judged(answer(403)).status == "ok"
    for found in (calls_members.judged(answer(status)) for status in (200, 401, 503)):
        assert found.status == "failed" and found.advice
    assert "whoever knows the ID" in calls_members.judged(answer(200)).summary


def test_a_call_without_sound_names_the_port() -> None:
    """What to open in the firewall."""
    silent = participant.Call(joined=0.2, heard=None, frames=0, pairs=(), error="not within 8 s")
    found = calls_media_tcp.judged(silent, 7881)
    assert found.status == "failed" and "TCP port 7881" in found.advice and "joined" in found.seen


def test_certificates_for_turn() -> None:
    """A good one, Let's Encrypt's too, which Chromium takes by its own list; and one that ends soon."""
    now = time.time()
    good = turn.Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384", "Some CA", now + 90 * 86_400)
    assert turn_tls.judged(good, now).status == "ok"
    soon = turn.Tls("TLSv1.3", "x", "Some CA", now + 3 * 86_400)
    assert turn_tls.judged(soon, now).status == "warning"
    free = turn_tls.judged(turn.Tls("TLSv1.3", "x", "Let's Encrypt", now + 80 * 86_400), now)
    assert free.status == "ok"


def test_only_the_last_start_of_coturn_counts() -> None:
    """An option that was not taken is a failure until coturn has started without it."""
    bad, started = "0: : Bad configuration format: no-such-option", "Relay ports initialization done"
    for once in ([started], [started, started]):  # 4.5 writes each line twice

        def judged(*parts: list[str]) -> str:
            return turn_log.judged(
                [line for part in parts for line in part], "Bad configuration format"
            ).status

        assert judged([bad], once, ["more"]) == "failed"
        assert judged(once, ["more"], [bad], once) == "failed"
        assert judged([bad], once, ["more"], once) == "ok"
        assert judged([]) == "ok"


def test_one_private_peer_let_through_is_a_failure() -> None:
    """Refused is 403, or 443 where the relay has no such family; any other answer is not a no."""
    right = {turn_private_peer.PUBLIC: 0, **dict.fromkeys(turn_private_peer.PRIVATE, 403), "::1": 443}
    assert turn_private_peer.judged(right).status == "ok"
    for code in (0, 500):
        found = turn_private_peer.judged({**right, "10.0.0.1": code})
        assert found.status == "failed" and "10.0.0.1" in found.summary
    closed = turn_private_peer.judged({**right, turn_private_peer.PUBLIC: 403})
    assert closed.status == "failed" and "nowhere" in closed.summary


def test_secrets_are_not_shown() -> None:
    """Neither a token nor an answer that holds one appears where an object is printed."""
    told = rtc.Answer("POST", URL, 200, ("*",), {"jwt": "s3cret"}, "s3cret", "application/json")
    assert "s3cret" not in repr(told) and "s3cret" not in str(told)
    assert "s3cret" not in repr(turn.Credential("doctor", "s3cret"))


def test_what_is_no_jwt_is_told() -> None:
    """Claims are read without believing them; anything else is a ValueError."""
    assert rtc.claims("e30.eyJ2aWRlbyI6eyJyb29tIjoiciJ9fQ.x") == {"video": {"room": "r"}}
    for wrong in ("", "a.b", "a.W10.c", "a.!.c"):
        with pytest.raises(ValueError, match=r"."):
            rtc.claims(wrong)
