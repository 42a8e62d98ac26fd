"""Whatever happens in whatever order: a leave is sent once, for a reason, and never for somebody who is in the call."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from rtc.leaving import ABORTED, JOINED, LEFT, World, virtually

NAMES = ["alice", "bob"]
HAPPENINGS = st.one_of(
    st.tuples(st.sampled_from(["add", JOINED, LEFT, ABORTED]), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["enters", "goes"]), st.sampled_from(NAMES)),  # in LiveKit, without a webhook
    st.tuples(st.sampled_from(["livekit", "homeserver", "service restarts"]), st.just("")),  # away or back
)
STORIES = st.lists(st.tuples(st.sampled_from([0.001, 0.7, 9, 100, 3000]), HAPPENINGS), max_size=25)


class Told:
    """What the world told the engine, from which it follows what it may do."""

    def __init__(self) -> None:
        self.current: dict[str, str] = {}
        self.added: dict[str, float] = {}
        self.joined: set[str] = set()
        self.left: set[str] = set()
        self.replaced: dict[str, float] = {}


async def happen(world: World, told: Told, what: str, name: str) -> None:
    delay_id = told.current.get(name, "")
    if what == "add":
        new = f"{name}-{len(told.added)}"
        told.current[name], told.added[new] = new, world.now()
        if delay_id:
            told.replaced[delay_id] = world.now()
        await world.add(name, new, 3600)
    elif what in (JOINED, LEFT, ABORTED):
        (told.joined if what == JOINED else told.left).add(delay_id)
        await world.event(what, name)
    elif what == "enters":
        world.there.add(name)
    elif what == "goes":
        world.there.discard(name)
    elif what == "livekit":
        world.livekit = not world.livekit
    elif what == "homeserver":
        world.homeserver = not world.homeserver
    else:
        await world.restart()


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(story=STORIES, slow=st.sampled_from([0, 0.5, 4]))
def test_sequences(story: list[tuple[float, tuple[str, str]]], slow: float) -> None:
    """No send before connecting but for the time limit; one send a leave; nothing of a replaced job; all jobs end."""
    world, told = World(), Told()
    seen: dict[str, bool] = {}
    world.slow = slow

    async def main() -> None:
        await world.leaves.start()
        for gap, (what, name) in story:
            await asyncio.sleep(gap)
            for one in NAMES:  # somebody whom a poll may have seen
                seen[told.current.get(one, "")] = (
                    seen.get(told.current.get(one, ""), False) or one in world.there
                )
            await happen(world, told, what, name)
            for one in NAMES:
                seen[told.current.get(one, "")] = (
                    seen.get(told.current.get(one, ""), False) or one in world.there
                )
        world.there.clear()
        world.livekit = world.homeserver = True
        await asyncio.sleep(3 * 3600)
        assert world.leaves.count() == 0
        await world.leaves.stop()
        world.run_out()

    virtually(main())
    assert not world.store.rows  # type: ignore[attr-defined]
    for at, action, delay_id in world.said:
        if action == "ask":
            continue
        assert at <= told.replaced.get(delay_id, at), "a replaced job acted"
        if action == "send":
            connected = delay_id in told.joined or seen.get(delay_id)
            assert connected or at > told.added[delay_id] + 3599.9, "sent before connecting"
    sent = [delay_id for _, delay_id in world.sent]
    assert len(sent) == len(set(sent)), "sent twice"


@settings(deadline=None, derandomize=True, database=None, max_examples=200)
@given(
    story=st.lists(
        st.tuples(
            st.sampled_from([0.7, 9, 100, 3000]),
            st.sampled_from(["livekit", "homeserver blinks", "service restarts", JOINED]),
        ),
        max_size=25,
    ),
    slow=st.sampled_from([0, 4]),
)
def test_who_is_there_stays(story: list[tuple[float, str]], slow: float) -> None:
    """Somebody in the call is never told to have left, whatever restarts or is away around them."""
    world = World()
    world.slow = slow

    async def main() -> None:
        await world.leaves.start()
        world.there.add("alice")
        await world.add(timeout=3600)
        await world.event(JOINED)
        for gap, what in story:
            await asyncio.sleep(gap)
            if what == "homeserver blinks":
                world.homeserver = False
                await asyncio.sleep(300)
                world.homeserver = True
            elif what == "livekit":
                world.livekit = not world.livekit
            elif what == JOINED:
                await world.event(JOINED)
            else:
                await world.restart()
        await asyncio.sleep(5000)
        world.run_out()
        assert world.leaves.count() == 1
        await world.leaves.stop()

    virtually(main())
    assert not world.sent and not world.fired
