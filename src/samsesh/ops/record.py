"""Root's record of a home: what root confirmed of it. Nothing in the home counts for that: its user can change it."""

import grp
import json
import os
import pwd
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from samsesh import placing
from samsesh.errors import SamseshError
from samsesh.home import ROOTS, SERVICE_USER, Home
from samsesh.write import write_file

FILE = "record.json"
LOWEST_OF_PEOPLE = 1000  # ids below are the system's: its services and their groups


@dataclass(frozen=True)
class Record:
    """`uid` and `gid`: of the containers' user, where it is not `samsesh`."""

    engine: str = "native"
    uid: int | None = None
    gid: int | None = None


def read(home: Home) -> Record | None:
    """What is recorded. Only a file counts that root has and nobody else can write."""
    path = home.roots_folder / FILE
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            info = os.fstat(opened.fileno())
            found = json.loads(opened.read())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise _damaged(path, str(error)) from None
    if info.st_uid or info.st_mode & 0o022 or not stat.S_ISREG(info.st_mode):
        raise _damaged(path, "somebody else than root can write it")
    if found.pop("home", None) != str(home.path):
        raise _damaged(path, f"it is not that of {home.path}")
    try:
        return Record(**found)
    except TypeError as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, why: str) -> SamseshError:
    return SamseshError(
        f"root's record {path} is damaged: {why}", f"remove {path}, then confirm again: samsesh up"
    )


def write(home: Home, record: Record) -> None:
    """As root."""
    for folder in (ROOTS, home.roots_folder):
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder.chmod(0o755)
    text = json.dumps({"home": str(home.path), **asdict(record)}, indent=1) + "\n"
    write_file(home.roots_folder / FILE, text, mode=0o644)


def forget(home: Home) -> None:
    """Also after root has become the user of the services, where it kept its rights."""
    placing.remove(home.roots_folder)


def of_containers(home: Home) -> Record | None:
    """For a server that ran in containers before there were records: as whom its containers run, which only somebody with
    root's rights on Docker can have made. `compose.yaml` only says where it is worth asking.
    """
    if not (home.path / "compose.yaml").is_file():
        return None
    from samsesh.engines.compose.docker import Docker

    try:
        services = Docker(f"samsesh-{home.id}", Path("/")).services()
        uid, gid = map(int, services["synapse"]["Config"]["User"].split(":"))
    except (SamseshError, KeyError, ValueError):
        return None
    return Record("compose", uid, gid) if uid and not problem(uid, gid) else None


def problem(uid: int, gid: int) -> str:
    """Why containers may not run as this user and group; empty where they may.

    The ids of the system's own services and groups are theirs. A person's own are for whoever root names; a group has to
    be that person's first, since it would open what the group has to others.
    """
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        account = None
    if account and account.pw_name != SERVICE_USER and not LOWEST_OF_PEOPLE <= uid < 65534:
        return f"the user {uid} is {account.pw_name}, one of the system's"
    try:
        group = grp.getgrgid(gid).gr_name
    except KeyError:
        return ""
    if not account or account.pw_gid != gid:
        return f"the group {gid} is {group}, which is others'"
    return ""


def numbered(record: Record) -> pwd.struct_passwd:
    """The containers' user, who needs no name on this machine. What is not recorded is as `samsesh` has it."""
    if record.uid is None and record.gid is None:
        return pwd.getpwnam(SERVICE_USER)
    uid = pwd.getpwnam(SERVICE_USER).pw_uid if record.uid is None else record.uid
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        account = pwd.struct_passwd((f"user {uid}", "x", uid, uid, "", "/", "/usr/sbin/nologin"))
    gid = account.pw_gid if record.gid is None else record.gid
    return pwd.struct_passwd((account.pw_name, "x", uid, gid, "", "/", "/usr/sbin/nologin"))
