"""Who can change a file or folder. What root follows, and what settings come from, nobody else may be able to change."""

import grp
import os
import pwd
import re
import stat
from collections import deque
from pathlib import Path

MOST_LINKS = 40  # as the kernel
GROUPS = Path("/etc/group")
ACCESS_LIST = "system.posix_acl_access"


def ours() -> frozenset[int]:
    """User ids of root, the caller and, as root, who called by sudo."""
    by_sudo = os.environ.get("SUDO_UID", "") if os.geteuid() == 0 else ""
    return frozenset({0, os.geteuid(), *([int(by_sudo)] if re.fullmatch("[0-9]{1,10}", by_sudo) else [])})


def changed_by(path: Path, info: os.stat_result) -> str:
    """Who but us can write to a file or folder, for people; empty where nobody can. `info`: of its lstat or fstat."""
    owners = ours()
    if info.st_uid not in owners:
        return name(info.st_uid)
    if stat.S_ISLNK(info.st_mode):
        return ""  # the mode of a link says nothing
    if info.st_mode & stat.S_IWOTH:
        return "everybody"
    if info.st_mode & stat.S_IWGRP and (ACCESS_LIST in _attributes(path) or not _ours_alone(info.st_gid)):
        return f"others (group {info.st_gid})"
    return ""


def way_changed_by(path: Path) -> str:
    """Who but us can change what an absolute path leads to, and where: each folder and link on its way, and itself.

    In a folder such as /tmp, whose sticky bit keeps everybody to what is theirs, only what is there already counts.
    """
    at, left, links = Path("/"), deque(path.parts[1:]), 0
    while True:
        try:
            info = at.lstat()
        except FileNotFoundError:
            return ""
        sticky = stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_ISVTX and info.st_uid in ours()
        if not sticky and (others := changed_by(at, info)):
            return f"{others}, at {at}"
        if stat.S_ISLNK(info.st_mode):
            links += 1
            target = at.readlink()
            left.extendleft(reversed(target.parts))
            at = at.parent
            if links > MOST_LINKS:
                return f"a ring of links, at {at}"
        if not left:
            return ""
        at = at.parent if left[0] == ".." else at / left[0]  # an absolute target begins again at /
        left.popleft()


def name(uid: int) -> str:
    """Name of a user, or the number of one without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _ours_alone(gid: int) -> bool:
    """Whether a group has nobody else in it: distributions give each user one of their own."""
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    people = [one for one in pwd.getpwall() if one.pw_gid == gid or one.pw_name in group.gr_mem]
    uids = {one.pw_uid for one in people}
    # Directories such as LDAP do not list whose first group it is: there it has to be the one that a user was made with.
    return uids <= ours() and (gid in _listed() or group.gr_name in {name(uid) for uid in ours()})


def _listed() -> set[int]:
    """Groups of which this machine knows every member."""
    lines = GROUPS.read_text(errors="replace").splitlines() if GROUPS.is_file() else []
    return {int(parts[2]) for line in lines if len(parts := line.split(":")) > 3 and parts[2].isdigit()}


def _attributes(path: Path) -> list[str]:
    try:
        return os.listxattr(path, follow_symlinks=False)
    except (AttributeError, OSError):  # not on macOS; a file system without them
        return []
