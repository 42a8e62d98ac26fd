"""A real Synapse sends a delegated leave when we say so, and not before."""

import asyncio
import itertools
import json
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import yaml

from pages.server import Site, ask, first_admin, homeserver_yaml, running
from programs import free_port
from rtc.running import Rtc, Run, deliver, event, signed, wait_for
from samsesh.rtc.leave import Answer, Leave, Leaves, retry_after
from samsesh.rtc.store import open_store
from samsesh.rtc.tokens import derived

MEMBER = "org.matrix.msc3401.call.member"
CALLS = {
    "max_event_delay_duration": "24h",
    "rc_delayed_event_mgmt": {"per_second": 1, "burst_count": 3},
    "rc_message": {"per_second": 1000, "burst_count": 1000},
}


@dataclass
class Homeserver(Site):
    """A real Synapse, and its private socket."""

    private: Path = Path()

    def user(self, name: str) -> dict[str, str]:
        """Headers of a new account."""
        user = f"@{name}:localhost"
        put(f"{self.homeserver_url}/_synapse/admin/v2/users/{user}", {}, self.admin)
        token = ask(f"{self.homeserver_url}/_synapse/admin/v1/users/{user}/login", {}, self.admin)[
            "access_token"
        ]
        return {"Authorization": f"Bearer {token}"}


def put(url: str, body: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="PUT")
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


@pytest.fixture(scope="module")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homeserver]:
    folder = tmp_path_factory.mktemp("synapse")
    port = free_port()
    config = folder / "homeserver.yaml"
    settings = homeserver_yaml(folder, port, CALLS)
    private = folder / "private.sock"
    listener = {"type": "http", "path": str(private), "mode": 0o600, "x_forwarded": True}
    settings["listeners"].append({**listener, "resources": [{"names": ["client", "openid"]}]})
    config.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "synapse.app.homeserver", "-c", str(config)]
    subprocess.run([*command, "--generate-keys"], check=True, cwd=folder, capture_output=True, timeout=60)
    site = Homeserver("", f"http://127.0.0.1:{port}", "", private=private)
    with running(command, folder / "synapse.log", f"{site.homeserver_url}/health"):
        site.admin = {"Authorization": f"Bearer {first_admin(site)}"}
        yield site


class Member:
    """Somebody in a call, as their client says it, with a leave that is sent in `timeout` seconds."""

    def __init__(self, site: Site, room: str, name: str, timeout: float) -> None:
        self.site, self.name, self.timeout = site, name, timeout
        self.path = f"/_matrix/client/v3/rooms/{quote(room)}/state/{MEMBER}/{name}"
        self.put({"in": "the call"})
        delay = f"?org.matrix.msc4140.delay={round(timeout * 1000)}"
        self.delay_id = str(self.put({}, delay)["delay_id"])

    def put(self, content: dict[str, Any], query: str = "") -> dict[str, Any]:
        return put(self.site.homeserver_url + self.path + query, content, self.site.admin)

    def is_in(self) -> bool:
        return bool(ask(self.site.homeserver_url + self.path, headers=self.site.admin))

    def leave(self) -> Leave:
        return Leave(
            "room", self.name, self.site.homeserver_url, self.delay_id, self.timeout, "@operator:localhost"
        )


async def until_gone(members: list[Member], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any([await asyncio.to_thread(member.is_in) for member in members]):
        assert time.monotonic() < deadline, "still in the call"
        await asyncio.sleep(0.1)


@pytest.mark.slow
def test_a_real_leave(synapse: Homeserver, tmp_path: Path) -> None:
    """As long as somebody is there their leave is put off; then it is sent at once, for many within the rate limit."""
    room = ask(f"{synapse.homeserver_url}/_matrix/client/v3/createRoom", {}, synapse.admin)["room_id"]
    there = {"alice"}
    statuses: list[tuple[str, int]] = []

    async def participants(room: str, identity: str) -> bool:
        return identity in there

    async def main(session: aiohttp.ClientSession) -> None:
        async def post(cs_api_url: str, path: str, job: str) -> Answer:
            async with session.post(cs_api_url + path, json={}) as response:
                statuses.append((path.rsplit("/", 1)[1], response.status))
                return Answer(response.status, retry_after(response.headers, await response.read()))

        def engine() -> Leaves:
            return Leaves(open_store(path=tmp_path / "leaves.db"), participants, post)

        leaves = engine()
        await leaves.start()
        alice = await asyncio.to_thread(Member, synapse, room, "alice", 3)
        await leaves.add(alice.leave())
        await leaves.event("participant_joined", "room", "alice")
        await asyncio.sleep(4)
        await leaves.stop()
        leaves = engine()
        await leaves.start()
        await asyncio.sleep(4)
        assert await asyncio.to_thread(alice.is_in)
        assert statuses.count(("restart", 200)) >= 3 and leaves.count() == 1
        await leaves.event("participant_left", "room", "alice")
        await until_gone([alice], 2)
        while leaves.count():  # gone before the answer says so
            await asyncio.sleep(0.05)
        assert ("send", 200) in statuses

        names = [f"guest{number}" for number in range(8)]
        guests = [await asyncio.to_thread(Member, synapse, room, name, 600) for name in names]
        for guest in guests:
            await leaves.add(guest.leave())
            await leaves.event("participant_joined", "room", guest.name)
        for guest in guests:
            await leaves.event("participant_left", "room", guest.name)
        await until_gone(guests, 60)
        assert any(status == 429 for _, status in statuses)
        while leaves.count():
            await asyncio.sleep(0.05)
        assert statuses.count(("send", 200)) == 9 and not leaves.trouble
        await leaves.stop()

    async def whole() -> None:
        async with aiohttp.ClientSession() as session:
            await asyncio.wait_for(main(session), 120)

    asyncio.run(whole())


def openid(site: Site, headers: dict[str, str], user: str) -> dict[str, Any]:
    url = f"{site.homeserver_url}/_matrix/client/v3/user/{quote(user)}/openid/request_token"
    return ask(url, {}, headers)


def request_of(token: dict[str, Any], user: str, member: str, **more: Any) -> dict[str, Any]:
    who = {"id": member, "claimed_user_id": user, "claimed_device_id": "DEVICE"}
    return {"room_id": "!a:localhost", "slot_id": "m.call#ROOM", "openid_token": token, "member": who, **more}


@pytest.mark.slow
def test_one_account_throws_nobody_out(synapse: Homeserver, run: Run, tmp_path: Path) -> None:
    """Hundreds of leaves that one account made up, due at once, keep nobody's timer from being restarted in time."""
    rtc = run(
        SAMSESH_RTC_HOMESERVER="localhost",
        SAMSESH_RTC_HOMESERVER_URL=f"unix:{synapse.private}",
        LIVEKIT_FULL_ACCESS_HOMESERVERS="localhost",
        SAMSESH_RTC_STATE=str(tmp_path / "leaves.db"),
        LIVEKIT_LOG_LEVEL="info",
    )
    room = ask(f"{synapse.homeserver_url}/_matrix/client/v3/createRoom", {}, synapse.admin)["room_id"]
    alice = Member(synapse, room, "alice", 6)
    token = openid(synapse, synapse.admin, "@operator:localhost")
    leave = {"delay_id": alice.delay_id, "delay_timeout": 6000}
    asked = request_of(token, "@operator:localhost", "alice", **leave)
    assert rtc.post("/delegate_delayed_leave", asked).status == 200
    identity = derived("@operator:localhost", "DEVICE", "alice")
    joined = event("participant_joined", derived("!a:localhost", "m.call#ROOM"), identity)
    assert deliver(rtc, joined, signed(joined)).status == 200
    attack = Attack(rtc, openid(synapse, synapse.user("mallory"), "@mallory:localhost"))
    attack.go_on(30, alice.is_in)
    assert attack.answers[200] > 200 and attack.answers.total() > 500, attack.answers
    assert set(attack.answers) <= {200, 429}
    left = event("participant_left", derived("!a:localhost", "m.call#ROOM"), identity)
    assert deliver(rtc, left, signed(left)).status == 200
    wait_for(lambda: not alice.is_in(), "the leave is sent", 2)


class Attack:
    """Delegates leaves that nobody scheduled, over some connections, as fast as they are answered."""

    def __init__(self, rtc: Rtc, token: dict[str, Any]) -> None:
        self.rtc, self.token = rtc, token
        self.answers: Counter[int] = Counter()
        self.number = itertools.count()
        self.over = threading.Event()

    def go_on(self, seconds: float, true: Callable[[], bool]) -> None:
        """For so long, in which something must be true all the time."""
        threads = [threading.Thread(target=self._ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                assert true(), self.answers
                time.sleep(0.5)
        finally:
            self.over.set()
            for thread in threads:
                thread.join()

    def _ask(self) -> None:
        link = self.rtc.connect()
        while not self.over.is_set():
            name = f"made-up-{next(self.number)}"
            body = request_of(self.token, "@mallory:localhost", name, delay_id=name, delay_timeout=1)
            link.request("POST", "/delegate_delayed_leave", json.dumps(body))
            answer = link.getresponse()
            answer.read()
            self.answers[answer.status] += 1
        link.close()
