"""Upstream's contract, against the running service: routes, CORS, errors, names and grants."""

import hashlib
import json
import time
from base64 import b64encode
from typing import Any

import jwt
import pytest
from canonicaljson import encode_canonical_json
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rtc.running import KEY, SECRET, Answer, Local, Rtc, Run, current, legacy
from samsesh.rtc.tokens import derived

POSTS = ("/sfu/get", "/get_token", "/delegate_delayed_leave")
CORS = {
    "content-type": "application/json",
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST",
    "access-control-allow-headers": "Accept, Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token",
}
NO_DELAY = "The request body is missing `delay_id` or `delay_timeout`"
ONLY_FULL = "Delegation of delayed events is only supported for full access users"


def has_cors(answer: Answer) -> bool:
    return CORS.items() <= answer.headers.items()


def refused(answer: Answer, status: int, errcode: str, error: str) -> None:
    assert (answer.status, answer.json) == (status, {"errcode": errcode, "error": error})
    assert has_cors(answer)


def claims(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    found: dict[str, Any] = jwt.decode(answer.json["jwt"], SECRET, ["HS256"], issuer=KEY)
    return found


def hashed(*parts: str) -> str:
    """By Matrix's own library of canonical JSON."""
    return b64encode(hashlib.sha256(encode_canonical_json(parts)).digest()).decode().rstrip("=")


def without(body: dict[str, Any], path: str) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(body))
    part = copy
    *way, last = path.split(".")
    for name in way:
        part = part[name]
    del part[last]
    return copy


@pytest.mark.parametrize("path", POSTS)
def test_cors(rtc: Rtc, path: str) -> None:
    """Every answer of the three routes can be read by a page, whatever its method and however it ends."""
    options = rtc.ask("OPTIONS", path)
    assert (options.status, options.body) == (200, b"") and has_cors(options)
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH"):
        other = rtc.ask(method, path)
        assert (other.status, other.body) == (405, b"") and has_cors(other)
    refused(rtc.post(path, b"no"), 400, "M_NOT_JSON", "Error reading request")


def test_other_routes(rtc: Rtc) -> None:
    """/healthz and /sfu_webhook answer as upstream; what only the strict service has is not there."""
    for method in ("GET", "HEAD"):
        health = rtc.ask(method, "/healthz")
        assert (health.status, health.body) == (200, b"")
        assert "access-control-allow-origin" not in health.headers
    assert rtc.ask("POST", "/healthz").status == 405
    for method in ("GET", "POST", "PUT"):
        assert rtc.ask(method, "/sfu_webhook", b"{}").status == 200
    for path in ("/", "/metrics", "/readyz", "/get_token/", "/sfu"):
        assert rtc.ask("GET", path).status == 404


def test_vectors() -> None:
    """Room names and identities are those of the specification's proposal."""
    assert derived("!roomid:example.com", "slot1234") == "O8437W3+jmzMVjoIP3tNwbm+XxHQk2iKpOA7aqw3qSc"
    assert (
        derived("@alice:example.com", "DEVICE123", "memberABC")
        == "J+T45tGruxc+HrUOqJJlyQSV33m728Cme4+vt8/SWrU"
    )
    assert derived("!room:example.com", "m.call#ROOM") == "krj2dgxw2K6EOm9he4GfQJ6JsSVWfJ8a7BkyjZcSmxs"


def test_token(rtc: Rtc, homeserver: Local) -> None:
    """/get_token: the URL as it was given, and a JWT for that room and identity, for an hour, that creates nothing."""
    answer = rtc.post("/get_token", current(homeserver.name, "bob", slot_id="other"))
    found = claims(answer)
    assert answer.json["url"] == "ws://127.0.0.1:9" and answer.body.endswith(b"}\n") and has_cors(answer)
    room = derived("!room:example.org", "other")
    granted = dict.fromkeys(("roomJoin", "canPublish", "canSubscribe", "canUpdateOwnMetadata"), True)
    assert found["video"] == {**granted, "room": room}
    assert found["sub"] == derived(f"@bob:{homeserver.name}", "DEVICE", "member")
    assert found["exp"] - found["nbf"] == 3600 and abs(found["nbf"] - time.time()) < 5


def test_legacy_token(rtc: Rtc, homeserver: Local) -> None:
    """/sfu/get: the same room as the slot m.call#ROOM, the identity in the open; no device is a device."""
    found = claims(rtc.post("/sfu/get", legacy(homeserver.name)))
    assert found["video"]["room"] == derived("!room:example.org", "m.call#ROOM")
    assert found["sub"] == f"@ann:{homeserver.name}:DEVICE"
    assert (
        claims(rtc.post("/sfu/get", legacy(homeserver.name, device_id="")))["sub"]
        == f"@ann:{homeserver.name}:"
    )


def test_payload_is_ascii(rtc: Rtc, homeserver: Local) -> None:
    """Clients decode the payload with plain atob: no byte of it is beyond ASCII."""
    token = rtc.post("/sfu/get", legacy(homeserver.name, device_id="gerät 📱")).json["jwt"]
    payload = jwt.utils.base64url_decode(token.split(".")[1])
    assert payload.isascii() and json.loads(payload)["sub"].endswith(":gerät 📱")


@pytest.mark.parametrize("name", ["room_id", "slot_id"])
def test_missing_room(rtc: Rtc, homeserver: Local, name: str) -> None:
    """Missing, empty and null are the same."""
    text = "The request body is missing `room_id` or `slot_id`"
    for body in (without(current(homeserver.name), name), current(homeserver.name, **{name: ""})):
        refused(rtc.post("/get_token", body), 400, "M_BAD_JSON", text)
    refused(rtc.post("/get_token", {**current(homeserver.name), name: None}), 400, "M_BAD_JSON", text)
    refused(rtc.post("/get_token", b"null"), 400, "M_BAD_JSON", text)


@pytest.mark.parametrize("name", ["id", "claimed_user_id", "claimed_device_id"])
def test_missing_member(rtc: Rtc, homeserver: Local, name: str) -> None:
    """Both routes say so in their own words, as upstream."""
    body = without(current(homeserver.name), f"member.{name}")
    text = "The request body `member` is missing {}`id`, `claimed_user_id` or `claimed_device_id`"
    refused(rtc.post("/get_token", body), 400, "M_BAD_JSON", text.format("a "))
    refused(rtc.post("/delegate_delayed_leave", body), 400, "M_BAD_JSON", text.format(""))


@pytest.mark.parametrize("name", ["access_token", "matrix_server_name"])
def test_missing_openid(rtc: Rtc, homeserver: Local, name: str) -> None:
    """A token without its server, or the other way round."""
    body = without(current(homeserver.name), f"openid_token.{name}")
    text = "The request body `openid_token` is missing {}`access_token` or `matrix_server_name`"
    refused(rtc.post("/get_token", body), 400, "M_BAD_JSON", text.format("a "))
    refused(rtc.post("/delegate_delayed_leave", body), 400, "M_BAD_JSON", text.format(""))
    old = without(legacy(homeserver.name), f"openid_token.{name}")
    refused(rtc.post("/sfu/get", old), 400, "M_BAD_JSON", "Missing OpenID token parameters")


def test_missing_legacy_room(rtc: Rtc, homeserver: Local) -> None:
    """The room comes first, even where all else is missing too."""
    refused(
        rtc.post("/sfu/get", legacy(homeserver.name, room="")), 400, "M_BAD_JSON", "Missing room parameter"
    )
    refused(rtc.post("/sfu/get", {}), 400, "M_BAD_JSON", "Missing room parameter")


@pytest.mark.parametrize(
    "half", [{"delay_id": "x"}, {"delay_timeout": 9}, {"delay_id": "x", "delay_timeout": -1}]
)
def test_half_a_delay(rtc: Rtc, homeserver: Local, half: dict[str, Any]) -> None:
    """Half of what delegation needs is refused before any homeserver is asked."""
    before = len(homeserver.stub.hits)
    refused(rtc.post("/get_token", current(homeserver.name, **half)), 400, "M_BAD_JSON", NO_DELAY)
    refused(rtc.post("/sfu/get", legacy(homeserver.name, **half)), 400, "M_BAD_JSON", NO_DELAY)
    refused(
        rtc.post("/delegate_delayed_leave", current(homeserver.name, **half)), 400, "M_BAD_JSON", NO_DELAY
    )
    assert len(homeserver.stub.hits) == before


def test_an_ignored_field(rtc: Rtc, homeserver: Local) -> None:
    """delay_cs_api_url is accepted and means nothing; a timeout that is none is no delay."""
    assert rtc.post("/get_token", current(homeserver.name, delay_cs_api_url="http://10.0.0.1")).status == 200
    assert rtc.post("/sfu/get", legacy(homeserver.name, delay_timeout=-5)).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'"text"', b"7", b"\xff\xfe{}", b'{"room_id":"a"', b'{"room_id":1}', b'{"member":[]}',
        b'{"openid_token":{"expires_in":1.0}}', b'{"openid_token":{"expires_in":NaN}}', b'{"delay_timeout":1e3}',
        b'{"delay_timeout":9223372036854775808}', b'{"delay_timeout":true}', b'{"delay_timeout":"1"}',
        b'{"unknown":1}', b'{"member":{"unknown":1}}', b'{"openid_token":{"unknown":null}}', b'{"member":{},"room":""}',
        b'{"room_id":"' + b"a" * 70_000 + b'"}', b"[" * 30_000, b'{"delay_timeout":' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)  # fmt: skip
def test_not_json(rtc: Rtc, body: bytes) -> None:
    """What is no JSON, of the wrong type, too large, or has a name that is not known: at any level."""
    refused(rtc.post("/get_token", body), 400, "M_NOT_JSON", "Error reading request")
    refused(rtc.post("/delegate_delayed_leave", body), 400, "M_NOT_JSON", "Error reading request")


def test_read_as_upstream_does(rtc: Rtc, homeserver: Local) -> None:
    """Go's reader of JSON: names in any case, repeated objects merged, the last value counts, the rest is not read."""
    body = json.dumps(current(homeserver.name)).replace('"room_id"', '"room_id": "!first", "Room_ID"')
    body = body.replace('"member": {', '"member": {"id": "early"}, "MEMBER": {') + " and more"
    assert claims(rtc.post("/get_token", (" \n" + body).encode()))["sub"] == derived(
        f"@ann:{homeserver.name}", "DEVICE", "member"
    )
    assert rtc.post("/get_token", body.replace('"id": "member"', '"id": null').encode()).status == 200


def test_whose_token(rtc: Rtc, homeserver: Local) -> None:
    """Refused alike, and unnamed: a claim of another user, an expired token, a user of another homeserver, nonsense."""
    unauthorized = (401, "M_UNAUTHORIZED", "The request could not be authorised.")
    for token in (
        f"bob@{homeserver.name}", "ann@example.org", "401", "raw:no", "raw:{}", 'raw:{"sub":7}', "raw:[]",
        f'raw:{{"sub":"ann:{homeserver.name}"}}', "raw:" + "[" * 20_000,
        "big", f"to:{homeserver.url}/", f"ann\n@{homeserver.name}",
    ):  # fmt: skip
        body = current(homeserver.name, token=token)
        refused(rtc.post("/get_token", body), *unauthorized)
        refused(
            rtc.post("/delegate_delayed_leave", {**body, "delay_id": "x", "delay_timeout": 9}), *unauthorized
        )
    body = current(homeserver.name, token="ann@example.org")
    body["member"]["claimed_user_id"] = "@ann:example.org"
    refused(rtc.post("/get_token", body), *unauthorized)
    for name in (
        "",
        "localhost",
        "localhost:1",
        "nobody.invalid",
        "a b",
        "https://localhost",
        "é.example",
        "x" * 300,
    ):
        if name:
            refused(rtc.post("/sfu/get", legacy(name)), *unauthorized)


def test_delegation_needs_full_access(rtc: Rtc, homeserver: Local) -> None:
    """The token routes say that the request is bad, the delegation route that it is forbidden."""
    delay: dict[str, Any] = {"delay_id": "x", "delay_timeout": 9}
    refused(rtc.post("/get_token", current(homeserver.name, **delay)), 400, "M_BAD_JSON", ONLY_FULL)
    refused(rtc.post("/sfu/get", legacy(homeserver.name, **delay)), 400, "M_BAD_JSON", ONLY_FULL)
    refused(
        rtc.post("/delegate_delayed_leave", current(homeserver.name, **delay)), 403, "M_FORBIDDEN", ONLY_FULL
    )


def test_no_client_api(run: Run, homeserver: Local) -> None:
    """Where nobody says where the user's API is, delegation fails before a room is made: LiveKit is down here."""
    rtc = run(LIVEKIT_FULL_ACCESS_HOMESERVERS=f"first.example, {homeserver.name}")
    body = current(homeserver.name, delay_id="x", delay_timeout=9)
    for path in ("/get_token", "/delegate_delayed_leave"):
        refused(rtc.post(path, body), 400, "M_BAD_JSON", "Unable to resolve client-server API")


def test_delegation(run: Run, homeserver: Local) -> None:
    """With an override the job is taken, without LiveKit being asked; the star means everybody only when alone."""
    rtc = run(
        LIVEKIT_FULL_ACCESS_HOMESERVERS="*",
        LIVEKIT_CS_API_URL_OVERRIDES=f"{homeserver.name}={homeserver.url}/",
    )
    body = current(homeserver.name, delay_id="x/y", delay_timeout=60_000)
    answer = rtc.post("/delegate_delayed_leave", body)
    assert (answer.status, answer.json) == (200, {}) and has_cors(answer)
    rtc = run(LIVEKIT_FULL_ACCESS_HOMESERVERS="*,example.org")
    refused(rtc.post("/delegate_delayed_leave", body), 403, "M_FORBIDDEN", ONLY_FULL)


def test_livekit_down(run: Run, homeserver: Local) -> None:
    """A room that cannot be made is an error of ours; users without full access do not notice."""
    rtc = run(LIVEKIT_FULL_ACCESS_HOMESERVERS=homeserver.name)
    refused(
        rtc.post("/get_token", current(homeserver.name)), 500, "M_UNKNOWN", "Unable to create room on SFU"
    )
    refused(rtc.post("/sfu/get", legacy(homeserver.name)), 500, "M_UNKNOWN", "Unable to create room on SFU")


def test_grants_of_settings(run: Run, homeserver: Local) -> None:
    """Both settings of ours show in the grants, and only there."""
    rtc = run(SAMSESH_RTC_UPDATE_OWN_METADATA="no", SAMSESH_RTC_ONLY_FULL_ACCESS_PUBLISH="yes")
    video = claims(rtc.post("/get_token", current(homeserver.name)))["video"]
    assert (
        video["canUpdateOwnMetadata"] is False
        and video["canPublish"] is False
        and video["canSubscribe"] is True
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
names = st.sampled_from(
    ["room", "room_id", "slot_id", "member", "openid_token", "id", "device_id", "delay_id", "delay_timeout"]
)
bodies = st.dictionaries(names | st.text(max_size=8), json_values, max_size=8).map(
    lambda found: json.dumps(found).encode()
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200) | bodies, path=st.sampled_from(POSTS))
@example(body=b'{"room":"\\ud800"}', path="/sfu/get")
def test_any_body(rtc: Rtc, body: bytes, path: str) -> None:
    """Whatever is sent, the answer is one of the table's, readable by a page, and never a defect of ours."""
    answer = rtc.post(path, body)
    assert answer.status in (400, 401) and has_cors(answer)
    assert answer.json["errcode"] in ("M_NOT_JSON", "M_BAD_JSON", "M_UNAUTHORIZED")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(room=st.text(min_size=1), device=st.text(min_size=1))
@example(room="<&>\u2028\x7f\x00", device="\ud800")
def test_any_name(rtc: Rtc, homeserver: Local, room: str, device: str) -> None:
    """Rooms and devices of any name get their token; half a character becomes the replacement character."""
    body = current(homeserver.name, room_id=room)
    body["member"]["claimed_device_id"] = device
    found = claims(rtc.post("/get_token", body))
    whole = [text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for text in (room, device)]
    assert found["video"]["room"] == hashed(whole[0], "m.call#ROOM")
    assert found["sub"] == hashed(f"@ann:{homeserver.name}", whole[1], "member")


def test_no_defects_and_no_tokens_in_the_log(rtc: Rtc, homeserver: Local) -> None:
    """After all of the above: no defect, no OpenID token, no JWT, no secret in the log, and every line is JSON."""
    token = rtc.post("/get_token", current(homeserver.name, "secretuser")).json["jwt"]
    lines = rtc.logged().splitlines()
    assert len(lines) > 5 and all(json.loads(line) for line in lines)
    for word in (
        "defect",
        f"secretuser@{homeserver.name}",
        "access_token=",
        token,
        token.split(".")[1],
        SECRET,
    ):
        assert word not in rtc.logged()
