"""A server moves into containers and back with all that people wrote; where that fails, it goes on as it was."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from conftest import Stack, free_offset
from docker.engine import Engine
from docker.images import commands

pytestmark = pytest.mark.slow
PASSWORD = "long enough for all"


@pytest.fixture(scope="module")
def server(engine: Engine, images: dict[str, str], homes: Path) -> Iterator[Stack]:
    """A native one, in which somebody wrote and sent a file."""
    made = Stack(homes / "moving", free_offset(), commands(engine))
    made.up()
    done = made.cli("user", "add", "ann", "--password-stdin", stdin=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr
    with client(made) as http:
        assert http.post("/_matrix/client/v3/createRoom", json={}).status_code == 200
    yield made
    assert made.cli("down").returncode == 0


def client(server: Stack) -> httpx2.Client:
    """Somebody's, logged in."""
    url, who = server.url("homeserver"), {"type": "m.id.user", "user": "ann"}
    wanted = {"type": "m.login.password", "identifier": who, "password": PASSWORD}
    answer = httpx2.post(f"{url}/_matrix/client/v3/login", json=wanted, trust_env=False)
    assert answer.status_code == 200, answer.text
    token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    return httpx2.Client(base_url=url, headers=token, trust_env=False, timeout=90)


def messages(http: httpx2.Client, room: str) -> list[str]:
    found = http.get(f"/_matrix/client/v3/rooms/{room}/messages", params={"dir": "f", "limit": "100"}).json()
    return [one["content"]["body"] for one in found["chunk"] if one["type"] == "m.room.message"]


def say(http: httpx2.Client, room: str, words: str) -> None:
    path = f"/_matrix/client/v3/rooms/{room}/send/m.room.message/{words}"
    assert http.put(path, json={"msgtype": "m.text", "body": words}).status_code == 200


def test_it_is_cut_off(server: Stack) -> None:
    """Killed at any moment, the engine that had the data still has it, and moving again begins anew."""
    with client(server) as http:
        room = http.post("/_matrix/client/v3/createRoom", json={}).json()["room_id"]
        for moment in ("moving media", "restoring the database"):
            say(http, room, moment)
            with subprocess.Popen(
                server.argv("engine", "switch", "compose"),
                env=server.env(),
                cwd="/",
                stderr=subprocess.PIPE,
                text=True,
            ) as child:
                assert child.stderr
                said = []
                for line in child.stderr:
                    said.append(line)
                    if moment in line:
                        child.kill()
            assert child.returncode == -signal.SIGKILL, said
            server.up()
            assert server.status()["engine"] == "native" and moment in messages(http, room)


def test_the_settings_are_ahead(server: Stack) -> None:
    """Where the settings name the other engine already, `up` refuses, and what it advises moves the server."""
    assert server.cli("config", "set", "server.engine", "compose").returncode == 0
    refused = server.cli("up", "--yes")
    assert (
        refused.returncode == 2 and "samsesh" in refused.stderr and "engine switch compose" in refused.stderr
    )
    assert "already" in server.cli("engine", "switch", "native").stdout
    server.up()
    assert server.status()["engine"] == "native"


def test_there_and_back(server: Stack) -> None:
    """Rooms, messages, files, tokens and the signing key are the same in containers, and after the way back."""
    with client(server) as http:
        room = http.post("/_matrix/client/v3/createRoom", json={}).json()["room_id"]
        say(http, room, "one")
        sent = http.post(
            "/_matrix/media/v3/upload", content=b"a file", headers={"Content-Type": "text/plain"}
        )
        file = sent.json()["content_uri"].removeprefix("mxc://")
        for engine, words in (("compose", ["one"]), ("native", ["one", "compose"])):
            done = server.cli("engine", "switch", engine, timeout=600)
            assert done.returncode == 0, done.stderr
            assert server.status()["engine"] == engine and server.status()["ok"]
            assert messages(http, room) == words  # with the token from before
            got = http.get(f"/_matrix/client/v1/media/download/{file}")
            assert got.content == b"a file", got.text
            say(http, room, engine)
    assert "already" in server.cli("engine", "switch", "native").stdout


def test_it_fails(server: Stack) -> None:
    """An image that cannot be had: the server runs natively as before, with everything."""
    server.cli("config", "set", "images.synapse", "localhost:1/nowhere/synapse:v1")
    try:
        done = server.cli("engine", "switch", "compose", timeout=600)
        assert done.returncode == 1 and "could not be pulled" in done.stderr, done.stderr
        found = server.status()
        assert found["ok"] and found["engine"] == "native"
        for service in found[
            "services"
        ]:  # once they were started with it held back, and ended only when killed
            told = Path(f"/proc/{service['pid']}/status").read_text()
            held = int(told.partition("SigBlk:")[2].split()[0], 16)
            assert not held & 1 << (signal.SIGTERM - 1), service
        with client(server) as http:
            assert http.get("/_matrix/client/v3/joined_rooms").json()["joined_rooms"]
    finally:
        server.cli("config", "unset", "images.synapse")
