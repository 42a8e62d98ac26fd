"""With a real LiveKit: rooms, keys, webhooks, and a leave that is delegated and sent."""

import asyncio

import jwt
import pytest
from livekit import api

from programs import free_port
from rtc.running import KEY, SECRET, Local, Rtc, Run, current, deliver, event, legacy, signed, wait_for
from samsesh.rtc.tokens import derived

DELAYED = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"


def test_rooms_and_tokens(run: Run, homeserver: Local, livekit: str) -> None:
    """Users with full access get a room that is there, over either route, again and again; others get none made."""
    rtc = run(LIVEKIT_FULL_ACCESS_HOMESERVERS=homeserver.name, LIVEKIT_URL=livekit)
    for body, path in ((current(homeserver.name), "/get_token"), (legacy(homeserver.name), "/sfu/get")):
        for _ in range(2):
            answer = rtc.post(path, body)
            assert answer.status == 200, rtc.logged()
            asyncio.run(join(answer.json["url"], answer.json["jwt"]))
    other = run(LIVEKIT_URL=livekit)
    answer = other.post("/get_token", current(homeserver.name, room_id="!unmade:example.org"))
    from livekit import rtc as sdk

    with pytest.raises(sdk.ConnectError):  # the room is not there, and they may not make it
        asyncio.run(join(answer.json["url"], answer.json["jwt"]))


async def join(url: str, token: str) -> None:
    from livekit import rtc as sdk

    room = sdk.Room()
    await room.connect(url, token)
    assert room.isconnected()
    await room.disconnect()


def test_wrong_key(run: Run, homeserver: Local, livekit: str) -> None:
    """A LiveKit that does not know our key makes no room; readiness says that it is the key."""
    wrong = {"LIVEKIT_SECRET": "not-that-secret-but-a-long-one-all-the-same", "SAMSESH_RTC_STRICT": "yes"}
    rtc = run(LIVEKIT_FULL_ACCESS_HOMESERVERS=homeserver.name, LIVEKIT_URL=livekit, **wrong)
    answer = rtc.post("/get_token", current(homeserver.name))
    assert (answer.status, answer.json["error"]) == (500, "Unable to create room on SFU")
    assert rtc.ask("GET", "/readyz").json["livekit"]["reason"] == "LiveKit does not take our key and secret"


def test_two_addresses_of_livekit(run: Run, homeserver: Local, livekit: str) -> None:
    """Browsers are told one URL, the room is made at another."""
    rtc = run(
        LIVEKIT_FULL_ACCESS_HOMESERVERS=homeserver.name,
        LIVEKIT_URL="wss://livekit.example.org/sfu",
        SAMSESH_RTC_LIVEKIT_API_URL=livekit.replace("ws", "http"),
    )
    assert rtc.post("/get_token", current(homeserver.name)).json["url"] == "wss://livekit.example.org/sfu"


def test_a_webhook_that_was_lost(run: Run, homeserver: Local, livekit: str) -> None:
    """LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS: so often LiveKit is asked whether they are still there."""
    rtc = run(
        LIVEKIT_FULL_ACCESS_HOMESERVERS=homeserver.name,
        LIVEKIT_URL=livekit,
        LIVEKIT_CS_API_URL_OVERRIDES=f"{homeserver.name}={homeserver.url}",
        LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS="1",
    )
    asked = current(homeserver.name, "ghost", delay_id="lost", delay_timeout=18_000)
    assert rtc.post("/delegate_delayed_leave", asked).status == 200
    room = derived("!room:example.org", "m.call#ROOM")
    joined = event("participant_joined", room, derived(f"@ghost:{homeserver.name}", "DEVICE", "member"))
    assert deliver(rtc, joined, signed(joined)).status == 200
    sent = f"{DELAYED}/lost/send"
    wait_for(lambda: any(hit["path"] == sent for hit in homeserver.stub.hits), "the leave is sent", 10)


@pytest.fixture(scope="module")
def wired(
    run: Run, homeserver: Local, livekit: str, webhook_bind: str, tmp_path_factory: pytest.TempPathFactory
) -> Rtc:
    """The strict service at the address to which LiveKit sends its webhooks."""
    rtc = run(
        SAMSESH_RTC_STRICT="yes",
        LIVEKIT_FULL_ACCESS_HOMESERVERS=homeserver.name,
        LIVEKIT_URL=livekit,
        LIVEKIT_JWT_BIND=webhook_bind,
        LIVEKIT_CS_API_URL_OVERRIDES=f"{homeserver.name}={homeserver.url}",
        SAMSESH_RTC_STATE=str(tmp_path_factory.mktemp("state") / "leaves.db"),
    )
    wait_for(lambda: '"webhooks proven"' in rtc.logged(), "LiveKit's webhook of our own room")
    return rtc


def test_webhooks_are_proven(wired: Rtc, homeserver: Local) -> None:
    """Where webhooks are wired, delegation is on soon after the start, and readiness says that all is well."""
    assert wired.ask("POST", "/delegate_delayed_leave").status == 400
    ready = wired.ask("GET", "/readyz")
    assert ready.status == 200 and ready.json["ready"] and ready.json["delegation"]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/get_token", "/delegate_delayed_leave"])
def test_a_leave_is_delegated(wired: Rtc, homeserver: Local, path: str) -> None:
    """Joined: the homeserver's timer is restarted. Gone: the leave is sent, at once."""
    name = path.strip("/")
    delay = {"delay_id": name, "delay_timeout": 600_000}

    def told(action: str) -> bool:
        return any(hit["path"] == f"{DELAYED}/{name}/{action}" for hit in list(homeserver.stub.hits))

    async def call() -> None:
        from livekit import rtc as sdk

        room = sdk.Room()
        body = current(homeserver.name, room_id=f"!{name}:example.org")
        answer = wired.post("/get_token", {**body, **(delay if path == "/get_token" else {})})
        await room.connect(answer.json["url"], answer.json["jwt"])
        if path != "/get_token":
            assert wired.post(path, {**body, **delay}).status == 200
        await asyncio.to_thread(wait_for, lambda: told("restart"), "the timer is restarted")
        assert not told("send")
        await room.disconnect()
        await asyncio.to_thread(wait_for, lambda: told("send"), "the leave is sent", 10)

    asyncio.run(call())


def test_who_comes_back_does_not_leave(wired: Rtc, homeserver: Local) -> None:
    """A client that lost its connection joins anew, and LiveKit ends its old session: that is no leave."""

    def told(action: str) -> bool:
        return any(hit["path"] == f"{DELAYED}/again/{action}" for hit in list(homeserver.stub.hits))

    async def call() -> None:
        from livekit import rtc as sdk

        rooms = [sdk.Room(), sdk.Room()]
        delay = {"delay_id": "again", "delay_timeout": 600_000}
        answer = wired.post("/get_token", {**current(homeserver.name, room_id="!again:example.org"), **delay})
        await rooms[0].connect(answer.json["url"], answer.json["jwt"])
        await asyncio.to_thread(wait_for, lambda: told("restart"), "the timer is restarted")
        gone = asyncio.Event()
        rooms[0].on("disconnected", lambda reason: gone.set())
        await rooms[1].connect(answer.json["url"], answer.json["jwt"])
        await asyncio.wait_for(gone.wait(), 10)
        with pytest.raises(AssertionError):
            await asyncio.to_thread(wait_for, lambda: told("send"), "", 3)
        await rooms[1].disconnect()
        await asyncio.to_thread(wait_for, lambda: told("send"), "the leave is sent", 10)

    asyncio.run(call())


def test_a_forgotten_room_is_made_again(wired: Rtc, homeserver: Local, livekit: str) -> None:
    """LiveKit, started anew, knows no rooms: that of a call which goes on is made before somebody comes back to it.

    No other is, and only the token of a participant makes one.
    """
    from livekit import rtc as sdk

    asked = current(homeserver.name, room_id="!forgotten:example.org")
    with_delay = {**asked, "delay_id": "forgotten", "delay_timeout": 600_000}
    alone = wired.post("/get_token", current(homeserver.name, room_id="!over:example.org")).json
    going_on = wired.post("/get_token", with_delay).json
    for answer in (going_on, alone):
        asyncio.run(forget(livekit, answer["jwt"]))
        with pytest.raises(sdk.ConnectError):
            asyncio.run(join(answer["url"], answer["jwt"]))
    service = {"iss": KEY, "exp": 1 << 33, "video": {"roomCreate": True}}
    for token in ("", "no", going_on["jwt"][:-3], jwt.encode(service, SECRET), alone["jwt"]):
        assert wired.ask("GET", f"/rejoin?access_token={token}").status == 200
        with pytest.raises(sdk.ConnectError):
            asyncio.run(join(going_on["url"], going_on["jwt"]))
    assert wired.ask("GET", f"/rejoin?access_token={going_on['jwt']}&auto_subscribe=1").status == 200
    asyncio.run(join(going_on["url"], going_on["jwt"]))
    with pytest.raises(sdk.ConnectError):
        asyncio.run(join(alone["url"], alone["jwt"]))


def test_a_token_in_a_header(wired: Rtc, homeserver: Local, livekit: str) -> None:
    """Clients that are no browsers send it so, and find their room again, too."""
    asked = current(homeserver.name, room_id="!header:example.org")
    answer = wired.post("/get_token", {**asked, "delay_id": "header", "delay_timeout": 600_000}).json
    asyncio.run(forget(livekit, answer["jwt"]))
    assert wired.ask("GET", "/rejoin", headers={"Authorization": f"Bearer {answer['jwt']}"}).status == 200
    asyncio.run(join(answer["url"], answer["jwt"]))


async def forget(url: str, token: str) -> None:
    """What a crash of LiveKit does to a room."""
    room = jwt.decode(token, SECRET, ["HS256"])["video"]["room"]
    async with api.LiveKitAPI(url.replace("ws", "http"), KEY, SECRET) as livekit:
        await livekit.room.delete_room(api.DeleteRoomRequest(room=room))


def test_livekit_comes_later(run: Run, homeserver: Local) -> None:
    """While LiveKit is down the service goes on trying to prove webhooks, and says so."""
    rtc = run(SAMSESH_RTC_STRICT="yes", LIVEKIT_URL=f"ws://127.0.0.1:{free_port()}")
    wait_for(lambda: "webhooks not proven" in rtc.logged(), "it says so")
    assert "LiveKit cannot be reached" in rtc.logged()
    assert rtc.post("/get_token", current(homeserver.name)).status == 200
    assert rtc.ask("GET", "/rejoin").status == 200  # nothing to make
    assert run().ask("GET", "/rejoin").status == 404  # upstream's variables alone: upstream's routes
