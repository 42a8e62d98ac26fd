"""Headless participants against a real LiveKit."""

import asyncio
import socket
from pathlib import Path

import pytest

from doctor.parts import PUBLIC, SECRET, TURN_SECRET, coturn, livekit, namespace
from programs import free_port
from samsesh.clients import participant

pytestmark = pytest.mark.slow


def test_sound_goes_over_udp_and_over_tcp(tmp_path: Path) -> None:
    """Two participants hear each other over the transport that was asked for, and nothing is left or said."""
    with livekit(tmp_path) as server:
        for transport, port in (("udp", server.udp), ("tcp", server.tcp)):
            call = server.join(transport)
            assert call["error"] == "" and call["frames"] >= participant.ENOUGH
            assert call["joined"] < call["heard"] < 6
            assert [pair["transport"] for pair in call["pairs"]] == [transport, transport]
            assert all(pair["remote"].endswith(f":{port}") for pair in call["pairs"])


def test_tcp_carries_the_call_where_udp_is_blocked(tmp_path: Path) -> None:
    """With UDP dropped, the UDP call says what came instead, and the TCP call succeeds; and the other way around."""
    with namespace("udp") as inside, livekit(tmp_path, inside) as server:
        inside.block("udp", server.udp)
        udp = server.join("udp")
        assert udp["heard"] is None and udp["joined"] is not None
        assert {pair["transport"] for pair in udp["pairs"]} == {"tcp"}
        assert server.join("tcp")["heard"] is not None


def test_udp_carries_the_call_where_tcp_is_blocked(tmp_path: Path) -> None:
    """A closed media port for TCP is seen though UDP works."""
    with namespace("tcp") as inside, livekit(tmp_path, inside) as server:
        inside.block("tcp", server.tcp)
        assert server.join("udp")["heard"] is not None
        tcp = server.join("tcp")
        assert tcp["joined"] is not None and tcp["heard"] is None and tcp["error"]


def test_nothing_is_heard_where_all_media_is_blocked(tmp_path: Path) -> None:
    """Signalling alone is no call: the participants give up in time and say so."""
    with namespace("all") as inside, livekit(tmp_path, inside) as server:
        inside.block("udp", server.udp)
        inside.block("tcp", server.tcp)
        call = server.join("udp")
        assert call["heard"] is None and call["frames"] == 0 and call["error"]


def test_a_relay_carries_the_call(tmp_path: Path) -> None:
    """Relay only: sound goes through coturn with the credential that LiveKit hands out."""
    with namespace("relay") as inside, coturn(tmp_path, inside) as port:
        turn = {"host": PUBLIC, "port": port, "protocol": "udp", "secret": TURN_SECRET}
        with livekit(tmp_path, inside, turn_servers=[turn]) as server:
            call = server.join("relay")
    assert call["error"] == "" and {pair["transport"] for pair in call["pairs"]} == {"relay"}


def test_a_wrong_key_and_a_wrong_address_are_told_apart(tmp_path: Path) -> None:
    """What LiveKit says of a bad token reaches the answer; where nobody listens, that does."""
    with livekit(tmp_path) as server:
        wrong = server.join("udp", secret="x" * 40, room_secret=SECRET)
        assert wrong["joined"] is None and "401" in wrong["error"]
        missing = server.join("udp", no_room="yes")
        assert missing["joined"] is None and "404" in missing["error"]
    nobody = asyncio.run(participant.call(f"ws://127.0.0.1:{free_port()}", ("a", "b"), "udp"))
    assert nobody.joined is None and nobody.error


def test_where_one_stands_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call's own process loads nothing from the folder in which somebody asks the doctor."""
    (tmp_path / "json.py").write_text("raise SystemExit('loaded from here')\n")
    monkeypatch.chdir(tmp_path)
    nobody = participant.apart(f"ws://127.0.0.1:{free_port()}", ("a", "b"), "udp")
    assert nobody.joined is None and nobody.error


def test_a_cancelled_call_ends() -> None:
    """Ctrl-C in the middle leaves no task behind."""

    async def cut_off(url: str) -> None:
        task = asyncio.create_task(participant.call(url, ("a", "b"), "udp"))
        await asyncio.sleep(0.2)
        assert task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with socket.create_server(("127.0.0.1", 0)) as silent:
        asyncio.run(cut_off(f"ws://127.0.0.1:{silent.getsockname()[1]}"))
