"""The server name itself: its /.well-known/matrix documents lead apps and other servers here, whoever answers there.

Asked as each of those asks who will come (spec: Client-Server API, "Web Browser Clients", "Server Discovery";
Server-Server API, "Server discovery"; Fetch, "HTTP-redirect fetch").
"""

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

import httpx2

from samsesh import names, stranger
from samsesh.clients import own
from samsesh.diagnosis import Patient, Result
from samsesh.ops.server import Server

TITLE = "the server name leads here"
GROUPS = ("public",)
SECONDS = 20
CORS = "Access-Control-Allow-Origin"
HOPS = 5  # redirects that everybody follows
LARGEST = 50 * 1024  # bytes of a document that Synapse reads
PORTS = {"https": 443, "http": 80, "wss": 443, "ws": 80}
MOZILLA = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@dataclass(frozen=True)
class Asker:
    """One kind of those who ask for a document. `origin`: the page of a web app, which must be let read it."""

    who: str
    document: str
    agent: str
    origin: str = ""
    old_tls: bool = False  # no newer than 1.2, which is what many have


ASKERS = (
    Asker("web apps", "client", MOZILLA, origin="https://app.example.net"),
    Asker("apps", "client", "okhttp/4.12.0"),
    Asker("apps with TLS 1.2", "client", "okhttp/3.14.9", old_tls=True),
    Asker("other servers", "server", "Synapse/1.140.0"),
)


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    host, port = names.split_name(server.settings.server.name)
    if server.settings.server.access == "lan":
        return Result("skipped", "server.access is lan: people give their apps the address")
    if port is not None:
        return Result("skipped", f"the server name has a port: others go to {host}:{port} without asking")
    if not server.access.proxied and host in server.access.expected():
        await patient.need("gateway")
    way, base = await stranger.way(patient), f"https://{names.in_url(host)}"
    offer = server.plan.offer
    wanted = {"client": offer.well_known_client, "server": offer.well_known_server}
    problems = await examine(way, base, wanted)
    if problems:
        return Result(
            "failed", problems[0], "\n".join([*problems, *filter(None, [way.told])]), _advice(server)
        )
    servers = server.access.federation_server or "nowhere"
    return Result(
        "ok", f"{base} leads apps to {offer.addresses['homeserver']}, servers to {servers}", way.told
    )


async def examine(way: own.Own, base: str, wanted: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is wrong for whom, each once. `wanted`: what must stand in each document."""

    async def one(asker: Asker) -> tuple[str, list[str]]:
        url = f"{base}/.well-known/matrix/{asker.document}"
        transport = way.transport(_tls_1_2(way) if asker.old_tls else way.trust)
        async with httpx2.AsyncClient(transport=transport, timeout=stranger.SECONDS) as http:
            return url, await _problems(http, url, asker, wanted[asker.document])

    askers = [asker for asker in ASKERS if wanted[asker.document]]
    whose: dict[str, list[str]] = {}
    for asker, (url, problems) in zip(askers, await asyncio.gather(*map(one, askers)), strict=True):
        for problem in problems:
            whose.setdefault(f"{url}: {problem}", []).append(asker.who)
    return [f"{problem} (seen by {', '.join(who)})" for problem, who in whose.items()]


def _tls_1_2(way: own.Own) -> ssl.SSLContext:
    context = replace(way).trust  # another of the same
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


async def _problems(http: httpx2.AsyncClient, url: str, asker: Asker, wanted: Mapping[str, Any]) -> list[str]:
    """What this asker meets on the way to the document and in it."""
    problems: list[str] = []
    place, origin = url, asker.origin
    for _ in range(HOPS + 1):
        at = f"at {place}: " if place != url else ""
        headers = {"User-Agent": asker.agent, **({"Origin": origin} if origin else {})}
        try:
            answer = await http.get(place, headers=headers)
        except httpx2.HTTPError as error:
            return [*problems, f"{at}no answer ({str(error) or type(error).__name__})"]
        if origin and (problem := unreadable(answer.headers.get_list(CORS), origin)):
            problems.append(f"{at}{problem}")
        if not answer.has_redirect_location:
            return [*problems, *(f"{at}{one}" for one in _read(answer, asker.document, wanted))]
        target = urljoin(place, answer.headers["location"])
        if not target.startswith("https://"):
            return [*problems, f"{at}it leads to {target}, without https"]
        if origin and httpx2.URL(target).netloc != httpx2.URL(place).netloc:
            origin = "null"  # as browsers say from the second host on
        place = target
    return [*problems, f"it leads on and on, more than {HOPS} times"]


def _read(answer: httpx2.Response, name: str, wanted: Mapping[str, Any]) -> list[str]:
    try:
        found = answer.json()
    except ValueError:
        return [f"no JSON (HTTP status {answer.status_code})"]
    if len(answer.content) > LARGEST:
        return [f"{len(answer.content)} bytes; other servers read {LARGEST}"]
    return judged(answer.status_code, found, name, wanted)


def unreadable(values: list[str], origin: str) -> str:
    """What keeps a page of `origin` from reading an answer with these headers; "" where it may."""
    if values in (["*"], [origin]):
        return ""
    if len(values) == 1:
        return f"{CORS} is {values[0]!r}; web apps want one *"
    return f"{CORS} is there {len(values)} times; web apps want one *"


def judged(status: int, found: Any, name: str, wanted: Mapping[str, Any]) -> list[str]:
    """What is wrong with a document. Others may stand in it beside what is ours."""
    if status != 200 or not isinstance(found, dict):
        return [f"HTTP status {status}, and not the document"]
    same = same_server if name == "server" else same_place
    return [
        f"{key} is {found.get(key)!r}, not {value!r}"
        for key, value in wanted.items()
        if not same(found.get(key), value)
    ]


def same_server(found: Any, wanted: str) -> bool:
    """Whether `m.server` leads to the same place: without a port it is 8448 (spec: Resolving server names, 3.4)."""
    return isinstance(found, str) and _server_place(found) == _server_place(wanted) is not None


def _server_place(text: str) -> tuple[str, int] | None:
    match = re.fullmatch(r"(\[[^]/]+\]|[^:/]+)(?::(\d+))?", text.lower())
    return (match[1], int(match[2] or 8448)) if match else None


def same_place(found: Any, wanted: Any, key: str = "") -> bool:
    """Whether a value says the same: ports that go without saying do not count, nor the slash behind `base_url`.

    Objects may hold more; lists hold as much.
    """
    if isinstance(wanted, Mapping):
        return isinstance(found, Mapping) and all(
            same_place(found.get(name), value, name) for name, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return isinstance(found, list) and len(found) == len(wanted) and all(map(same_place, found, wanted))
    if isinstance(found, str) and isinstance(wanted, str):
        return _plain(found, key) == _plain(wanted, key)
    return bool(found == wanted)


def _plain(text: str, key: str) -> str:
    scheme, colon, rest = text.partition("://")
    if not colon:
        return text
    host, slash, path = rest.partition("/")
    host = host.lower().removesuffix(f":{PORTS.get(scheme.lower(), '')}")
    whole = f"{scheme.lower()}://{host}{slash}{path}"
    return whole.rstrip("/") if key == "base_url" else whole


def _advice(server: Server) -> str:
    port = server.settings.ports.of("https")
    if port != 443 and not server.access.proxied:
        return f"ports.https is {port}, but everybody asks at 443: give it that port, or lead 443 to it"
    if server.settings.hosts.delegation == "elsewhere":
        return "your web server at that name has to serve what this prints: samsesh proxy-config well-known"
    return "have them read anew: samsesh up, samsesh restart gateway; what stands before the server must pass them on"
