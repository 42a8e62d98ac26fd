"""Delegated leaves that Element's lk-jwt-service left in Redis when we took its place.

One hash; a field is the JSON list of room and identity, its value a JSON object (as of July 2026):

    {"Params": {"DelayId", "DelayTimeout": nanoseconds, "ServerName", "LiveKitRoom", "LiveKitIdentity"},
     "RestartedAt": RFC 3339, when the homeserver's timer was last restarted}
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from redis.exceptions import RedisError

from samsesh.rtc.job import Leave
from samsesh.rtc.leave import Leaves
from samsesh.rtc.redis_store import PATIENCE, client

log = logging.getLogger(__name__)

JOBS = "lk-jwt:jobs"
RETRY = 1.0  # seconds between attempts to reach Redis
NANOSECONDS = 1e9


async def take_over(url: str, leaves: Leaves, base: Callable[[str], Awaitable[str | None]]) -> None:
    """Make them ours, and delete them there. `base(server)` is the client-server API of a homeserver, as always."""
    redis = client(url, PATIENCE)
    try:
        while True:
            try:
                rows = await redis.hgetall(JOBS)
                break
            except (RedisError, OSError, TimeoutError):  # the store says so
                await asyncio.sleep(RETRY)
        for field, row in rows.items():
            try:
                taken = await _take(row, leaves, base)
            except (ValueError, TypeError, LookupError) as error:
                log.warning("delayed leaves: one of lk-jwt-service cannot be read: %s", type(error).__name__)
                continue  # it stays, for whoever can
            if taken:
                await redis.hdel(JOBS, field)
        if rows:
            log.info("delayed leaves: %d of lk-jwt-service seen", len(rows))
    except (RedisError, OSError, TimeoutError) as error:
        log.warning("delayed leaves: those of lk-jwt-service stay: %s", type(error).__name__)
    finally:
        await redis.aclose()


async def _take(row: str | bytes, leaves: Leaves, base: Callable[[str], Awaitable[str | None]]) -> bool:
    """Whether it needs no keeping there any more."""
    job = json.loads(row)
    params = job["Params"]
    server, identity = str(params["ServerName"]), str(params["LiveKitIdentity"])
    timeout = float(params["DelayTimeout"]) / NANOSECONDS
    deadline = datetime.fromisoformat(job["RestartedAt"]).timestamp() + timeout
    if deadline <= time.time():
        return True
    if (url := await base(server)) is None:
        log.warning("delayed leaves: no client-server API of %r, whose leave lk-jwt-service kept", server)
        return False
    # Who it is is not said: each counts as somebody.
    user = f"{identity}:{server}"
    leave = Leave(str(params["LiveKitRoom"]), identity, url, str(params["DelayId"]), timeout, user)
    await leaves.add(leave, deadline)
    return True
