"""Proof that LiveKit's webhooks reach us: a room of a random name is made and deleted until one tells of it."""

import asyncio
import secrets

from samsesh.rtc.livekit import LiveKitError, Rooms
from samsesh.rtc.log import Log

FIRST_WAIT = 2.0  # seconds between two tries, doubled each time
LONGEST_WAIT = 300.0


class Proof:
    """`proven` becomes true once and stays: a webhook that is wired does not unwire itself."""

    def __init__(self, rooms: Rooms, log: Log) -> None:
        self._rooms = rooms
        self._log = log
        self._room = ""  # of this try, only now known to LiveKit: nobody else can name it
        self._seen = asyncio.Event()

    @property
    def proven(self) -> bool:
        return self._seen.is_set()

    def event(self, room: str) -> bool:
        """Takes a verified webhook; whether it was about our own room."""
        if not self._room or room != self._room:
            return False
        self._seen.set()
        return True

    async def run(self) -> None:
        """Tries until it is proven."""
        wait = FIRST_WAIT
        while not self.proven:
            reason = await self._try()
            try:
                await asyncio.wait_for(self._seen.wait(), wait)
            except TimeoutError:
                self._log.warning("webhooks not proven", reason=reason or "no webhook came", again_in=wait)
            wait = min(wait * 2, LONGEST_WAIT)
        self._log.info("webhooks proven")

    async def _try(self) -> str:
        """One room; why it could not be made, else nothing."""
        self._room = f"samsesh-probe-{secrets.token_hex(16)}"
        try:
            await self._rooms.create(self._room)
            await self._rooms.delete(self._room)
        except LiveKitError as error:
            return error.reason
        return ""
