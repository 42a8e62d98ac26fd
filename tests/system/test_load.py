"""Many people write while the services are killed: what was acknowledged stays."""

import asyncio
import json
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from conftest import Stack
from system.clients import API, Device, register

PEOPLE, ROOMS, EACH = 20, 4, 100
TURNS = ["gateway", "synapse", "postgres"] * 2
LIMIT_SECONDS = 420
LOG = logging.getLogger(__name__)


class Load:
    """People's requests, made again until the server has answered them."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http
        self.acknowledged: dict[str, str] = {}  # what was said: the event's id
        self.again: Counter[str] = Counter()

    async def ask(self, device: Device, method: str, path: str, **more: Any) -> dict[str, Any]:
        while True:
            try:
                headers = {"Authorization": f"Bearer {device.access_token}"}
                answer = await self.http.request(method, API + path, headers=headers, **more)
            except httpx2.TransportError as error:
                reason = type(error).__name__
            else:
                if answer.status_code == 200:
                    found: dict[str, Any] = answer.json()
                    return found
                assert answer.status_code == 429 or answer.status_code >= 500, answer.text
                reason = str(answer.status_code)
            self.again[reason] += 1
            await asyncio.sleep(0.2)

    async def rooms(self, devices: list[Device]) -> list[str]:
        """Everybody is in one room; a room for each device in turn."""
        rooms = []
        for first in range(ROOMS):
            made = await self.ask(devices[first], "POST", "/createRoom", json={"preset": "public_chat"})
            rooms.append(made["room_id"])
        wanted = list(zip(devices, rooms * (PEOPLE // ROOMS), strict=True))
        await asyncio.gather(
            *(self.ask(device, "POST", f"/join/{room}", json={}) for device, room in wanted[ROOMS:])
        )
        return [room for _, room in wanted]

    async def speak(self, device: Device, room: str) -> None:
        for number in range(EACH):
            words = f"{device.user_id} says {number}"
            path = f"/rooms/{room}/send/m.room.message/{number}"
            answer = await self.ask(device, "PUT", path, json={"msgtype": "m.text", "body": words})
            self.acknowledged[words] = answer["event_id"]

    async def read(self, device: Device, room: str) -> list[tuple[str, str]]:
        """(words, event id) of all messages in a room, page by page."""
        found: list[tuple[str, str]] = []
        query = {"dir": "b", "limit": "100"}
        while True:
            page = await self.ask(device, "GET", f"/rooms/{room}/messages", params=query)
            found += [
                (event["content"]["body"], event["event_id"])
                for event in page["chunk"]
                if event["type"] == "m.room.message"
            ]
            if "end" not in page:
                return found
            query["from"] = page["end"]


@pytest.mark.slow
def test_acknowledged_messages_survive_kills(new_home: Callable[[str], Stack]) -> None:
    """20 people send 2,000 messages while each service is killed in turn: each is there afterwards, once."""
    own = new_home("load")
    own.set({"rate_limits.message_per_second": "1000", "rate_limits.message_burst": "10000"})
    own.up()
    made = json.loads(own.cli("invite", "create", "--uses", str(PEOPLE), "--json").stdout)
    asyncio.run(asyncio.wait_for(load(own, made["token"]), LIMIT_SECONDS))


async def load(own: Stack, invitation: str) -> None:
    async with httpx2.AsyncClient(base_url=own.url("homeserver"), timeout=15) as http:
        # One by one: Synapse answers 500 when many use one invitation in the same tenth of a second.
        devices = [await register(http, f"person{n}", invitation) for n in range(PEOPLE)]
        people = Load(http)
        rooms = await people.rooms(devices)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            group.create_task(kill_in_turn(own, people.acknowledged))
            for device, room in zip(devices, rooms, strict=True):
                group.create_task(people.speak(device, room))
        taken = time.monotonic() - began
        again = dict(people.again)
        there = [each for n in range(ROOMS) for each in await people.read(devices[n], rooms[n])]
    assert again, "nobody noticed that the services were killed"
    assert len(people.acknowledged) == PEOPLE * EACH
    assert sorted(there) == sorted(people.acknowledged.items())
    LOG.info(
        "%d messages in %.1f s (%.0f/s), %d kills, asked again: %s",
        len(there),
        taken,
        len(there) / taken,
        len(TURNS),
        again,
    )


async def kill_in_turn(own: Stack, acknowledged: dict[str, str]) -> None:
    """`kill -9`, evenly spread over the messages."""
    for turn, name in enumerate(TURNS, 1):
        while len(acknowledged) < turn * PEOPLE * EACH // (len(TURNS) + 1):
            await asyncio.sleep(0.05)
        while (service := await asyncio.to_thread(service_of, own, name))["state"] != "running":
            await asyncio.sleep(0.1)
        os.kill(service["pid"], signal.SIGKILL)


def service_of(own: Stack, name: str) -> dict[str, Any]:
    return next(service for service in own.status()["services"] if service["name"] == name)
