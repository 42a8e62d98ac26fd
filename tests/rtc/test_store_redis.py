"""Several services on one Redis: each job has one owner, and none is lost with a process or with Redis itself."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis as redis_sync

from programs import need
from rtc.leaving import ABORTED, JOINED, LEFT, World
from rtc.running import Local, Rtc, Run, current, deliver, event, signed, wait_for
from samsesh.rtc.leave import Answer, Leave, Leaves
from samsesh.rtc.redis_store import RedisStore
from samsesh.rtc.store import Store
from samsesh.rtc.tokens import derived

LEASE = 1.5

# A service with ten jobs, all connected, that prints every request to the homeserver.
SERVICE = """
import asyncio, sys
from samsesh.rtc.leave import Answer, Leave, Leaves
from samsesh.rtc.redis_store import RedisStore

async def participants(room, identity):
    return True

async def post(cs_api_url, path, job):
    print(path.split("/")[-2:], flush=True)
    return Answer(200, None)

async def main():
    leaves = Leaves(RedisStore(sys.argv[1], float(sys.argv[2])), participants, post)
    await leaves.start()
    for number in range(10):
        await leaves.add(Leave("room", f"p{number}", "https://hs", f"d{number}", 5, f"@p{number}:hs"))
        await leaves.event("participant_joined", "room", f"p{number}")
    await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


class Redis:
    """A redis-server of our own, without persistence unless `keep`."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.folder = folder
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *options: str, keep: bool = False) -> None:
        kept = ["--appendonly", "yes", "--appendfsync", "always"] if keep else ["--appendonly", "no"]
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *kept, *options],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline and self.process.poll() is None
                time.sleep(0.02)

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    need("redis-server")
    server = Redis(tmp_path)
    server.start()
    yield server
    server.kill()


class Node(World):
    """One of several services that ask the same LiveKit and the same homeserver."""

    def __init__(self, redis: Redis, shared: World | None = None) -> None:
        store: Store = RedisStore(redis.url, LEASE)
        super().__init__(store)
        if shared:
            self.there, self.timers, self.sent = shared.there, shared.timers, shared.sent

    def clock(self) -> float:
        return time.time()

    def did(self) -> list[tuple[str, str]]:
        return [(what, name) for _, what, name in self.said if what != "ask"]


async def until(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited for in vain"
        await asyncio.sleep(0.02)


def test_news_reach_the_owner(redis: Redis) -> None:
    """A webhook counts wherever it comes in: exactly the process that owns the job acts on it."""

    async def main() -> None:
        a = Node(redis)
        b = Node(redis, a)
        await a.leaves.start()
        await b.leaves.start()
        await a.add("alice", "d1")
        await a.add("carol", "d2")
        await b.event(JOINED)
        await until(lambda: ("restart", "d1") in a.did())
        await b.event(LEFT)
        await b.event(ABORTED, "carol")
        await until(lambda: a.leaves.count() == 0)
        assert a.did() == [("restart", "d1"), ("send", "d1")] and not b.did()
        assert not a.leaves.trouble and not b.leaves.trouble
        await a.leaves.stop()
        await b.leaves.stop()

    asyncio.run(main())


def test_replaced_at_another(redis: Redis) -> None:
    """A new request at another process replaces the job: the old one does nothing any more."""

    async def main() -> None:
        a = Node(redis)
        b = Node(redis, a)
        await a.leaves.start()
        await b.leaves.start()
        for number in range(30):
            old, new = (a, b) if number % 2 else (b, a)
            await old.add("alice", f"old{number}")
            await new.add("alice", f"new{number}")
            await until(lambda: a.leaves.count() + b.leaves.count() == 1, 3)
            assert new.leaves.count() == 1
        await b.event(JOINED)
        await a.event(LEFT)
        await until(lambda: a.leaves.count() + b.leaves.count() == 0)
        posted = {name for _, name in a.did() + b.did()}
        assert posted == {"new29"} and [name for _, name in a.sent] == ["new29"]
        await a.leaves.stop()
        await b.leaves.stop()

    asyncio.run(main())


def test_stopped_in_good_order(redis: Redis) -> None:
    """Who stops hands its jobs on; who starts later finds them."""

    async def main() -> None:
        a = Node(redis)
        b = Node(redis, a)
        a.there.add("alice")
        await a.leaves.start()
        await b.leaves.start()
        await a.add(timeout=3600)
        await a.event(JOINED)
        await a.leaves.stop()
        await until(lambda: b.leaves.count() == 1, LEASE)
        await b.leaves.stop()
        c = Node(redis, a)
        await c.leaves.start()
        assert c.leaves.count() == 1
        await until(lambda: c.what("ask"))
        a.there.clear()
        await c.event(LEFT)
        await until(lambda: a.sent)
        await c.leaves.stop()

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_an_owner_that_is_gone(redis: Redis, how: signal.Signals) -> None:
    """The jobs of a dead or stuck process are another's within a lease, and stay so when it comes back to life."""
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE, redis.url, str(LEASE)], stdout=subprocess.PIPE, text=True
    )
    assert service.stdout
    try:
        for line in service.stdout:
            if line == "ready\n":
                break
        service.send_signal(how)
        stopped = time.monotonic()

        async def main() -> None:
            node = Node(redis)
            node.there |= {f"p{number}" for number in range(10)}
            node.timers = {f"d{number}": (5.0, time.time() + 5) for number in range(10)}
            await node.leaves.start()
            await until(lambda: node.leaves.count() == 10)
            assert time.monotonic() - stopped < 2 * LEASE + 1
            await until(lambda: len(node.what("restart")) >= 10)
            if how == signal.SIGSTOP:
                service.send_signal(signal.SIGCONT)
            await asyncio.sleep(6)
            await node.event(LEFT, "p3")
            await until(lambda: [name for _, name in node.sent] == ["d3"])
            assert node.leaves.count() == 9 and len(node.what("restart")) >= 20
            await node.leaves.stop()

        asyncio.run(main())
        service.kill()
        assert not service.stdout.read(), "the old owner went on"
    finally:
        service.kill()
        service.wait()
        service.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize("keep", [False, True])
def test_redis_goes_and_comes_back(redis: Redis, keep: bool) -> None:
    """While Redis is away every service goes on and says so; a Redis that comes back, even empty, is told all again."""
    redis.kill()
    redis.start(keep=keep)

    async def main() -> None:
        a = Node(redis)
        b = Node(redis, a)
        await a.leaves.start()
        await b.leaves.start()
        for number in range(20):
            await (a, b)[number % 2].add(f"p{number}", f"d{number}", 3600)
        redis.kill()
        await until(lambda: a.leaves.trouble and b.leaves.trouble)
        begun = time.monotonic()
        await a.event(JOINED, "p0")
        await a.event(LEFT, "p0")
        await a.add("new", "d-new", 3600)
        await b.event(JOINED, "p0")  # nobody can be told
        assert time.monotonic() - begun < 2, "Redis being away makes requests wait"
        await until(lambda: [name for _, name in a.sent] == ["d0"])
        assert (a.leaves.count(), b.leaves.count()) == (10, 10)
        await asyncio.sleep(LEASE)
        redis.start(keep=keep)
        await until(lambda: not a.leaves.trouble and not b.leaves.trouble, 30)
        await asyncio.sleep(3 * LEASE)
        assert (a.leaves.count(), b.leaves.count()) == (10, 10)
        await b.event(JOINED, "new")
        await until(lambda: ("restart", "d-new") in a.did())
        assert await RedisStore.mine(a.store, key("new")) and not await b.store.mine(key("new"))  # type: ignore[arg-type]
        await a.leaves.stop()
        await until(lambda: b.leaves.count() == 20)
        await b.leaves.stop()

    asyncio.run(main())


def key(identity: str) -> str:
    return f'["room", "{identity}"]'


def test_started_without_redis(tmp_path: Path) -> None:
    """A service starts without its Redis, and says what is wrong."""

    async def participants(room: str, identity: str) -> bool:
        return True

    posted: list[str] = []

    async def post(cs_api_url: str, path: str, job: str) -> Answer:
        posted.append(path)
        return Answer(200, None)

    async def main() -> None:
        leaves = Leaves(RedisStore("redis://:geheim@127.0.0.1:1/0"), participants, post)
        await leaves.start()
        begun = time.monotonic()
        await leaves.add(Leave("room", "alice", "https://hs", "d", 100, "@alice:hs"))
        assert time.monotonic() - begun < 4
        await until(lambda: posted)
        assert "Redis does not serve" in leaves.trouble and "geheim" not in leaves.trouble
        await leaves.stop()

    asyncio.run(main())


def test_a_redis_that_refuses_hello(redis: Redis) -> None:
    """Old servers and some proxies know no HELLO: they serve all the same."""
    redis.kill()
    redis.start("--rename-command", "HELLO", "")

    async def main() -> None:
        node = Node(redis)
        await node.leaves.start()
        await node.add()
        await node.event(JOINED)
        await until(node.what)
        assert not node.leaves.trouble
        await node.leaves.stop()

    asyncio.run(main())


def asked_of(homeserver: Local, delay_id: str, action: str) -> list[dict[str, object]]:
    return [hit for hit in homeserver.stub.hits if hit["path"].endswith(f"/{delay_id}/{action}")]


@pytest.mark.parametrize("kept", ["redis", "file"])
def test_killed_and_back_within_a_short_timer(
    redis: Redis, run: Run, homeserver: Local, tmp_path: Path, kept: str
) -> None:
    """A service that was killed and is back goes on before an 8 s timer runs out, and misses no webhook meanwhile."""
    where = (
        {"LIVEKIT_REDIS_URL": redis.url} if kept == "redis" else {"SAMSESH_RTC_STATE": f"{tmp_path}/leaves"}
    )
    rtc = run(
        LIVEKIT_FULL_ACCESS_HOMESERVERS=homeserver.name,
        LIVEKIT_CS_API_URL_OVERRIDES=f"{homeserver.name}={homeserver.url}",
        **where,
    )
    for name in ("stays", "goes"):
        delay = f"{kept}-{name}"
        asked = current(homeserver.name, name, delay_id=delay, delay_timeout=8000)
        assert rtc.post("/delegate_delayed_leave", asked).status == 200
        say(rtc, homeserver, JOINED, name)
        wait_for(lambda delay=delay: asked_of(homeserver, delay, "restart"), "the timer is restarted")  # type: ignore[misc]
    begun = time.monotonic()
    rtc.process.kill()
    rtc.process.wait()
    rtc.log.write_text("")
    rtc.start()
    say(rtc, homeserver, LEFT, "goes")
    wait_for(lambda: asked_of(homeserver, f"{kept}-goes", "send"), "the leave is sent", 3)
    wait_for(lambda: len(asked_of(homeserver, f"{kept}-stays", "restart")) > 1, "it goes on", 10)
    assert time.monotonic() - begun < 8
    assert rtc.stop() == 0


def say(rtc: Rtc, homeserver: Local, kind: str, name: str) -> None:
    identity = derived(f"@{name}:{homeserver.name}", "DEVICE", "member")
    webhook = event(kind, derived("!room:example.org", "m.call#ROOM"), identity)
    assert deliver(rtc, webhook, signed(webhook)).status == 200


def test_what_upstream_left_is_taken_over(redis: Redis, run: Run, homeserver: Local) -> None:
    """Leaves that lk-jwt-service kept in Redis are ours from the start; those whose time is up are not."""
    room = derived("!room:example.org", "m.call#ROOM")

    def left(name: str, restarted: datetime) -> tuple[str, str]:
        identity = derived(f"@{name}:{homeserver.name}", "DEVICE", "member")
        params = {
            "DelayId": f"upstream-{name}",
            "DelayTimeout": 8_000_000_000,
            "ServerName": homeserver.name,
            "LiveKitRoom": room,
            "LiveKitIdentity": identity,
        }
        field = json.dumps([room, identity], separators=(",", ":"))
        return field, json.dumps({"Params": params, "RestartedAt": restarted.isoformat()})

    now = datetime.now(UTC)
    rows = dict([left("there", now), left("over", now - timedelta(minutes=1))])
    with redis_sync.Redis.from_url(redis.url, protocol=2) as link:
        link.hset("lk-jwt:jobs", mapping={**rows, "other": "of a later version"})
        rtc = run(
            LIVEKIT_FULL_ACCESS_HOMESERVERS=homeserver.name,
            LIVEKIT_CS_API_URL_OVERRIDES=f"{homeserver.name}={homeserver.url}",
            LIVEKIT_REDIS_URL=redis.url,
        )
        wait_for(lambda: link.hkeys("lk-jwt:jobs") == [b"other"], "they are ours")
    say(rtc, homeserver, JOINED, "there")
    say(rtc, homeserver, JOINED, "over")
    wait_for(lambda: asked_of(homeserver, "upstream-there", "restart"), "the timer is restarted")
    assert not asked_of(homeserver, "upstream-over", "restart")
    assert "cannot be read" in rtc.logged()
    assert rtc.stop() == 0
