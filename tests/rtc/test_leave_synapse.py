"""A real Synapse sends a delegated leave when we say so, and not before."""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import yaml

from pages.server import Site, ask, first_admin, homeserver_yaml, running
from programs import free_port
from samsesh.rtc.leave import Answer, Leave, Leaves, retry_after
from samsesh.rtc.store import open_store

MEMBER = "org.matrix.msc3401.call.member"
CALLS = {
    "max_event_delay_duration": "24h",
    "rc_delayed_event_mgmt": {"per_second": 1, "burst_count": 3},
    "rc_message": {"per_second": 1000, "burst_count": 1000},
}


@pytest.fixture(scope="module")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("synapse")
    port = free_port()
    config = folder / "homeserver.yaml"
    config.write_text(yaml.safe_dump(homeserver_yaml(folder, port, CALLS)))
    command = [sys.executable, "-m", "synapse.app.homeserver", "-c", str(config)]
    subprocess.run([*command, "--generate-keys"], check=True, cwd=folder, capture_output=True, timeout=60)
    site = Site("", f"http://127.0.0.1:{port}", "")
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
        url = self.site.homeserver_url + self.path + query
        request = urllib.request.Request(url, json.dumps(content).encode(), self.site.admin, method="PUT")
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def is_in(self) -> bool:
        return bool(ask(self.site.homeserver_url + self.path, headers=self.site.admin))

    def leave(self) -> Leave:
        return Leave("room", self.name, self.site.homeserver_url, self.delay_id, self.timeout)


async def until_gone(members: list[Member], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any([await asyncio.to_thread(member.is_in) for member in members]):
        assert time.monotonic() < deadline, "still in the call"
        await asyncio.sleep(0.1)


@pytest.mark.slow
def test_a_real_leave(synapse: Site, tmp_path: Path) -> None:
    """As long as somebody is there their leave is put off; then it is sent at once, for many within the rate limit."""
    room = ask(f"{synapse.homeserver_url}/_matrix/client/v3/createRoom", {}, synapse.admin)["room_id"]
    there = {"alice"}
    statuses: list[tuple[str, int]] = []

    async def participants(room: str, identity: str) -> bool:
        return identity in there

    async def main(session: aiohttp.ClientSession) -> None:
        async def post(cs_api_url: str, path: str) -> Answer:
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
