"""Delegated delayed leaves: we keep a participant's leave event (MSC4140) from being sent while they are in the call, and
have it sent as soon as they are not (MSC4195).

    Waiting    they have not been seen in LiveKit yet: asked for, until min(1 h, timeout), then Leaving
    Connected  the homeserver's timer is restarted at once and then at 80 % of its time, as long as they are there
    Leaving    the homeserver is told to send the event, until it did or its own timer ends
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import quote

from samsesh.errors import SamseshError
from samsesh.rtc.answers import Answer, retry_after
from samsesh.rtc.job import FIRST, Job, Leave, State, read
from samsesh.rtc.kept import Kept
from samsesh.rtc.store import Store
from samsesh.rtc.turns import Turns

__all__ = ["Answer", "Leave", "Leaves", "retry_after"]
log = logging.getLogger(__name__)

API = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"
LIVEKIT = ""  # its lane beside those of the homeservers
# All in seconds.
CONNECT = 3600.0  # who is not there by then does not come
AT = 0.8  # of the timeout: when a timer is restarted
SHORTEST = 0.5  # never restarted more often, whatever timeout a client names
LOOK = 60.0  # between looks whether they are still there: a webhook may get lost, and LiveKit may crash
AGAIN = 5.0  # who is missing may be just coming back
LIMIT = 30.0  # for one question or request
STOP = 5.0  # for what is under way when the service stops
RELOAD = 3.0  # between attempts to read what was kept, where nothing has a lease


class Leaves:
    """All jobs. `participants(room, identity)` says whether somebody is there, and raises where LiveKit does not answer;
    `post(cs_api_url, path)` sends an empty JSON object, and may raise, too."""

    def __init__(
        self,
        store: Store,
        participants: Callable[[str, str], Awaitable[bool]],
        post: Callable[[str, str], Awaitable[Answer]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._participants = participants
        self._post = post
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._kept = Kept(store, self._lost)
        self._turns: Turns[Job] = Turns(
            clock,
            lane=lambda job: LIVEKIT if job.look else job.leave.cs_api_url,
            urgent=lambda job: job.state is State.LEAVING,
            work=self._turn,
        )
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def trouble(self) -> str:
        """Why jobs may be lost, else ""."""
        return self._kept.trouble

    def count(self) -> int:
        return len(self._jobs)

    def going_on(self, room: str) -> bool:
        """Whether somebody is in a call there, or about to be."""
        return any(job.leave.room == room and job.state is not State.LEAVING for job in self._jobs.values())

    async def start(self) -> None:
        """Take up what was kept, and go on with it."""
        await self._load()
        self._tasks = [
            asyncio.create_task(part)
            for part in (self._turns.run(), self._kept.run(), self._beat(), self._hear())
        ]

    async def add(self, leave: Leave) -> None:
        """Take a job over; returns when it is kept, or cannot be. It replaces one of the same room and identity."""
        key = json.dumps([leave.room, leave.identity])
        if old := self._jobs.get(key):
            self._forget(old)
        now = self._clock()
        job = Job(
            key=key,
            leave=leave,
            until=now + min(CONNECT, leave.timeout),
            deadline=now + leave.timeout,
        )
        self._jobs[key] = job
        self._kept.put(key, job.row(), fresh=True)
        self._turns.at(job, min(now + FIRST, job.until))
        log.debug("delayed leave of %r: waiting", leave.identity)
        await self._kept.settled(key)

    async def event(self, kind: str, room: str, identity: str) -> None:
        """A verified webhook of LiveKit; kinds that mean nothing here are passed over."""
        key = json.dumps([room, identity])
        if kind not in ("participant_joined", "participant_left", "participant_connection_aborted"):
            return
        if job := self._jobs.get(key):
            self._happened(job, kind)
            return
        try:
            await self._store.tell(key, kind)
        except SamseshError as error:
            log.debug("delayed leaves: %s of %r reaches no other process: %s", kind, identity, error)

    async def stop(self) -> None:
        """End in good order: what is under way is finished, jobs stay kept. Not to be used afterwards."""
        await self._turns.stop(STOP)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(TimeoutError, SamseshError):
            async with asyncio.timeout(STOP):
                await self._kept.flush()
        with suppress(SamseshError):
            await self._store.close()

    # What happens to a job. Each of these sets its next turn, or ends it.

    def _happened(self, job: Job, kind: str) -> None:
        if kind == "participant_joined":
            job.missed = False
            if job.state is State.WAITING:
                self._connect(job)
        elif job.state is State.CONNECTED:
            self._leave(job)
        elif job.state is State.WAITING and kind == "participant_connection_aborted":
            self._end(job, "never connected")
        # participant_left while waiting is of an earlier session of theirs

    def _connect(self, job: Job) -> None:
        job.state, job.look, job.pause, job.restart = State.CONNECTED, False, FIRST, self._clock()
        self._kept.put(job.key, job.row())
        self._turns.at(job, job.restart)

    def _leave(self, job: Job) -> None:
        job.state, job.look, job.pause = State.LEAVING, False, FIRST
        self._kept.put(job.key, job.row())
        self._turns.at(job, self._clock())

    def _end(self, job: Job, why: str) -> None:
        self._forget(job)
        self._kept.put(job.key, None)
        log.info("delayed leave of %r in %r: %s", job.leave.identity, job.leave.room, why)

    def _forget(self, job: Job) -> None:
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        self._turns.drop(job)

    # A job's turn.

    async def _turn(self, job: Job) -> None:
        if not await self._mine(job):
            self._forget(job)
        elif job.look:
            await self._ask(job)
        else:
            await self._tell_homeserver(job)

    async def _ask(self, job: Job) -> None:
        there = await self._there(job.leave)
        now = self._clock()
        if job.state is State.WAITING:
            if there:
                self._connect(job)
            elif now >= job.until:
                self._leave(job)
            else:
                self._turns.at(job, min(now + job.lengthen(), job.until))
        elif job.state is State.CONNECTED and job.look:
            self._checked(job, there, now)
        else:  # a webhook came meanwhile
            self._turns.at(job, job.due)

    def _checked(self, job: Job, there: bool | None, now: float) -> None:
        if there:
            job.missed, job.pause = False, FIRST
            self._look_or_restart(job, now)
        elif there is None:  # nothing is concluded; the timer must not run out over it
            job.look = now < job.restart
            self._turns.at(job, min(now + job.lengthen(), job.restart) if job.look else now)
        elif job.missed:
            self._leave(job)
        else:
            job.missed = True
            self._turns.at(job, now + AGAIN)

    async def _there(self, leave: Leave) -> bool | None:
        """None where LiveKit does not say."""
        try:
            async with asyncio.timeout(LIMIT):
                return await self._participants(leave.room, leave.identity)
        except Exception as error:  # noqa: BLE001 - whatever a client of LiveKit raises
            log.debug("delayed leaves: LiveKit does not say whether %r is there: %s", leave.identity, error)
            return None

    async def _tell_homeserver(self, job: Job) -> None:
        action = "send" if job.state is State.LEAVING else "restart"
        begun = self._clock()
        try:
            async with asyncio.timeout(LIMIT):
                path = f"{API}/{escaped(job.leave.delay_id)}/{action}"
                answer = await self._post(job.leave.cs_api_url, path)
        except Exception as error:  # noqa: BLE001 - whatever a client of homeservers raises
            log.debug("delayed leave of %r: %s fails: %s", job.leave.identity, action, error)
            answer = Answer(0, None)
        done = 200 <= answer.status < 300
        if answer.status == 404:
            self._end(job, "the homeserver no longer has it")
        elif done and action == "send":
            self._end(job, "sent")
        elif done:
            self._restarted(job, begun)
        else:
            self._failed(job, action, answer)

    def _restarted(self, job: Job, begun: float) -> None:
        pause = max(AT * job.leave.timeout, SHORTEST)
        job.deadline, job.restart, job.pause = begun + job.leave.timeout, begun + pause, FIRST
        self._kept.put(job.key, job.row())
        if job.state is State.CONNECTED:
            self._look_or_restart(job, begun)
        else:
            self._turns.at(job, job.due)

    def _look_or_restart(self, job: Job, now: float) -> None:
        """The next turn of somebody who is there."""
        job.look = job.restart - now >= LOOK
        self._turns.at(job, now + LOOK if job.look else max(job.restart, now))

    def _failed(self, job: Job, action: str, answer: Answer) -> None:
        now = self._clock()
        wait = job.lengthen()
        if answer.status == 429 and answer.retry_after is not None:
            wait = answer.retry_after
            self._turns.pause(job.leave.cs_api_url, now + wait)  # it counts all of ours together
        if action == "restart" and job.state is State.LEAVING:
            self._turns.at(job, now)
        elif now >= job.deadline:
            why = f"{action} failed ({answer.status or 'no answer'})"
            self._end(job, f"{why}, and the homeserver's own timer is up")
        else:
            self._turns.at(job, min(now + wait, job.deadline))

    # What the store has to do with it.

    async def _mine(self, job: Job) -> bool:
        if not self._store.lease or self._kept.fresh(job.key):
            return True
        try:
            return await self._store.mine(job.key)
        except SamseshError:
            return True  # nobody can take it now, and somebody must do it

    async def _load(self) -> bool:
        try:
            loaded = await self._store.load()
        except SamseshError as error:
            self._kept.trouble_with("loading", error)
            return False
        self._kept.trouble_with("loading", None)
        for key, row in loaded.rows.items():
            if key not in self._jobs and not self._kept.pending(key):
                self._take_up(key, row)
        if loaded.lapsed:
            for job in self._jobs.values():
                if not self._kept.pending(job.key):
                    self._kept.put(job.key, job.row())
        return True

    def _take_up(self, key: str, row: str) -> None:
        try:
            job = read(key, row)
        except (ValueError, TypeError, KeyError) as error:
            log.warning("delayed leaves: a kept row cannot be read, it is deleted: %s", type(error).__name__)
            self._kept.put(key, None)
            return
        self._jobs[key] = job
        self._turns.at(job, self._clock())

    async def _beat(self) -> None:
        """Renew the lease; without one, go on until what was kept could be read."""
        while self._store.lease or self._kept.fails("loading"):
            await asyncio.sleep(self._store.lease / 3 or RELOAD)
            await self._load()

    async def _hear(self) -> None:
        async for key, what in self._store.news():
            job = self._jobs.get(key)
            if job and what == "replaced":
                if not await self._mine(job):
                    self._forget(job)
            elif job:
                self._happened(job, what)

    def _lost(self, key: str) -> None:
        if job := self._jobs.get(key):
            self._forget(job)


def escaped(delay_id: str) -> str:
    """For a path, where `.` and `..` mean something, too."""
    return quote(delay_id, safe="") if delay_id.strip(".") else delay_id.replace(".", "%2E")
