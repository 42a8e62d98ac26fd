"""Delegated leaves outlive the service that keeps them in a file."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rtc.leaving import World
from samsesh.errors import SamseshError
from samsesh.rtc.leave import Answer, Leave, Leaves
from samsesh.rtc.store import MemoryStore, SqliteStore, open_store

# A service that takes jobs over and is told that half of them connected; prints a line once a job is kept.
SERVICE = """
import asyncio, sys
from pathlib import Path
from samsesh.rtc.leave import Answer, Leave, Leaves
from samsesh.rtc.store import open_store

async def participants(room, identity):
    return identity.startswith("here")

async def post(cs_api_url, path, job):
    return Answer(200, None)

async def main():
    leaves = Leaves(open_store(path=Path(sys.argv[1])), participants, post)
    await leaves.start()
    for number in range(10_000):
        name = "here" if number % 2 else "late"
        await leaves.add(Leave("room", f"{name}{number}", "https://hs", f"d{number}", 3600, f"@{name}{number}:hs"))
        if number % 2:
            await leaves.event("participant_joined", "room", f"{name}{number}")
        print(number, flush=True)

asyncio.run(main())
"""


async def told(leaves: Leaves, condition: str, said: list[str]) -> None:
    deadline = time.monotonic() + 20
    while condition not in said:
        assert time.monotonic() < deadline, said
        await asyncio.sleep(0.02)
    assert leaves.trouble == ""


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """kill -9 in the middle of writing loses no job that was promised, and the next service can begin at once."""
    path = tmp_path / "jobs" / "leaves.db"
    service = subprocess.Popen(
        [sys.executable, "-c", SERVICE, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert service.stdout
    try:
        for line in service.stdout:
            if int(line) >= 300:
                break
    finally:
        service.send_signal(signal.SIGKILL)
        service.wait()
    promised = int([line, *service.stdout][-1])
    service.stdout.close()
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    said: list[str] = []

    async def participants(room: str, identity: str) -> bool:
        said.append(f"ask {identity}")
        return identity.startswith("here")

    async def post(cs_api_url: str, path: str, job: str) -> Answer:
        said.append(path.split("delayed_events/")[1])
        return Answer(200, None)

    async def main() -> None:
        leaves = Leaves(open_store(path=path), participants, post)
        await leaves.start()
        assert leaves.count() in (promised + 1, promised + 2)  # the last may have been kept and not said
        await told(leaves, "ask here299", said)
        await leaves.event("participant_left", "room", "here299")
        await told(leaves, "d299/send", said)
        kept = leaves.count()
        await leaves.stop()
        again = Leaves(open_store(path=path), participants, post)
        await again.start()
        assert again.count() == kept
        await again.stop()

    asyncio.run(main())


def test_a_second_service_on_one_file(tmp_path: Path) -> None:
    """A second process on the same file says so, works from memory, and takes the file over when the first is gone."""
    path = tmp_path / "leaves.db"

    async def main() -> None:
        first, second = World(SqliteStore(path)), World(SqliteStore(path))
        first.clock = second.clock = time.time  # type: ignore[method-assign]
        first.leaves, second.leaves = first.engine(), second.engine()
        await first.leaves.start()
        await first.add("alice", "d1")
        await second.leaves.start()
        assert "locked" in second.leaves.trouble and not first.leaves.trouble
        await second.add("bob", "d2")
        await first.leaves.stop()
        deadline = time.monotonic() + 1.6  # what a timer of 8 s has left when it is to be restarted
        while second.leaves.trouble or second.leaves.count() < 2:
            assert time.monotonic() < deadline, second.leaves.trouble
            await asyncio.sleep(0.05)
        await second.leaves.stop()

    asyncio.run(main())
    rows = sqlite3.connect(path).execute("SELECT key FROM leaves ORDER BY key").fetchall()
    assert [json.loads(key)[1] for (key,) in rows] == ["alice", "bob"]


@pytest.mark.parametrize("broken", ["no database", "a folder", "full"])
def test_a_disk_that_fails(tmp_path: Path, broken: str) -> None:
    """A broken file or a full disk is told about, and costs nobody their call."""
    path = tmp_path / "leaves.db"
    if broken == "no database":
        path.write_text("of something else entirely" * 100)
    elif broken == "a folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/full")

    async def main() -> None:
        world = World(SqliteStore(path))
        world.clock = time.time  # type: ignore[method-assign]
        world.leaves = world.engine()
        await world.leaves.start()
        await world.add()
        assert str(path) in world.leaves.trouble and world.leaves.count() == 1
        await world.leaves.event("participant_joined", "room", "alice")
        await world.leaves.event("participant_left", "room", "alice")
        deadline = time.monotonic() + 10
        while not world.sent:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        await world.leaves.stop()

    asyncio.run(main())


def test_ten_thousand_are_written_and_read(tmp_path: Path) -> None:
    """10,000 jobs are kept and taken up again in seconds, by one thread beside the loop."""

    async def main() -> None:
        world = World(SqliteStore(tmp_path / "leaves.db"))
        world.clock = time.time  # type: ignore[method-assign]
        world.leaves = world.engine()
        await world.leaves.start()
        begun = time.monotonic()
        for start in range(0, 10_000, 100):
            batch = [
                Leave("room", f"p{start + n}", "https://hs", "d", 3600, f"@p{start + n}:hs")
                for n in range(100)
            ]
            await asyncio.gather(*(world.leaves.add(leave) for leave in batch))
        await world.leaves.stop()
        written = time.monotonic() - begun
        begun = time.monotonic()
        world.store = SqliteStore(tmp_path / "leaves.db")
        world.leaves = world.engine()
        await world.leaves.start()
        assert world.leaves.count() == 10_000
        read = time.monotonic() - begun
        await world.leaves.stop()
        assert written < 30 and read < 10, (written, read)

    asyncio.run(main())


def test_open_store(tmp_path: Path) -> None:
    """Redis before the file, the file before memory; an address that is none is refused without showing it."""
    assert isinstance(open_store(), MemoryStore)
    assert isinstance(open_store(path=tmp_path / "a.db"), SqliteStore)
    assert type(open_store("redis://127.0.0.1:1/0", tmp_path / "a.db")).__name__ == "RedisStore"
    assert not os.listdir(tmp_path)  # noqa: PTH208
    with pytest.raises(SamseshError, match="is not the address of a Redis") as refused:
        open_store("http://:geheim@127.0.0.1")
    assert "geheim" not in str(refused.value) + refused.value.hint
