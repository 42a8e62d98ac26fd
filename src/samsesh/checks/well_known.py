"""The discovery documents, fetched as apps and web pages fetch them."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx2

from samsesh import stranger
from samsesh.diagnosis import Patient, Result
from samsesh.ops.server import Server
from samsesh.services.gateway import well_known

TITLE = "discovery documents"
GROUPS = ("basics",)
CORS = "Access-Control-Allow-Origin"


async def check(patient: Patient) -> Result:
    await patient.need("gateway")
    server = patient.server
    bases = [server.plan.offer.addresses[name] for name in ("homeserver", "web")]
    asked = [
        (f"{base}/.well-known/matrix/{name}", name)
        for base in bases
        for name in ("client", "server", "support")
    ]
    async with (await stranger.way(patient)).async_client(10) as http:
        found = await asyncio.gather(*(_fetched(http, url) for url, _ in asked))
    wanted = expected(server)
    wrong = [
        f"{url}: {problem}"
        for (url, name), answer in zip(asked, found, strict=True)
        if (problem := answer if isinstance(answer, str) else problem_of(answer, wanted[name]))
    ]
    if not wrong:
        return Result("ok", f"all {len(asked)} are as the settings say, and readable for web pages")
    return Result(
        "failed",
        wrong[0],
        seen="\n".join(wrong),
        advice="have them written and read anew: samsesh up, then samsesh restart gateway\n"
        "what stands before the server (a proxy, a CDN) must pass them on unchanged",
    )


async def _fetched(http: httpx2.AsyncClient, url: str) -> httpx2.Response | str:
    try:
        return await http.get(url, headers={"Origin": "https://app.example.org"})
    except httpx2.HTTPError as error:
        return f"no answer ({type(error).__name__})"


def expected(server: Server) -> dict[str, Mapping[str, Any]]:
    """Each document by name; an empty one is not published."""
    offer = server.plan.offer
    return {
        "client": offer.well_known_client,
        "server": offer.well_known_server,
        "support": well_known.support(server.settings),
    }


def problem_of(answer: httpx2.Response, wanted: Mapping[str, Any]) -> str:
    """What is wrong with one answer; empty where nothing is."""
    allowed = answer.headers.get_list(CORS)
    if allowed != ["*"]:
        return f"{CORS} is there {len(allowed)} times ({', '.join(allowed)}); browsers want one *"
    status = 200 if wanted else 404
    if answer.status_code != status:
        return f"HTTP status {answer.status_code}, not {status}"
    if answer.headers.get("Content-Type", "").partition(";")[0] != "application/json":
        return "it does not say that it is application/json"
    try:
        found = answer.json()
    except ValueError:
        return "it is no JSON"
    if wanted and found != wanted:
        keys = sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key))
        return f"{', '.join(keys)} is not what the settings say"
    return ""
