"""As root: make the system user and its home, then become that user. Nothing else of ours runs as root."""

import ctypes
import os
import pwd
import sys
from contextlib import suppress
from pathlib import Path

from samsesh.errors import SamseshError
from samsesh.home import SERVICE_USER, Home
from samsesh.run import lend, run

PR_SET_KEEPCAPS, PR_CAPBSET_DROP = 8, 24
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAP_SETGID, CAP_NET_BIND_SERVICE = 6, 10
CAPABILITY_VERSION_3 = 0x20080522
CACHE = Path("/var/cache/samsesh")


def become_service_user(home: Home, *, make_home: bool = True, output: Path | None = None) -> None:
    """Drop from root to the user `samsesh` in this process, keeping only the right to bind low ports.

    The user and, unless told not to, the home folder are made if they are missing; a home of somebody else is refused.
    `output`: one more folder that is to be that user's. With containers the user is `server.uid`, where that is set,
    and the group of Docker's socket is kept for `docker` alone.
    """
    os.environ.setdefault("SAMSESH_CALLER", os.environ.get("SUDO_USER", "root"))
    containers = for_containers(home)
    user = _numbered(containers) if containers else service_user()
    lent = docker_groups()
    make_cache(user)
    if make_home or home.path.exists():
        home.check_path()
        _own_home(home.path, user)
    if output is not None:
        _own_home(output, user)
    libc = ctypes.CDLL(None, use_errno=True)
    _bound_to_low_ports(libc)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.initgroups(user.pw_name, user.pw_gid)
    lend([group for group in lent if group not in os.getgroups()])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    _keep_low_ports(libc)
    os.environ.update(HOME=str(home.path), USER=user.pw_name, LOGNAME=user.pw_name)
    for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    os.umask(0o077)
    _can_still_run()


def for_containers(home: Home) -> dict[str, int] | None:
    """What the settings say of the user of containers, {} where nothing; None: there are none."""
    from samsesh.load import load

    words = ("--engine", "switch")  # the engine is named behind these
    given = next((sys.argv[at + 1] for at, word in enumerate(sys.argv[:-1]) if word in words), "")
    given = next((word[9:] for word in sys.argv if word.startswith("--engine=")), given)
    try:
        server = load(
            home, os.environ, flags={"server.engine": given} if given else None, adopt=True
        ).settings.server
    except SamseshError:  # the command itself will tell
        return {} if given == "compose" else None
    if server.engine != "compose":
        return None
    return {name: getattr(server, name) for name in ("uid", "gid") if name in server.model_fields_set}


def _numbered(wanted: dict[str, int]) -> pwd.struct_passwd:
    """A user by number, who needs no name on this machine."""
    usual = service_user() if "uid" not in wanted else None
    uid = wanted.get("uid", usual.pw_uid if usual else 0)
    gid = wanted.get("gid", usual.pw_gid if usual else uid)
    return pwd.struct_passwd((_name(uid), "x", uid, gid, "", "/", "/usr/sbin/nologin"))


def docker_groups() -> tuple[int, ...]:
    """The group that may use Docker's socket, where it is a socket of this machine."""
    where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    try:
        found = Path(where.removeprefix("unix://")).stat()
    except OSError:
        return ()
    return (found.st_gid,) if found.st_mode & 0o060 == 0o060 else ()


def service_user() -> pwd.struct_passwd:
    """The system user of the services, made where it is missing."""
    try:
        return pwd.getpwnam(SERVICE_USER)
    except KeyError:
        home = ("--home-dir", "/var/lib/samsesh", "--no-create-home")
        shell = ("--shell", "/usr/sbin/nologin")
        run(
            ["useradd", "--system", "--user-group", *home, *shell, SERVICE_USER],
            what=f"making the user {SERVICE_USER}",
        )
        return pwd.getpwnam(SERVICE_USER)


def make_cache(user: pwd.struct_passwd) -> None:
    """Where programs that were fetched or built are kept for all homes; one that is there is left as it is."""
    with suppress(OSError):  # a read-only system: the cache is in the home then
        CACHE.mkdir(mode=0o755)
        os.chown(CACHE, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _own_home(path: Path, user: pwd.struct_passwd) -> None:
    """The home belongs to the service user; folders above it are left alone, but must let that user in."""
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
        found = path.lstat()
    except OSError as error:
        raise SamseshError(
            f"cannot make the home folder {path}: {error.strerror}", "choose another with --home DIR"
        ) from None
    if not path.is_dir():
        raise SamseshError(f"the home {path} is no folder", "choose another with --home DIR")
    if found.st_uid == 0 and not any(path.iterdir()):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    elif found.st_uid != user.pw_uid:
        raise SamseshError(
            f"{path} belongs to {_name(found.st_uid)}; as root the server runs as the user {SERVICE_USER}",
            f"run as that owner, or give it over: chown -R {SERVICE_USER}: {path}",
        )
    for above in path.parents:
        mode = above.stat()
        if not mode.st_mode & 0o001 and mode.st_uid != user.pw_uid:
            raise SamseshError(
                f"the user {SERVICE_USER} cannot reach {path}: {above} is closed to others",
                "choose a home elsewhere, such as /var/lib/samsesh: --home DIR",
            )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _bound_to_low_ports(libc: ctypes.CDLL) -> None:
    """Nothing that is started from here gets another capability again, whatever its file has (capabilities(7))."""
    for number in range(64):
        if number != CAP_NET_BIND_SERVICE and libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            return  # the kernel knows no more, or does not let us


def _keep_low_ports(libc: ctypes.CDLL) -> None:
    """Leave one capability in the permitted and inheritable sets (capset(2)), and raise it as ambient.

    Another stays with this process alone: to start every program but `docker` without Docker's group.
    """
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    bit = 1 << CAP_NET_BIND_SERVICE
    mine = bit | 1 << CAP_SETGID
    data = (ctypes.c_uint32 * 6)(mine, mine, bit, 0, 0, 0)
    if libc.capset(header, data) == 0:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0)


def _can_still_run() -> None:
    if not os.access(__file__, os.R_OK):
        raise SamseshError(
            f"the user {SERVICE_USER} cannot read the program at {Path(__file__).parents[1]}",
            "start it by the checkout's ./samsesh, or install it where everybody can read",
        )
