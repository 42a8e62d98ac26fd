"""A delegated leave is sent when its participant is gone, and not before."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from rtc.leaving import ABORTED, JOINED, LEFT, World, virtually
from samsesh.errors import SamseshError
from samsesh.rtc.leave import EACH_USER, Answer, CrowdedError, Leave, retry_after
from samsesh.rtc.store import Loaded


def play(story: Callable[[World], Awaitable[None]], world: World | None = None) -> World:
    """What happened in a world in which `story` took place."""
    found = world or World()

    async def main() -> None:
        await found.leaves.start()
        await story(found)
        await found.leaves.stop()

    virtually(main())
    return found


def test_restarted_at_once_then_at_four_fifths() -> None:
    """Someone in a call stays in it: their timer is restarted when they join, then each time at 80 %."""

    async def story(world: World) -> None:
        world.there.add("alice")
        await world.add(timeout=100)
        await asyncio.sleep(0.05)
        await world.event(JOINED)
        await asyncio.sleep(250)
        assert world.leaves.count() == 1

    world = play(story)
    assert world.what() == [(0.05, "restart"), (80.05, "restart"), (160.05, "restart"), (240.05, "restart")]


def test_polled_with_growing_pauses() -> None:
    """Without webhooks LiveKit is asked at once, then after pauses that grow by half, to a minute at the end."""

    async def story(world: World) -> None:
        await world.add(timeout=3600)
        await asyncio.sleep(400)

    asked = [at for at, _ in play(story).what("ask")]
    assert asked[:4] == [0.1, 1.1, 2.6, 4.85]
    pauses = [round(after - before, 3) for before, after in pairwise(asked)]
    assert pauses == sorted(pauses) and pauses[-1] == 60


def test_a_poll_connects() -> None:
    """Someone who is seen in LiveKit counts as connected, webhook or not."""

    async def story(world: World) -> None:
        await world.add()
        world.there.add("alice")
        await asyncio.sleep(2)

    assert play(story).what() == [(0.1, "restart")]


@pytest.mark.parametrize("kind", [LEFT, ABORTED])
def test_sent_when_gone(kind: str) -> None:
    """Who leaves or drops out of a call is gone for the others at once."""

    async def story(world: World) -> None:
        await world.add()
        await world.event(JOINED)
        await asyncio.sleep(5)
        await world.event(kind)
        assert world.leaves.count() == 0

    assert [at for at, _ in play(story).sent] == [5.001]


def test_aborted_before_connecting_is_dropped() -> None:
    """Who never got in has not left: no request is made for them."""

    async def story(world: World) -> None:
        await world.add()
        await world.event(ABORTED)
        assert world.leaves.count() == 0
        await asyncio.sleep(4000)

    assert not play(story).what()


def test_left_before_connecting_means_an_earlier_session() -> None:
    """The late end of an old session does not take somebody out of the call that they are just joining."""

    async def story(world: World) -> None:
        await world.add()
        await world.event(LEFT)
        await world.event(JOINED)
        await asyncio.sleep(1)

    assert [kind for _, kind in play(story).what()] == ["restart"]


@pytest.mark.parametrize(("timeout", "end"), [(50.0, 50), (7200.0, 3600)])
@pytest.mark.parametrize("livekit", [True, False])
def test_never_connected(timeout: float, end: float, livekit: bool) -> None:
    """Who does not come within their timeout, an hour at most, is told to have left."""

    async def story(world: World) -> None:
        world.livekit = livekit
        await world.add(timeout=timeout)
        await asyncio.sleep(end + 10)
        assert world.leaves.count() == 0

    assert play(story).what() == [(end, "send")]


def test_gone_from_the_homeserver() -> None:
    """A timer that the homeserver does not know any more is nobody's business: dropped, without sending."""

    async def story(world: World) -> None:
        await world.add()
        world.timers.clear()
        await world.event(JOINED)
        assert world.leaves.count() == 0

    assert [kind for _, kind in play(story).what()] == ["restart"]


def test_send_is_retried_until_the_deadline() -> None:
    """A leave outlives a homeserver's bad minute, and is given up when the homeserver's own timer is up."""

    async def story(world: World) -> None:
        await world.add(timeout=100)
        await world.event(JOINED)
        world.homeserver = False
        await world.event(LEFT)
        await asyncio.sleep(99)
        assert world.leaves.count() == 1
        await asyncio.sleep(2)
        assert world.leaves.count() == 0

    attempts = [at for at, _ in play(story).what("send")]
    assert attempts[0] < 0.1 and attempts[1] - attempts[0] == pytest.approx(1) and attempts[-1] == 100


def test_send_done_by_another() -> None:
    """404 to a send: it has been sent."""

    async def story(world: World) -> None:
        await world.add()
        await world.event(JOINED)
        world.timers.clear()
        await world.event(LEFT)
        assert world.leaves.count() == 0

    assert [kind for _, kind in play(story).what()] == ["restart", "send"]


def test_restart_is_retried() -> None:
    """A homeserver that restarts in mid-call costs nobody their place in it."""

    async def story(world: World) -> None:
        world.there.add("alice")
        await world.add(timeout=100)
        world.homeserver = False
        await world.event(JOINED)
        await asyncio.sleep(30)
        world.homeserver = True
        await asyncio.sleep(200)

    world = play(story)
    assert not world.fired and not world.sent and world.leaves.count() == 1


def test_rate_limited() -> None:
    """A homeserver that asks for patience gets it, from all jobs that want something of it."""

    async def story(world: World) -> None:
        for name in ("alice", "bob"):
            await world.add(name, f"d-{name}")
            await world.event(JOINED, name)
        world.answers = [Answer(429, 7.0)]
        await world.event(LEFT, "alice")
        await world.event(LEFT, "bob")
        await asyncio.sleep(20)

    world = play(story)
    assert [at for at, _ in world.what("send")] == pytest.approx([0.002, 7.002, 7.002], abs=0.01)
    assert {name for _, name in world.sent} == {"d-alice", "d-bob"}


def test_restarts_go_before_leaves() -> None:
    """Where a homeserver takes little, timers that would run out are restarted before those who left are told."""

    async def story(world: World) -> None:
        for number in range(60):
            await world.add(f"p{number}", f"d{number}")
        world.answers = [Answer(429, 1.0)] * 60
        for number in range(60):
            await world.leaves.event(JOINED, "room", f"p{number}")
        await asyncio.sleep(0.5)
        for number in range(30):
            await world.leaves.event(LEFT, "room", f"p{number}")
        world.answers.clear()
        await asyncio.sleep(3)

    world = play(story)
    after = [kind for at, kind, _ in world.said if at > 0.5 and kind != "ask"]
    assert after == ["restart"] * 30 + ["send"] * 30


def test_a_flood_of_leaves_that_hang_keeps_no_restart_waiting() -> None:
    """However many leaves a homeserver leaves hanging, and of however many users, timers there are restarted in time."""

    class Hanging(World):
        async def post(self, cs_api_url: str, path: str, job: str) -> Answer:
            if path.endswith("/send"):
                await asyncio.sleep(20)
            return await super().post(cs_api_url, path, job)

    async def story(world: World) -> None:
        world.there.add("alice")
        await world.add(timeout=10)
        await world.event(JOINED)
        for number in range(300):
            await world.add(f"p{number}", f"other{number}", 1)
        await asyncio.sleep(120)

    world = play(story, Hanging())
    assert "d1" in world.timers
    restarts = [at for at, kind, name in world.said if (kind, name) == ("restart", "d1")]
    assert [round(after - before, 3) for before, after in pairwise(restarts)] == [8] * (len(restarts) - 1)
    assert len(restarts) > 14


def test_of_one_user_only_some() -> None:
    """A user has so many jobs at most; another still gets theirs, and what replaces a job is no job more."""

    async def story(world: World) -> None:
        for number in range(EACH_USER):
            await world.add(f"p{number}", f"d{number}", user="@mallory:hs")
        with pytest.raises(CrowdedError):
            await world.add("more", "more", user="@mallory:hs")
        await world.add("p0", "instead", user="@mallory:hs")
        await world.add()
        await world.event(JOINED, "p1")
        await world.event(LEFT, "p1")
        await world.add("again", "again", user="@mallory:hs")
        assert world.leaves.count() == EACH_USER + 1

    play(story)


def test_one_user_does_not_keep_others_waiting() -> None:
    """Where one user's leaves hang, and they have as many as they may, another's leave is sent at once all the same."""

    class Hanging(World):
        async def post(self, cs_api_url: str, path: str, job: str) -> Answer:
            if "/made-up" in path:
                await asyncio.sleep(20)
            return await super().post(cs_api_url, path, job)

    async def story(world: World) -> None:
        for number in range(EACH_USER):
            await world.add(f"p{number}", f"made-up{number}", 1, "@mallory:hs")
        await world.add()
        await world.event(JOINED)
        await asyncio.sleep(5)
        await world.event(LEFT)
        await asyncio.sleep(1)

    assert [at for at, _ in play(story, Hanging()).sent] == pytest.approx([5], abs=0.1)


def test_replaced() -> None:
    """A new request for the same participant counts instead of the old one."""

    async def story(world: World) -> None:
        await world.add(delay_id="old")
        await world.event(JOINED)
        await world.add(delay_id="new")
        await world.event(JOINED)
        await world.event(LEFT)
        await asyncio.sleep(500)
        assert world.leaves.count() == 0

    world = play(story)
    assert [(kind, name) for _, kind, name in world.said if kind != "ask"] == [
        ("restart", "old"),
        ("restart", "new"),
        ("send", "new"),
    ]


def test_replaced_in_the_middle_of_sending() -> None:
    """Who comes back while their old leave is on its way is not put out of the call by it, where that can be helped."""

    async def story(world: World) -> None:
        await world.add(delay_id="old")
        await world.event(JOINED)
        world.slow = 2
        await world.event(LEFT)
        await asyncio.sleep(1)
        await world.add(delay_id="new")
        await asyncio.sleep(5)

    assert not play(story).sent


def test_left_in_the_middle_of_a_restart() -> None:
    """Who leaves while their timer is being restarted is told to have left right after."""

    async def story(world: World) -> None:
        await world.add()
        world.slow = 2
        await world.event(JOINED)
        await asyncio.sleep(1)
        await world.event(LEFT)
        await asyncio.sleep(5)

    world = play(story)
    assert world.what() == [(0, "restart"), (2, "send")] and len(world.sent) == 1


def test_joined_in_the_middle_of_a_question() -> None:
    """A webhook counts more than LiveKit's older answer."""

    async def story(world: World) -> None:
        await world.add()
        world.slow = 2
        await asyncio.sleep(1.5)
        await world.event(JOINED)
        await asyncio.sleep(30)

    assert play(story).what() == [(1.5, "restart")]


def test_lost_webhook() -> None:
    """A leave that no webhook told about, as when LiveKit crashes, is found in about a minute, not with the timer."""

    async def story(world: World) -> None:
        world.there.add("alice")
        await world.add(timeout=3600)
        await world.event(JOINED)
        await asyncio.sleep(10)
        world.there.clear()
        await asyncio.sleep(3000)
        assert world.leaves.count() == 0

    assert [at for at, _ in play(story).sent] == pytest.approx([65], abs=1)


@pytest.mark.parametrize(("interval", "gone"), [(0, 65), (1, 7)])
def test_lost_webhook_of_a_short_timer(interval: float, gone: float) -> None:
    """However short the homeserver's timer, LiveKit is asked at an interval of its own, ours or the operator's."""
    world = World()
    world.interval = interval
    world.leaves = world.engine()

    async def story(world: World) -> None:
        world.there.add("alice")
        await world.add(timeout=18)
        await world.event(JOINED)
        await asyncio.sleep(5)
        world.there.clear()
        await asyncio.sleep(90)
        assert world.leaves.count() == 0

    assert [at for at, _ in play(story, world).sent] == pytest.approx([gone], abs=0.1)


def test_a_livekit_that_hangs_keeps_no_restart_waiting() -> None:
    """However many questions LiveKit leaves hanging, timers are restarted in time."""

    class Hanging(World):
        async def participants(self, room: str, identity: str) -> bool:
            await asyncio.sleep(1000)
            return True

    async def story(world: World) -> None:
        for number in range(100):
            await world.add(f"p{number}", f"d{number}", 18)
            await world.leaves.event(JOINED, "room", f"p{number}")
        await asyncio.sleep(600)
        world.run_out()
        assert world.leaves.count() == 100

    world = play(story, Hanging())
    assert not world.fired and not world.sent


def test_taken_up_after_a_restart() -> None:
    """After a restart of the service those still there stay, those gone are told to have left, unsent sends are sent."""

    async def story(world: World) -> None:
        world.there |= {"here", "gone"}
        for name in ("here", "gone", "late", "unsent"):
            await world.add(name, f"d-{name}", 3600)
        for name in ("here", "gone", "unsent"):
            await world.event(JOINED, name)
        await asyncio.sleep(5)
        world.homeserver = False
        await world.event(LEFT, "unsent")
        await world.leaves.stop()
        world.there.remove("gone")
        world.homeserver = True
        await asyncio.sleep(60)
        world.said.clear()
        await world.restart()
        assert world.leaves.count() == 4
        world.there.add("late")
        await asyncio.sleep(10)

    world = play(story)
    assert [name for _, name in world.sent] == ["d-unsent", "d-gone"]
    posts = [(kind, name) for _, kind, name in world.said if kind != "ask"]
    assert posts == [("send", "d-unsent"), ("restart", "d-late"), ("send", "d-gone")]


def test_after_a_restart_with_livekit_away() -> None:
    """Where LiveKit does not say, nothing is concluded, and no timer runs out over it."""

    async def story(world: World) -> None:
        world.there.add("alice")
        await world.add(timeout=100)
        await world.event(JOINED)
        world.livekit = False
        await asyncio.sleep(50)
        await world.restart()
        await asyncio.sleep(500)
        assert world.leaves.count() == 1

    world = play(story)
    assert not world.sent and not world.fired


def test_delay_ids_are_escaped() -> None:
    """A delay ID of a client reaches no other path of a homeserver."""
    paths: list[str] = []

    class Noting(World):
        async def post(self, cs_api_url: str, path: str, job: str) -> Answer:
            paths.append(path)
            return Answer(200, None)

    async def story(world: World) -> None:
        for delay_id in ("a/../b?c#d%41", "..", "syd_Az-9"):
            await world.add(delay_id=delay_id)
            await world.event(JOINED)

    play(story, Noting())
    start = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events/"
    assert paths == [
        f"{start}a%2F..%2Fb%3Fc%23d%2541/restart",
        f"{start}%2E%2E/restart",
        f"{start}syd_Az-9/restart",
    ]


def test_a_homeserver_that_hangs_keeps_nobody_elses_waiting() -> None:
    """However many requests one homeserver leaves hanging, another's leaves are sent at once."""

    class Hanging(World):
        async def post(self, cs_api_url: str, path: str, job: str) -> Answer:
            if cs_api_url == "https://hangs":
                await asyncio.Event().wait()
            return await super().post(cs_api_url, path, job)

    async def story(world: World) -> None:
        for number in range(200):
            name = f"h{number}"
            await world.leaves.add(Leave("room", name, "https://hangs", name, 1000, f"@{name}:hangs"))
            await world.leaves.event(JOINED, "room", name)
        await world.add()
        await world.event(JOINED)
        await world.event(LEFT)

    assert [at for at, _ in play(story, Hanging()).sent] == pytest.approx([0], abs=0.1)


def test_a_store_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A dead store is told about, and stops nobody's leave; when it is back, it is written what it missed."""

    class Failing(World):
        pass

    world = Failing()
    broken = SamseshError("the disk is gone", "buy one")
    load, write = world.store.load, world.store.write

    async def no_load() -> Loaded:
        raise broken

    async def no_write(rows: object, fresh: object) -> set[str]:
        raise broken

    async def story(world: World) -> None:
        assert world.leaves.trouble == "the disk is gone"
        await world.add()
        await world.add("bob", "d2")
        await world.event(JOINED)
        await world.event(LEFT)
        await asyncio.sleep(60)
        assert world.sent and world.leaves.trouble
        world.store.load, world.store.write = load, write  # type: ignore[method-assign]
        await asyncio.sleep(15)
        assert not world.leaves.trouble

    world.store.load, world.store.write = no_load, no_write  # type: ignore[method-assign]
    play(story, world)
    assert list(world.store.rows) == [json.dumps(["room", "bob"])]  # type: ignore[attr-defined]
    assert "d2" not in caplog.text and "the disk is gone" in caplog.text


def test_a_row_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    """A broken row costs that job, not the service."""
    world = World()
    world.store.rows = {"a": "no json", "b": "{}"}  # type: ignore[attr-defined]

    async def story(world: World) -> None:
        assert world.leaves.count() == 0
        await world.add()

    play(story, world)
    assert list(world.store.rows) == [json.dumps(["room", "alice"])]  # type: ignore[attr-defined]
    assert "cannot be read" in caplog.text


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"Retry-After": "3"}, b'{"retry_after_ms": 9000}', 3),
        ({"retry-after": "1.5"}, b"", 1.5),
        ({"Retry-After": "-4"}, b"", 0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, b"", 0),
        ({"Retry-After": "soon"}, b'{"retry_after_ms": 2500}', 2.5),
        ({"Retry-After": "inf"}, b"", None),
        ({}, b'{"retry_after_ms": 2500}', 2.5),
        ({}, b'{"retry_after_ms": true}', None),
        ({}, b'{"retry_after_ms": 1' + b"0" * 400 + b"}", None),
        ({}, b'{"retry_after_ms": "x"}', None),
        ({}, b"[]", None),
        ({}, b"[" * 100_000, None),
        ({}, b"\xff", None),
    ],
)
def test_retry_after(headers: dict[str, str], body: bytes, seconds: float | None) -> None:
    """The header counts, then Matrix's field; nonsense is no number."""
    assert retry_after(headers, body) == seconds


def test_ten_thousand() -> None:
    """10,000 calls are one timer, not 10,000 tasks, and no timer of a homeserver runs out."""

    async def story(world: World) -> None:
        for number in range(10_000):
            world.there.add(f"p{number}")
            await world.add(f"p{number}", f"d{number}", 3600)
            await world.leaves.event(JOINED, "room", f"p{number}")
        await asyncio.sleep(10)
        assert len(asyncio.all_tasks()) < 10
        await asyncio.sleep(3500)
        world.run_out()
        assert world.leaves.count() == 10_000 and not world.fired and not world.sent

    world = play(story)
    assert len(world.what("restart")) == 20_000
