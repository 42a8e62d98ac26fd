"""Headless participants of a LiveKit room: one sounds a tone, the other must hear it, and what carried it is told.

Needs LiveKit's SDK (package `livekit`), which comes along where LiveKit itself can run. Its native library now and then
aborts the whole process (seen with 1.2.1: two calls at once, one time in twenty), so that whoever has more to do than
one call makes it `apart`, in a process of its own: this module run as a program.
"""

import asyncio
import json
import logging
import math
import os
import sys
import time
from array import array
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from samsesh import names
from samsesh.errors import SamseshError
from samsesh.run import run

if TYPE_CHECKING:
    from livekit import rtc

Transport = Literal["udp", "tcp", "relay"]

RATE = 48_000  # samples a second
FRAME = 480  # samples: 10 ms
LOUD = 1000  # of 32767; the tone is at 8000, and what is lost on the way is silence
ENOUGH = 10  # loud frames that count as heard
DTLS_CONNECTED = 2  # stats.proto, DtlsTransportState
RELAY = 3  # stats.proto, IceCandidateType
LEAVING = 3.0  # seconds for saying goodbye


@dataclass(frozen=True)
class Pair:
    """The pair of addresses that ICE selected: how media goes between one participant and LiveKit."""

    transport: Transport
    local: str
    remote: str

    @property
    def remote_host(self) -> str:
        return self.remote.rpartition(":")[0].strip("[]")

    def __str__(self) -> str:
        return f"{self.local} to {self.remote} over {self.transport.upper()}"


@dataclass(frozen=True)
class Call:
    """How a call went. Times in seconds; None: it did not come to that."""

    joined: float | None
    heard: float | None  # of `ENOUGH` frames over the wanted transport
    frames: int
    pairs: tuple[Pair, ...]  # of who speaks and who listens; missing where nothing connected
    error: str = ""  # in the SDK's words


def obstacle() -> str:
    """Why no participant can be had here; empty where one can."""
    if find_spec("livekit") is None or find_spec("livekit.rtc") is None:
        return "LiveKit's SDK (Python package livekit) is not installed"
    return ""


async def call(url: str, tokens: tuple[str, str], transport: Transport, seconds: float = 8.0) -> Call:
    """Join twice with two tokens of one room, speak and listen; ends within `seconds` and a few for leaving.

    url: LiveKit's, ws:// or wss://. "udp" and "tcp" are direct; for "tcp" LiveKit is asked to offer nothing else
    (its own SDKs' `simulateScenario("force-tcp")`); "relay" takes the TURN servers that LiveKit names.
    Whoever made the room deletes it: that also ends what a cancelled join may have left.
    """
    if reason := obstacle():
        raise SamseshError(reason, "install samsesh with its extra: pip install 'samsesh[native]'")
    from livekit import rtc
    from livekit.rtc.participant import PublishTrackError

    _be_quiet()
    course = _Course(time.monotonic())
    try:
        async with asyncio.timeout(seconds), _both(url, tokens, transport, course) as (speaker, listener):
            if transport == "tcp":
                await _force_tcp(speaker, listener, course)
            await course.hear(transport, speaker, listener)
    except TimeoutError:
        course.error = f"not within {seconds:.0f} s"
    except (rtc.ConnectError, PublishTrackError, RuntimeError) as error:
        course.error = str(error)
    return Call(course.joined, course.heard, course.frames, course.pairs, course.error)


def apart(url: str, tokens: tuple[str, str], transport: Transport, seconds: float = 8.0) -> Call:
    """`call` in a process of its own, waited for here. The tokens go by stdin: nobody sees them among the arguments."""
    asked = {"url": url, "tokens": tokens, "transport": transport, "seconds": seconds}
    done = run(
        [sys.executable, "-I", "-m", "samsesh.clients.participant"],
        stdin=json.dumps(asked).encode(),
        timeout=seconds + 3 * LEAVING,
        what="the call",
    )
    found = json.loads(done.out)
    return Call(**{**found, "pairs": tuple(Pair(**pair) for pair in found["pairs"])})


def main() -> None:
    """The program: what to do as JSON on stdin, how it went as JSON on stdout."""
    asked = json.load(sys.stdin)
    found = asyncio.run(call(asked["url"], tuple(asked["tokens"]), asked["transport"], asked["seconds"]))
    json.dump(asdict(found), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # without the library's own end, where it breaks


class _Course:
    """What has been seen of one call so far."""

    def __init__(self, start: float) -> None:
        self.start = start
        self.joined: float | None = None
        self.heard: float | None = None
        self.frames = 0
        self.pairs: tuple[Pair, ...] = ()
        self.error = ""

    def since(self) -> float:
        return round(time.monotonic() - self.start, 3)

    async def hear(self, transport: Transport, *rooms: "rtc.Room") -> None:
        """Until the sound arrives and both go over `transport`: ICE may begin with one and move to a better one."""
        while True:
            self.pairs = tuple([pair for room in rooms if (pair := await _selected(room, transport))])
            right = len(self.pairs) == len(rooms) and all(pair.transport == transport for pair in self.pairs)
            if right and self.frames >= ENOUGH:
                self.heard = self.since()
                return
            if not right:
                self.frames = 0
            await asyncio.sleep(0.1)  # bounded by the caller's timeout


@asynccontextmanager
async def _both(
    url: str, tokens: tuple[str, str], transport: Transport, course: _Course
) -> AsyncIterator[tuple["rtc.Room", "rtc.Room"]]:
    """Two participants in the room, one with a tone, one listening."""
    from livekit import rtc

    kind = (
        rtc.IceTransportType.TRANSPORT_RELAY if transport == "relay" else rtc.IceTransportType.TRANSPORT_ALL
    )
    options = rtc.RoomOptions(rtc_config=rtc.RtcConfiguration(ice_transport_type=kind))
    async with AsyncExitStack() as stack:
        speaker, listener = rtc.Room(), rtc.Room()
        await stack.enter_async_context(_listening(listener, course))
        joins = [
            asyncio.create_task(stack.enter_async_context(_joined(room, url, token, options)))
            for room, token in zip((speaker, listener), tokens, strict=True)
        ]
        try:
            await asyncio.gather(*joins)
        finally:
            await _ended(joins)
        course.joined = course.since()
        await stack.enter_async_context(_speaking(speaker))
        yield speaker, listener


@asynccontextmanager
async def _joined(room: "rtc.Room", url: str, token: str, options: "rtc.RoomOptions") -> AsyncIterator[None]:
    await room.connect(url, token, options)
    try:
        yield
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVING):
                await room.disconnect()


@asynccontextmanager
async def _speaking(room: "rtc.Room") -> AsyncIterator[None]:
    """Publish a tone of 440 Hz for as long as the block lasts."""
    from livekit import rtc

    source = rtc.AudioSource(RATE, 1, queue_size_ms=100)
    track = rtc.LocalAudioTrack.create_audio_track("tone", source)
    tone = array("h", (round(8000 * math.sin(2 * math.pi * 440 * i / RATE)) for i in range(RATE))).tobytes()

    over = asyncio.Event()

    async def sound() -> None:
        at = 0
        while not over.is_set():  # a full queue makes it wait
            await source.capture_frame(rtc.AudioFrame(tone[at : at + 2 * FRAME], RATE, 1, FRAME))
            at = (at + 2 * FRAME) % len(tone)

    sounding = asyncio.create_task(sound())
    try:
        await room.local_participant.publish_track(track)
        yield
    finally:
        over.set()  # not cancelled at once: the library would call back into nothing, and say so on stderr
        await asyncio.wait([sounding], timeout=LEAVING)
        await _ended([sounding])
        await source.aclose()


@asynccontextmanager
async def _listening(room: "rtc.Room", course: _Course) -> AsyncIterator[None]:
    """Count loud frames of whatever track the room brings; a reconnection brings a new one."""
    from livekit import rtc

    async def listen(track: Any) -> None:
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1)
        try:
            async for event in stream:
                course.frames += max(event.frame.data, default=0) > LOUD
        finally:
            await stream.aclose()

    tasks: list[asyncio.Task[None]] = []

    def subscribed(track: Any, *_: Any) -> None:
        tasks.append(asyncio.create_task(listen(track)))

    room.on("track_subscribed", subscribed)
    try:
        yield
    finally:
        await _ended(tasks)


async def _force_tcp(speaker: "rtc.Room", listener: "rtc.Room", course: _Course) -> None:
    """Have LiveKit offer TCP alone: it makes both come back, and tells them no other address."""
    from livekit import rtc

    back = [_happens(room, "reconnected") for room in (speaker, listener)]
    for room in (speaker, listener):
        await room.simulate_scenario(rtc.SimulateScenarioKind.SIMULATE_FORCE_TCP)
    for event in back:
        await event.wait()
    course.frames = 0


def _happens(room: "rtc.Room", name: Any) -> asyncio.Event:
    happened = asyncio.Event()
    room.on(name, lambda *_: happened.set())
    return happened


async def _selected(room: "rtc.Room", wanted: Transport) -> Pair | None:
    """The pair that carries media now; LiveKit may use one connection for both directions or two."""
    if not room.isconnected():
        return None
    stats = await room.get_rtc_stats()
    for side in (stats.subscriber_stats, stats.publisher_stats):
        if pair := selected_pair(side):
            # Of a relay behind NAT LiveKit sees another address than the one it is told by, and ICE takes that for a new
            # candidate. Where nothing but relays was allowed, it is one.
            return replace(pair, transport="relay") if wanted == "relay" else pair
    return None


def selected_pair(stats: Iterable[Any]) -> Pair | None:
    """The selected pair in one connection's statistics (livekit.proto RtcStats), once DTLS is up."""
    kinds: dict[str, list[Any]] = {}
    for entry in stats:
        kind = entry.WhichOneof("stats")
        kinds.setdefault(kind, []).append(getattr(entry, kind))
    candidates = {
        found.rtc.id: found.candidate
        for found in (*kinds.get("local_candidate", ()), *kinds.get("remote_candidate", ()))
    }
    pairs = {found.rtc.id: found.candidate_pair for found in kinds.get("candidate_pair", ())}
    for entry in kinds.get("transport", ()):
        pair = pairs.get(entry.transport.selected_candidate_pair_id)
        if not pair or entry.transport.dtls_state != DTLS_CONNECTED:
            continue
        local, remote = candidates.get(pair.local_candidate_id), candidates.get(pair.remote_candidate_id)
        if local and remote:
            return Pair(
                "relay" if local.candidate_type == RELAY else local.protocol,
                _address(local),
                _address(remote),
            )
    return None


def _address(candidate: Any) -> str:
    return f"{names.in_url(candidate.address)}:{candidate.port}"


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _be_quiet() -> None:
    """What goes wrong is told by `Call`; the SDK's own log would only disturb whoever reads ours."""
    logging.getLogger("livekit").setLevel(logging.CRITICAL + 1)


if __name__ == "__main__":
    main()
