"""A user's crontab as lines. Bytes that are no UTF-8 stay as they are."""

from samsesh.errors import SamseshError
from samsesh.run import run

_NONE_YET = (
    "no crontab",
    "No such file",
    "unknown",
)  # cron and cronie; busybox; a user that is still to be made


def read(user: str = "") -> list[str]:
    """The lines of `user`'s crontab (ours by default); none where there is no crontab yet."""
    done = run([*_command(user), "-l"], env={"LC_ALL": "C"}, ok=(0, 1), what="reading the crontab")
    if done.code == 0:
        return done.out.decode(errors="surrogateescape").splitlines()
    if any(sign in done.err for sign in _NONE_YET):
        return []
    raise SamseshError("reading the crontab failed", "is this user allowed to use cron?", detail=done.err)


def write(user: str, lines: list[str]) -> bool:
    """Put `lines` in the place of the crontab; True if that changed it."""
    if lines == read(user):
        return False
    text = "".join(f"{line}\n" for line in lines)
    run([*_command(user), "-"], stdin=text.encode(errors="surrogateescape"), what="writing the crontab")
    return True


def _command(user: str) -> list[str]:
    return ["crontab", *(["-u", user] if user else [])]
