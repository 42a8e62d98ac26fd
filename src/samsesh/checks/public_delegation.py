"""The server name itself: its /.well-known/matrix documents lead apps and other servers here, whoever answers there."""

from collections.abc import Mapping
from typing import Any

import httpx2

from samsesh import names, stranger
from samsesh.diagnosis import Patient, Result
from samsesh.ops.server import Server

TITLE = "the server name leads here"
GROUPS = ("public",)
CORS = "Access-Control-Allow-Origin"


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
    problems = []
    offer = server.plan.offer
    wanted = {"client": offer.well_known_client, "server": offer.well_known_server}
    async with way.async_client(stranger.SECONDS, follow_redirects=True) as http:
        for name, document in wanted.items():
            if document:
                url = f"{base}/.well-known/matrix/{name}"
                problems += [f"{url}: {found}" for found in await _problems(http, url, name, document)]
    if problems:
        return Result(
            "failed", problems[0], "\n".join([*problems, *filter(None, [way.told])]), _advice(server)
        )
    servers = server.access.federation_server or "nowhere"
    return Result(
        "ok", f"{base} leads apps to {offer.addresses['homeserver']}, servers to {servers}", way.told
    )


async def _problems(http: httpx2.AsyncClient, url: str, name: str, wanted: Mapping[str, Any]) -> list[str]:
    try:
        answer = await http.get(url)
        found = answer.json()
    except httpx2.HTTPError as error:
        return [f"no answer ({str(error) or type(error).__name__})"]
    except ValueError:
        return [f"no JSON (HTTP status {answer.status_code})"]
    return judged(answer.status_code, found, answer.headers.get_list(CORS), name, wanted)


def judged(status: int, found: Any, cors: list[str], name: str, wanted: Mapping[str, Any]) -> list[str]:
    """What is wrong with a document. Others may stand in it beside what is ours."""
    if status != 200 or not isinstance(found, dict):
        return [f"HTTP status {status}, and not the document"]
    problems = [
        f"{key} is {found.get(key)!r}, not {value!r}"
        for key, value in wanted.items()
        if found.get(key) != value
    ]
    if name == "client" and cors != ["*"]:
        problems.append(f"{CORS} is there {len(cors)} times; web apps want one *")
    return problems


def _advice(server: Server) -> str:
    port = server.settings.ports.of("https")
    if port != 443 and not server.access.proxied:
        return f"ports.https is {port}, but everybody asks at 443: give it that port, or lead 443 to it"
    if server.settings.hosts.delegation == "elsewhere":
        return "your web server at that name has to serve what this prints: samsesh proxy-config well-known"
    return "have them read anew: samsesh up, samsesh restart gateway; what stands before the server must pass them on"
