"""The main job: two people exchange encrypted messages, and nothing that happens to the server takes them away."""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from nio import RoomPreset

from conftest import Stack
from system.clients import Device, Person, good, log_in, register

FILE = random.Random(3).randbytes(700_000)


@dataclass
class Talk:
    """Two devices, their room, and what was said in it."""

    alice: Device
    bob: Device
    room: str
    said: list[tuple[str, str]]


@pytest.mark.slow
def test_two_people_talk(new_home: Callable[[str], Stack], tmp_path: Path) -> None:
    """Encrypted messages, a file and an edit arrive, and outlive a restart, and a restore at another place."""
    here = new_home("talk")
    here.up()
    made = json.loads(here.cli("invite", "create", "--uses", "2", "--json").stdout)
    talk = asyncio.run(begin(here.url("homeserver"), made["token"], tmp_path))

    restarted = here.cli("restart")
    assert restarted.returncode == 0, restarted.stderr
    asyncio.run(go_on(here.url("homeserver"), talk, tmp_path, "after the restart"))

    saved = here.cli("backup", "create", "--json")
    assert saved.returncode == 0, saved.stderr
    destroyed = here.cli("destroy", "--confirm", "localhost")
    assert destroyed.returncode == 0, destroyed.stderr
    there = new_home("talk-elsewhere")
    restored = there.cli("restore", json.loads(saved.stdout)["path"], "--port-offset", str(there.offset))
    assert restored.returncode == 0, restored.stderr
    assert "Nothing to do" in there.up().stdout
    url = there.url("homeserver")
    assert url.endswith(f":{8008 + there.offset}")
    asyncio.run(go_on(url, talk, tmp_path, "after the restore"))
    asyncio.run(one_more_device(url, talk, tmp_path))


async def begin(url: str, invitation: str, folder: Path) -> Talk:
    """Two people register, meet in a private room, and write to each other."""
    async with httpx2.AsyncClient(base_url=url, timeout=30) as http:
        first, second = [await register(http, name, invitation) for name in ("alice", "bob")]
    async with Person(url, first, folder) as alice, Person(url, second, folder) as bob:
        made = await alice.nio.room_create(preset=RoomPreset.private_chat, invite=[bob.name])
        room = good(made).room_id
        await bob.sync_until(lambda: room in bob.nio.invited_rooms, "the invitation")
        good(await bob.nio.join(room))
        for person in (alice, bob):
            await person.enters(room)
            assert person.nio.rooms[room].encrypted  # private rooms are, unasked
        talk = Talk(first, second, room, [])
        await exchange(talk, alice, bob, "at first")
        mistaken = await alice.say(room, "see you at nien")
        await bob.hears("see you at nien")
        await alice.edit(room, mistaken, "see you at nine")
        await bob.hears("see you at nine")
        await bob.give(room, "plan.pdf", FILE)
        await alice.hears("plan.pdf")
        talk.said += [(alice.name, "see you at nine"), (bob.name, "plan.pdf")]
        await read(talk, alice, bob)
    return talk


async def exchange(talk: Talk, alice: Person, bob: Person, when: str) -> None:
    """Each writes, and the other reads it."""
    for speaker, listener in ((alice, bob), (bob, alice)):
        words = f"{speaker.name} {when}"
        await speaker.say(talk.room, words)
        await listener.hears(words)
        talk.said.append((speaker.name, words))


async def read(talk: Talk, *people: Person) -> None:
    """All that was said is there and can be read; so is the file."""
    for person in people:
        assert await person.history(talk.room) == talk.said
        assert await person.take(talk.room, "plan.pdf") == FILE


async def go_on(url: str, talk: Talk, folder: Path, when: str) -> None:
    """Both start again from what their devices kept."""
    async with Person(url, talk.alice, folder) as alice, Person(url, talk.bob, folder) as bob:
        await read(talk, alice, bob)
        await exchange(talk, alice, bob, when)
        await read(talk, alice, bob)


async def one_more_device(url: str, talk: Talk, folder: Path) -> None:
    """A new device that writes first needs one-time keys, which a restored server has asked the old devices for."""
    async with httpx2.AsyncClient(base_url=url, timeout=30) as http:
        device = await log_in(http, talk.bob.user_id)
    async with Person(url, talk.alice, folder) as alice, Person(url, device, folder) as phone:
        await alice.sync_until(lambda: device.device_id in alice.nio.device_store[phone.name], "the device")
        await exchange(talk, phone, alice, "on a phone")
