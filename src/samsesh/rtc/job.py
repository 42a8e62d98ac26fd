"""One delegated leave: what a client asked for, and how far it is."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from samsesh.rtc.turns import Turn

FIRST, MOST, GROWTH = 1.0, 60.0, 1.5  # pauses between questions, and between attempts that fail: seconds


@dataclass(frozen=True, slots=True)
class Leave:
    """One delegated delayed leave: LiveKit's names of the room and the participant, and the homeserver's timer.

    `cs_api_url`: "https://matrix.example.org", "http://127.0.0.1:8008" or "unix:/path.sock"; `timeout` in seconds.
    """

    room: str
    identity: str
    cs_api_url: str
    delay_id: str
    timeout: float


class State(StrEnum):
    WAITING = "waiting"
    CONNECTED = "connected"
    LEAVING = "leaving"


@dataclass(slots=True, eq=False, kw_only=True)
class Job(Turn):
    """Times are of the clock, in seconds since 1970: they mean the same after a restart."""

    key: str
    leave: Leave
    state: State = State.WAITING
    until: float  # when waiting ends
    deadline: float  # when the homeserver sends the event by itself, as far as we know
    restart: float = 0.0  # when its timer is to be restarted
    look: bool = True  # first ask whether the participant is there
    missed: bool = False  # they were not, the last time
    pause: float = FIRST

    def lengthen(self) -> float:
        """The pause before the next question or attempt."""
        pause, self.pause = self.pause, min(self.pause * GROWTH, MOST)
        return pause

    def row(self) -> str:
        return json.dumps(
            {
                "leave": asdict(self.leave),
                "state": self.state,
                "until": self.until,
                "deadline": self.deadline,
                "restart": self.restart,
            }
        )


def read(key: str, row: str) -> Job:
    """A job as `Job.row` wrote it."""
    found: dict[str, Any] = json.loads(row)
    state = State(found["state"])
    return Job(
        key=key,
        leave=Leave(**found["leave"]),
        state=state,
        until=float(found["until"]),
        deadline=float(found["deadline"]),
        restart=float(found["restart"]),
        look=state is not State.LEAVING,
    )
