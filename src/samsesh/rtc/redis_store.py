"""Delegated leaves in Redis, for any number of processes: exactly one of them owns a job at a time.

Each process renews one lease. Whoever finds jobs whose owner let its lease lapse takes them, in a script, so that two
never take the same. While Redis is away each goes on with what it has; where a network is cut in two, both may then act
for a job: a homeserver takes a second restart or send without harm, and a leave that nobody sends would be worse.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Collection
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from samsesh.errors import SamseshError
from samsesh.rtc.store import Loaded, Rows

LEASE = 1.0  # seconds: a service that was killed and is back goes on before a timer runs out
PATIENCE = 2.0  # seconds that Redis may take
MAIL = 60.0  # seconds that news wait for their reader
PREFIX = "{samsesh-rtc}:"  # the braces keep all keys on one node of a cluster

# KEYS rows, owners, leases; ARGV me, lease (ms), "first" | "claim" | "beat", prefix of mail.
# Answers whether our lease still held, key and row of each job that is now ours, and the news that its owner missed.
BEAT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
local held = redis.call('ZSCORE', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[3], now + ARGV[2], ARGV[1])
local taken, news = {}, {}
if ARGV[3] == 'first' or (ARGV[3] == 'claim' and held) then
  local alive = {}
  local owners = redis.call('HGETALL', KEYS[2])
  for i = 1, #owners, 2 do
    local key, owner = owners[i], owners[i + 1]
    if alive[owner] == nil then
      alive[owner] = redis.call('ZSCORE', KEYS[3], owner) and true or false
      if not alive[owner] then
        for _, one in ipairs(redis.call('LRANGE', ARGV[4] .. owner, 0, -1)) do
          news[#news + 1] = one
        end
        redis.call('DEL', ARGV[4] .. owner)
      end
    end
    if not alive[owner] then
      local row = redis.call('HGET', KEYS[1], key)
      if row then
        redis.call('HSET', KEYS[2], key, ARGV[1])
        taken[#taken + 1] = key
        taken[#taken + 1] = row
      else
        redis.call('HDEL', KEYS[2], key)
      end
    end
  end
end
return {held and 1 or 0, taken, news}
"""

# KEYS rows, owners; ARGV me, prefix of mail, its life (ms), then key, "fresh" | "", row | "" for each.
# Answers the keys that are another's.
WRITE = """
local lost = {}
for i = 4, #ARGV, 3 do
  local key, fresh, row = ARGV[i], ARGV[i + 1] == 'fresh', ARGV[i + 2]
  local owner = redis.call('HGET', KEYS[2], key)
  local others = owner and owner ~= ARGV[1]
  if others and not fresh then
    lost[#lost + 1] = key
  else
    if others then
      redis.call('RPUSH', ARGV[2] .. owner, cjson.encode({key, 'replaced'}))
      redis.call('PEXPIRE', ARGV[2] .. owner, ARGV[3])
    end
    if row == '' then
      redis.call('HDEL', KEYS[1], key)
      redis.call('HDEL', KEYS[2], key)
    else
      redis.call('HSET', KEYS[1], key, row)
      redis.call('HSET', KEYS[2], key, ARGV[1])
    end
  end
end
return lost
"""

# KEYS owners; ARGV me, prefix of mail, its life (ms), key, what.
TELL = """
local owner = redis.call('HGET', KEYS[1], ARGV[4])
if owner and owner ~= ARGV[1] then
  redis.call('RPUSH', ARGV[2] .. owner, cjson.encode({ARGV[4], ARGV[5]}))
  redis.call('PEXPIRE', ARGV[2] .. owner, ARGV[3])
end
"""


class RedisStore:
    """`url` as in LIVEKIT_REDIS_URL: redis://, rediss:// or unix://."""

    def __init__(self, url: str, lease: float = LEASE) -> None:
        self._me = secrets.token_hex(8)
        self.lease = lease
        self._redis = client(url, PATIENCE)
        self._reader = client(url, MAIL)  # waits in a connection of its own
        self._rows, self._owners, self._leases, mail = (
            PREFIX + name for name in ("rows", "owners", "leases", "mail:")
        )
        self._mail = mail + self._me
        self._post = (self._me, mail, int(MAIL * 1000))
        self._beat = self._redis.register_script(BEAT)
        self._write = self._redis.register_script(WRITE)
        self._tell = self._redis.register_script(TELL)
        self._asked: set[asyncio.Future[Any]] = set()
        self._begun = False
        self._claim_from = 0.0  # after an outage others get a lease's time to come back, too

    async def load(self) -> Loaded:
        claim = "claim" if time.monotonic() >= self._claim_from else "beat"
        how = claim if self._begun else "first"
        keys = [self._rows, self._owners, self._leases]
        me, mail, _ = self._post
        args: list[str | int] = [me, int(self.lease * 1000), how, mail]
        held, taken, news = await self._answer(self._beat(keys, args))
        lapsed = self._begun and not held
        if lapsed:
            self._claim_from = time.monotonic() + self.lease
        self._begun = True
        rows = dict(zip(taken[::2], taken[1::2], strict=True))
        return Loaded(rows, lapsed, [(key, what) for key, what in map(json.loads, news)])

    async def write(self, rows: Rows, fresh: Collection[str]) -> set[str]:
        args: list[str | int] = [*self._post]
        for key, row in rows.items():
            args += [key, "fresh" if key in fresh else "", row or ""]
        return set(await self._answer(self._write([self._rows, self._owners], args)))

    async def mine(self, key: str) -> bool:
        return await self._answer(self._redis.hget(self._owners, key)) in (None, self._me)

    async def tell(self, key: str, what: str) -> None:
        await self._answer(self._tell([self._owners], [*self._post, key, what]))

    async def news(self) -> AsyncIterator[tuple[str, str]]:
        while True:
            try:
                found = await self._answer(self._reader.blpop([self._mail], timeout=MAIL / 4))
            except SamseshError:  # the beat says so; here it is only waited until Redis is back
                await asyncio.sleep(1)
                continue
            if found:
                key, what = json.loads(found[1])
                yield key, what

    async def close(self) -> None:
        try:
            await self._answer(self._redis.zrem(self._leases, self._me))
        finally:
            await self._redis.aclose()
            await self._reader.aclose()
            await asyncio.gather(*self._asked, return_exceptions=True)

    async def _answer(self, command: Any) -> Any:
        """What Redis says to a command; what goes wrong is an error of ours.

        redis-py swallows a cancellation that reaches it while it connects: a task of its own keeps it from ours.
        """
        task = asyncio.ensure_future(command)
        self._asked.add(task)
        task.add_done_callback(self._asked.discard)
        task.add_done_callback(lambda task: task.cancelled() or task.exception())  # it has been seen
        try:
            return await asyncio.shield(task)
        except (RedisError, OSError, TimeoutError) as error:
            raise SamseshError(
                f"Redis does not serve: {error}", "start it, or correct LIVEKIT_REDIS_URL"
            ) from error


def client(url: str, patience: float) -> Redis:
    try:
        return Redis.from_url(
            url,
            protocol=2,  # old servers and some proxies refuse HELLO, and nothing here needs more
            decode_responses=True,
            socket_timeout=patience,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 0),  # who calls tries again
        )
    except ValueError:  # its text may show the password
        raise SamseshError(
            "LIVEKIT_REDIS_URL is not the address of a Redis",
            "write it as redis://[user:password@]host:6379/0",
        ) from None
