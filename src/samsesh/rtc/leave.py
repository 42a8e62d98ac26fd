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
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

from samsesh.errors import SamseshError
from samsesh.rtc.answers import Answer, retry_after
from samsesh.rtc.fetch import socket_path
from samsesh.rtc.job import Job, Leave, State, read
from samsesh.rtc.kept import Kept
from samsesh.rtc.store import Store
from samsesh.rtc.turns import Place, Turns

__all__ = ["Answer", "CrowdedError", "Leave", "Leaves", "retry_after"]
log = logging.getLogger(__name__)

# All in seconds.
CONNECT = 3600.0  # who is not there by then does not come
AT = 0.8  # of the timeout: when a timer is restarted
SHORTEST = 0.5  # never restarted more often, whatever timeout a client names
SOON = 0.1  # until the first look whether they are there
LOOK = 60.0  # between looks whether they are still there: a webhook may get lost, and LiveKit may crash
AGAIN = 5.0  # who is missing may be just coming back
LIMIT = 30.0  # for one question or request
STOP = 5.0  # for what is under way when the service stops
RELOAD = 0.5  # between attempts to read what was kept, where nothing has a lease
EACH_USER = 20  # jobs: several devices of one person, and what is left of calls that they came back to


class CrowdedError(Exception):
    """This user has as many jobs as one may have."""


class Leaves:
    """All jobs. `participants(room, identity)` says whether somebody is there, and raises where LiveKit does not answer;
    `post(cs_api_url, path, job)` sends an empty JSON object, `job` naming whose request it is, and may raise, too.
    `interval`: seconds between looks whether somebody is still there; 0 for ours.
    """

    def __init__(
        self,
        store: Store,
        participants: Callable[[str, str], Awaitable[bool]],
        post: Callable[[str, str, str], Awaitable[Answer]],
        clock: Callable[[], float] = time.time,
        interval: float = 0,
    ) -> None:
        self._store = store
        self._participants = participants
        self._post = post
        self._clock = clock
        self._interval = interval or LOOK
        self._jobs: dict[str, Job] = {}
        self._users: Counter[str] = Counter()  # how many jobs each has
        self._kept = Kept(store, self._lost)
        # Two, so that a LiveKit that hangs keeps no timer from being restarted.
        self._looks: Turns[Job] = Turns(clock, lambda job: Place("", job.leave.user, True), self._look)
        self._posts: Turns[Job] = Turns(clock, Job.place, self._tell_homeserver)
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
            for part in (
                self._looks.run(),
                self._posts.run(),
                self._kept.run(),
                self._beat(),
                self._hear(),
            )
        ]

    async def add(self, leave: Leave, deadline: float | None = None) -> None:
        """Take a job over; returns when it is kept, or cannot be. It replaces one of the same room and identity.

        `deadline`: when the homeserver's timer ends, if it was not just started. CrowdedError: this user has too many.
        """
        key = json.dumps([leave.room, leave.identity])
        if old := self._jobs.get(key):
            self._forget(old)
        elif self._users[leave.user] >= EACH_USER:
            raise CrowdedError
        now = self._clock()
        end = now + leave.timeout if deadline is None else deadline
        job = Job(
            key=key,
            leave=leave,
            until=min(now + CONNECT, end),
            deadline=end,
        )
        self._remember(job)
        self._kept.put(key, job.row(), fresh=True)
        self._looks.at(job, min(now + SOON, job.until))
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
        if job := self._jobs.get(key):  # it became ours meanwhile
            self._happened(job, kind)

    async def stop(self) -> None:
        """End in good order: what is under way is finished, jobs stay kept. Not to be used afterwards."""
        await asyncio.gather(self._looks.stop(STOP), self._posts.stop(STOP))
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
        now = self._clock()
        job.state, job.restart = State.CONNECTED, now
        job.looks.reset()
        self._kept.put(job.key, job.row())
        self._posts.at(job, now)
        self._looks.at(job, now + self._interval)

    def _leave(self, job: Job) -> None:
        job.state = State.LEAVING
        job.attempts.reset()
        self._kept.put(job.key, job.row())
        self._looks.drop(job)
        self._posts.at(job, self._clock())

    def _end(self, job: Job, why: str) -> None:
        self._forget(job)
        self._kept.put(job.key, None)
        log.info("delayed leave of %r in %r: %s", job.leave.identity, job.leave.room, why)

    def _remember(self, job: Job) -> None:
        self._jobs[job.key] = job
        self._users[job.leave.user] += 1

    def _forget(self, job: Job) -> None:
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
            self._users[job.leave.user] -= 1
            if not self._users[job.leave.user]:
                del self._users[job.leave.user]
        self._looks.drop(job)
        self._posts.drop(job)

    # A job's turns: looking whether they are there, and telling the homeserver.

    async def _look(self, job: Job) -> None:
        if not await self._mine(job):
            self._forget(job)
            return
        before, there, now = job.state, await self._there(job.leave), self._clock()
        if job.state is not before:
            return  # a webhook came meanwhile
        if job.state is State.CONNECTED:
            self._checked(job, there, now)
        elif there:
            self._connect(job)
        elif now >= job.until:
            self._leave(job)
        else:
            self._looks.at(job, min(now + job.looks.next(), job.until))

    def _checked(self, job: Job, there: bool | None, now: float) -> None:
        if there:
            job.missed = False
            job.looks.reset()
            self._looks.at(job, now + self._interval)
        elif there is None:  # nothing is concluded
            self._looks.at(job, now + min(job.looks.next(), self._interval))
        elif job.missed:
            self._leave(job)
        else:
            job.missed = True
            self._looks.at(job, now + min(AGAIN, self._interval))

    async def _there(self, leave: Leave) -> bool | None:
        """None where LiveKit does not say."""
        try:
            async with asyncio.timeout(LIMIT):
                return await self._participants(leave.room, leave.identity)
        except Exception as error:  # noqa: BLE001 - whatever a client of LiveKit raises
            log.debug("delayed leaves: LiveKit does not say whether %r is there: %s", leave.identity, error)
            return None

    async def _tell_homeserver(self, job: Job) -> None:
        if not await self._mine(job):
            self._forget(job)
            return
        action = "send" if job.state is State.LEAVING else "restart"
        begun = self._clock()
        try:
            async with asyncio.timeout(LIMIT):
                answer = await self._post(job.leave.cs_api_url, job.leave.path(action), job.key)
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
        job.deadline = begun + job.leave.timeout
        job.restart = begun + max(AT * job.leave.timeout, SHORTEST)
        self._kept.put(job.key, job.row())
        if job.state is State.CONNECTED:  # they may have left meanwhile
            job.attempts.reset()
            self._posts.at(job, job.restart)

    def _failed(self, job: Job, action: str, answer: Answer) -> None:
        if action == "restart" and job.state is State.LEAVING:
            return  # it has its next turn
        now = self._clock()
        wait = job.attempts.next()
        if answer.status == 429 and answer.retry_after is not None:
            wait = answer.retry_after
            if not socket_path(job.leave.cs_api_url):  # there each job is counted for itself
                self._posts.pause(job, now + wait)
        if now >= job.deadline:
            why = f"{action} failed ({answer.status or 'no answer'})"
            self._end(job, f"{why}, and the homeserver's own timer is up")
        else:
            self._posts.at(job, min(now + wait, job.deadline))

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
        for key, what in loaded.news:
            await self._heard(key, what)
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
        self._remember(job)
        now = self._clock()
        if job.state is not State.LEAVING:
            self._looks.at(job, now)
        if job.state is not State.WAITING:
            self._posts.at(job, max(job.restart, now) if job.state is State.CONNECTED else now)

    async def _beat(self) -> None:
        """Renew the lease; without one, go on until what was kept could be read."""
        while self._store.lease or self._kept.fails("loading"):
            await asyncio.sleep(self._store.lease / 3 or RELOAD)
            await self._load()

    async def _hear(self) -> None:
        async for key, what in self._store.news():
            await self._heard(key, what)

    async def _heard(self, key: str, what: str) -> None:
        job = self._jobs.get(key)
        if job and what == "replaced":
            if not await self._mine(job):
                self._forget(job)
        elif job:
            self._happened(job, what)

    def _lost(self, key: str) -> None:
        if job := self._jobs.get(key):
            self._forget(job)
