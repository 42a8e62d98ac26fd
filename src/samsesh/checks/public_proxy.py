"""What a web server before this one has to pass on as it is, tried through it: sizes, paths, addresses, WebSockets.

The gateway tells the doctor what it saw of each request (services/gateway/seen.py).
"""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
from yarl import URL

from samsesh import names, stranger, web_servers
from samsesh.diagnosis import Patient, Result, aside
from samsesh.services.gateway.seen import HEADER, PATH, Seen, parse

TITLE = "what the web server in front passes on"
GROUPS = ("public",)
SECONDS = 20
MEDIA = "/_matrix/media/v3"  # below it are uploads
NAME = "%23a%2Fb"  # an alias of a room begins so, as it stands in a path
FORGED = "203.0.113.66"  # nobody's (RFC 5737)
UPLOAD_SECONDS = 10.0  # who refuses a size does so long before
EARLY_SECONDS = 2.0  # most refuse by the header alone
PIECE = 64 * 1024  # bytes
TOO_LARGE = 413


@dataclass(frozen=True)
class Answer:
    """Of one request: `status` is HTTP's, 0 where none came; `seen` None where our gateway did not answer."""

    status: int
    seen: Seen | None = None

    def __str__(self) -> str:
        return f"HTTP status {self.status}" if self.status else "no answer"


@dataclass(frozen=True)
class Problem:
    """What is wrong, and what to do."""

    what: str
    advice: str


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    if not server.access.proxied:
        return Result("skipped", "no web server is to stand before this one: tls.mode is not proxy")
    await patient.need("gateway")
    addresses, way = server.plan.offer.addresses, await stranger.way(patient)
    async with aiohttp.ClientSession(
        connector=way.connector(),
        headers={HEADER: server.secrets.doctor_key.reveal()},
        timeout=aiohttp.ClientTimeout(stranger.SECONDS),
    ) as http:
        livekit = addresses.get("livekit", "").replace("ws", "http", 1)
        problems = await examine(
            http, addresses["homeserver"], livekit, names.size(server.settings.media.upload_size)
        )
    program = await aside(lambda: web_servers.before(server.settings.ports.of("https")))
    return judged(problems, program)


def judged(problems: list[Problem], program: web_servers.WebServer | None) -> Result:
    name = program.name if program else "the web server in front"
    if not problems:
        return Result("ok", f"{name} passes on sizes, paths, addresses and WebSockets as they are")
    whole = f"all that it needs: samsesh proxy-config {program.kind if program and program.kind else 'KIND'}"
    return Result(
        "failed",
        f"{name} {problems[0].what}",
        "\n".join(problem.what for problem in problems),
        "\n".join([*(problem.advice for problem in problems), whole]),
    )


async def examine(http: aiohttp.ClientSession, api: str, livekit: str, size: int) -> list[Problem]:
    """Ask through the proxy at the API's and LiveKit's addresses ("": there is none). `size`: bytes of an upload."""
    place = api + MEDIA + PATH
    plain = await ask(http, place)
    if plain.seen is None:
        advice = "lead every path of that host to the port of the gateway that proxy-config names for it"
        return [Problem(f"does not lead {place} to this server ({plain})", advice)]
    handshake = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": b64encode(secrets.token_bytes(16)).decode(),
    }
    path, forged, upgrade, upload = await asyncio.gather(
        ask(http, f"{place}/{NAME}"),
        ask(http, place, {"X-Forwarded-For": FORGED}),
        ask(http, livekit + PATH, handshake) if livekit else ask(http, place, handshake),
        send(http, place, size),
    )
    return [
        *(believes(forged) or address(plain.seen)),
        *decodes(path),
        *keeps_upgrade(upgrade),
        *refuses(upload, size),
    ]


def address(honest: Seen) -> list[Problem]:
    """Of a request that said nothing of itself."""
    told = [one.strip() for one in honest.forwarded.split(",") if one.strip()]
    if not told:
        return [
            Problem(
                f"does not say whose a request is: everybody counts as {honest.peer}",
                "have it set the header X-Forwarded-For to the address of who connects to it",
            )
        ]
    if honest.client not in told:
        return [
            Problem(
                f"says whose a request is, and is not believed, since it comes from {honest.peer}",
                f"if that is its address, add it: samsesh config set proxy.trusted NETWORKS, with {honest.peer}",
            )
        ]
    if honest.client != told[0]:
        return [
            Problem(
                f"has another before it: everybody counts as {honest.client}",
                f"add the address of that one, too: samsesh config set proxy.trusted NETWORKS, with {honest.client}",
            )
        ]
    return []


def believes(answer: Answer) -> list[Problem]:
    """Of a request that claimed to be another's."""
    if answer.seen is None or answer.seen.forwarded.rpartition(",")[2].strip() != FORGED:
        return []
    return [
        Problem(
            "passes on what people say of their own address, so that everybody can take any",
            "have it replace X-Forwarded-For, or add to it the address of who connects",
        )
    ]


def decodes(answer: Answer) -> list[Problem]:
    """Of a path with a slash and a hash that are part of a name."""
    if answer.seen and answer.seen.uri.endswith(NAME):
        return []
    came = answer.seen.uri.rpartition(PATH)[2][1:] if answer.seen else ""
    how = f"turns {NAME} into {came}" if answer.seen else f"refuses {NAME} ({answer})"
    return [
        Problem(
            f"{how} in paths, where names of rooms and events have it",
            "have it pass paths on as they were sent (nginx: proxy_pass without a path; "
            "Apache: AllowEncodedSlashes NoDecode and nocanon)",
        )
    ]


def keeps_upgrade(answer: Answer) -> list[Problem]:
    """Of the beginning of a WebSocket."""
    if answer.seen and answer.seen.upgrade.lower() == "websocket":
        return []
    how = "leaves out what asks for a WebSocket" if answer.seen else f"refuses WebSockets ({answer})"
    return [Problem(f"{how}, so calls do not begin", "have it pass on the headers Upgrade and Connection")]


def refuses(answer: Answer, size: int) -> list[Problem]:
    """Of a body of that size. The gateway hangs up before it has read all, of which some proxies make a 502."""
    if answer.status != TOO_LARGE:
        return []
    what = f"refuses files of {size} bytes ({answer}), which media.upload_size allows"
    return [Problem(what, f"raise its limit to {size} bytes at least, or lower media.upload_size")]


async def ask(http: aiohttp.ClientSession, url: str, headers: dict[str, str] | None = None) -> Answer:
    try:
        async with http.get(URL(url, encoded=True), headers=headers) as answer:
            return Answer(answer.status, parse(await answer.text(errors="replace")))
    except (aiohttp.ClientError, OSError):
        return Answer(0)


async def send(http: aiohttp.ClientSession, url: str, size: int) -> Answer:
    """A body of so many bytes, of which no more is sent than is needed until there is an answer."""
    answered = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield bytes(PIECE)
        try:
            await asyncio.wait_for(answered.wait(), EARLY_SECONDS)
        except TimeoutError:  # it waits for the whole
            for _ in range(size // PIECE - 1):
                yield bytes(PIECE)
            yield bytes(size % PIECE)

    limit = aiohttp.ClientTimeout(UPLOAD_SECONDS)
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    try:
        async with http.post(URL(url, encoded=True), data=body(), headers=headers, timeout=limit) as answer:
            text = await answer.text(errors="replace")
            answered.set()
            return Answer(answer.status, parse(text))
    except (aiohttp.ClientError, OSError):  # TimeoutError is one
        return Answer(0)
    finally:
        answered.set()
