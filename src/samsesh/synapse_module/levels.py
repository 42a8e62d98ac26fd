"""What the power levels of a room say about calls.

Element Call, Element Web and Element X join a call by a state event of type CALL_MEMBER, so members need a level of its
own for it: other state is for moderators. The newer `org.matrix.msc4143.rtc.member` is no state event (MSC4354 makes it
sticky), whoever may talk may send it; `m.call.member` is sent by nobody.
Defaults: Matrix spec, m.room.power_levels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CALL_MEMBER = "org.matrix.msc3401.call.member"
POWER_LEVELS = "m.room.power_levels"
SPACE = "m.space"


@dataclass(frozen=True)
class Levels:
    """Of one room: what ordinary members have, and what talking and joining calls take."""

    members: int
    talking: int
    calling: int
    chosen: bool  # somebody set what joining calls takes; else it takes what all state takes

    @property
    def allowed(self) -> bool:
        return self.calling <= self.members

    @property
    def silent(self) -> bool:
        """Ordinary members only read here."""
        return self.talking > self.members


def read(content: Mapping[str, Any]) -> Levels | None:
    """Levels of an m.room.power_levels event's content; None where they are no numbers."""
    events = content.get("events", {})
    if not isinstance(events, Mapping):
        return None
    members = content.get("users_default", 0)
    talking = events.get("m.room.message", content.get("events_default", 0))
    calling = events.get(CALL_MEMBER, content.get("state_default", 50))
    if any(type(level) is not int for level in (members, talking, calling)):
        return None  # neither True nor "50", which old rooms may have
    return Levels(members, talking, calling, CALL_MEMBER in events)
