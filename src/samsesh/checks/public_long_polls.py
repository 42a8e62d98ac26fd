"""Long polls through a web server in front: apps ask for news and wait half a minute for an answer.

One is tried in earnest, which takes as long: only if this check is asked for, and a web server is in front.
"""

import json
import time

import httpx2

from samsesh import caller, stranger
from samsesh.diagnosis import LONG, Patient, Result

TITLE = "long polls through the web server in front"
GROUPS = (LONG,)
WAIT = 35.0  # seconds: apps wait 30
SECONDS = 60
SYNC = "/_matrix/client/v3/sync"
# Nothing that other checks do at the same time is news to this.
NOTHING: dict[str, dict[str, list[str]]] = {
    "room": {"rooms": []},
    "presence": {"types": []},
    "account_data": {"types": []},
}


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := stranger.local(server):
        return off
    if not server.access.proxied:
        return Result("skipped", "no web server is to stand before this one: tls.mode is not proxy")
    await patient.need("gateway", "synapse")
    who, way = await caller.person(patient), await stranger.way(patient)
    headers = {"Authorization": f"Bearer {who.token}"}
    async with way.async_client(WAIT + 15, headers=headers) as http:
        return await wait(http, who.base.rstrip("/") + SYNC, WAIT)


async def wait(http: httpx2.AsyncClient, url: str, seconds: float) -> Result:
    """Have the homeserver answer as late as that."""
    query = {"filter": json.dumps(NOTHING), "timeout": "0"}
    first, body = await stranger.ask(http, url, params=query)
    if first != 200:
        return Result(
            "failed", f"{url} does not answer (HTTP status {first})", advice="see: samsesh logs synapse"
        )
    later = {**query, "timeout": str(int(seconds * 1000)), "since": body["next_batch"]}
    began = time.monotonic()
    try:
        status, _ = await stranger.ask(http, url, params=later)
        how = f"HTTP status {status}"
    except httpx2.HTTPError as error:
        status, how = 0, str(error) or type(error).__name__
    return judged(status, how, time.monotonic() - began)


def judged(status: int, how: str, lasted: float) -> Result:
    if status == 200:
        return Result("ok", f"an answer may take {lasted:.0f} s")
    return Result(
        "failed",
        f"the web server in front ends an answer that takes longer than {lasted:.0f} s ({how})",
        advice="have it wait: nginx proxy_read_timeout, Apache ProxyTimeout, HAProxy timeout server; "
        "a NAS has it among the settings of a rule",
    )
