"""LiveKit's own doors, against a real LiveKit."""

import asyncio
import socket
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from livekit import api

from doctor.parts import KEY, SECRET, livekit
from programs import free_port
from samsesh import names
from samsesh.clients import sfu


def token(secret: str = SECRET, room: str = "test") -> str:
    grants = api.VideoGrants(room_join=True, room=room)
    return api.AccessToken(KEY, secret).with_identity("doctor").with_grants(grants).to_jwt()


def test_a_token_is_let_in_and_the_version_told(tmp_path: Path) -> None:
    """A room with the key, a token that counts, a WebSocket that opens and says which LiveKit it is."""

    async def course(url: str) -> str:
        async with sfu.room(url, KEY, SECRET, "test"):
            assert abs(await sfu.validate(url, token())) <= 2
            version = await sfu.signal(url, token())
        with pytest.raises(sfu.SfuError, match="404") as gone:  # auto_create is off: it is really gone
            await sfu.signal(url, token())
        assert gone.value.status == 404
        await sfu.delete_room(url, KEY, SECRET, "test")
        return version

    with livekit(tmp_path) as server:
        assert names.version(asyncio.run(course(server.url))) > (1, 9, 9)


def test_a_wrong_key_is_refused_everywhere(tmp_path: Path) -> None:
    """Rooms, `/rtc/validate` and the WebSocket each say that the key is another."""

    async def course(url: str) -> None:
        wrong = "w" * 40
        with pytest.raises(sfu.SfuError, match="401"):
            await sfu.make_room(url, KEY, wrong, "test")
        for ask in (sfu.validate, sfu.signal):
            with pytest.raises(sfu.SfuError) as refused:
                await ask(url, token(wrong))
            assert refused.value.status == 401 and wrong not in str(refused.value)

    with livekit(tmp_path) as server:
        asyncio.run(course(server.url))


def test_nobody_there_is_told() -> None:
    """A closed port is a sentence, not a traceback."""
    url = f"ws://127.0.0.1:{free_port()}"

    async def course() -> None:
        for asked in (sfu.validate(url, "a"), sfu.signal(url, "a"), sfu.make_room(url, KEY, SECRET, "test")):
            with pytest.raises(sfu.SfuError, match="did not answer") as nobody:
                await asked
            assert nobody.value.status == 0

    asyncio.run(course())


def test_a_clock_that_is_wrong_is_seen() -> None:
    """The Date of an answer against our clock; what is no date says nothing."""
    now = time.time()
    assert sfu.skew(formatdate(now + 300, usegmt=True), now) == pytest.approx(300, abs=1)
    assert sfu.skew("", now) == sfu.skew("yesterday", now) == 0


@pytest.mark.slow
def test_a_livekit_that_hangs_is_told_in_time() -> None:
    """It takes connections and says nothing: every question ends, within the bound."""

    async def course(url: str) -> None:
        asked = (sfu.validate(url, "a"), sfu.signal(url, "a"), sfu.make_room(url, KEY, SECRET, "test"))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(answer, sfu.SfuError) and "did not answer" in str(answer) for answer in answers)

    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(course(f"ws://127.0.0.1:{silent.getsockname()[1]}"))
    assert time.monotonic() - began < sfu.SECONDS + 2
