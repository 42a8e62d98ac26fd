"""One delegated leave: what a client asked for, and how far it is."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from samsesh.rtc.turns import Place

API = "/_matrix/client/unstable/org.matrix.msc4140/delayed_events"
FIRST, MOST, GROWTH = 1.0, 60.0, 1.5  # pauses, in seconds


@dataclass(frozen=True, slots=True)
class Leave:
    """One delegated delayed leave: LiveKit's names of the room and the participant, and the homeserver's timer.

    `cs_api_url`: "https://matrix.example.org", "http://127.0.0.1:8008" or "unix:/path.sock"; `timeout` in seconds;
    `user`: the user ID for which their homeserver vouched.
    """

    room: str
    identity: str
    cs_api_url: str
    delay_id: str
    timeout: float
    user: str

    def path(self, action: str) -> str:
        """Of the request to "restart" or "send" it. Where an ID is in a path, `.` and `..` mean something, too."""
        known = self.delay_id
        escaped = quote(known, safe="") if known.strip(".") else known.replace(".", "%2E")
        return f"{API}/{escaped}/{action}"


class State(StrEnum):
    WAITING = "waiting"
    CONNECTED = "connected"
    LEAVING = "leaving"


@dataclass(slots=True)
class Pauses:
    """Between questions, or between attempts that fail: ever longer ones, in seconds."""

    following: float = FIRST

    def next(self) -> float:
        pause, self.following = self.following, min(self.following * GROWTH, MOST)
        return pause

    def reset(self) -> None:
        self.following = FIRST


@dataclass(slots=True, eq=False, kw_only=True)
class Job:
    """Times are of the clock, in seconds since 1970: they mean the same after a restart."""

    key: str
    leave: Leave
    state: State = State.WAITING
    until: float  # when waiting ends
    deadline: float  # when the homeserver sends the event by itself, as far as we know
    restart: float = 0.0  # when its timer is to be restarted
    missed: bool = False  # they were not there, the last time
    looks: Pauses = field(default_factory=Pauses)
    attempts: Pauses = field(default_factory=Pauses)

    def place(self) -> Place:
        """Restarts go first: theirs is a timer that ends. Whoever vouches for a user has a lane of their own."""
        server = self.leave.user.partition(":")[2]
        return Place((server, self.leave.cs_api_url), self.leave.user, self.state is State.CONNECTED)

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
    return Job(
        key=key,
        leave=Leave(**{"user": found["leave"]["identity"], **found["leave"]}),  # older rows name no user
        state=State(found["state"]),
        until=float(found["until"]),
        deadline=float(found["deadline"]),
        restart=float(found["restart"]),
    )
