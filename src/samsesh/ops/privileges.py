"""As root: make the system user and its home, then become that user. Nothing else of ours runs as root but `docker`."""

import ctypes
import os
import pwd
import shutil
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from samsesh import owners
from samsesh.errors import SamseshError
from samsesh.home import SERVICE_USER, Home
from samsesh.ops.record import Record, numbered
from samsesh.run import keep_root, leave_terminal, run

PR_SET_DUMPABLE, PR_SET_KEEPCAPS, PR_CAPBSET_DROP = 4, 8, 24
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_NET_BIND_SERVICE = 5, 6, 7, 10
CAPABILITY_VERSION_3 = 0x20080522
CACHE = Path("/var/cache/samsesh")
WRITTEN_BEFORE = frozenset({"samsesh.toml", ".env"})  # what root puts into a new home, by hand or by Ansible


def become_service_user(
    home: Home, record: Record, *, make_home: bool = True, output: Path | None = None
) -> None:
    """Drop from root to the user `samsesh` in this process, keeping only the right to bind low ports.

    The user and, unless told not to, the home folder are made if they are missing; a home of somebody else is refused.
    With containers the user is the recorded one, and what it takes to run `docker` as root is kept, too.
    `output`: a folder to make that stays root's, for files that Docker follows.
    """
    os.environ.setdefault("SAMSESH_CALLER", os.environ.get("SUDO_USER", "root"))
    user = service_user()
    make_cache(user)
    docker = record.engine == "compose"
    if docker:
        _check_program("docker")
        user = numbered(record)
    if make_home or home.path.exists():
        home.check_path()
        _own_home(home.path, user)
    if output is not None:
        _own_output(output)
    libc = ctypes.CDLL(None, use_errno=True)
    if not docker:  # which is started as root, and places files for it
        _bound_to_low_ports(libc)
    libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    if user.pw_name == SERVICE_USER:
        os.initgroups(user.pw_name, user.pw_gid)
    else:  # a person's other groups, such as sudo, are not for a server
        os.setgroups([])
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    _keep(libc, docker=docker)
    leave_terminal()
    if docker:
        keep_root({"HOME": pwd.getpwuid(0).pw_dir, "USER": "root", "LOGNAME": "root"})
    os.environ.update(HOME=str(home.path), USER=user.pw_name, LOGNAME=user.pw_name)
    for name in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        os.environ.pop(name, None)
    os.umask(0o077)
    _can_still_run()


def go_on_in_a_child(afterwards: Callable[[int], None]) -> None:
    """Return in a child. This process waits for its end, as the user that it is, calls `afterwards` with the child's exit
    code, and ends with the same.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        return

    def pass_on(number: int, frame: FrameType | None) -> None:
        os.kill(child, number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, pass_on)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C reaches the child as well
    status = os.waitpid(child, 0)[1]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = os.waitstatus_to_exitcode(status)
    code = code if code >= 0 else 128 - code
    afterwards(code)
    sys.exit(code)


def stay_root(work: Callable[[str], None]) -> Callable[[str], None]:
    """As root, before we become somebody else: a child that stays root for one thing, and ends with us.

    Gives how to have it done, once: with a text for `work`, whose SamseshError is raised here.
    """
    given, giving = os.pipe()
    answered, answering = os.pipe()
    if (child := os.fork()) == 0:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the terminal's are for all of us
            signal.signal(number, signal.SIG_IGN)
        os.close(giving)
        try:
            with os.fdopen(given) as text, os.fdopen(answering, "w") as answer:
                try:
                    if asked := text.readline().rstrip("\n"):  # nothing: we have ended
                        work(asked)
                except SamseshError as error:
                    answer.write(f"{error.message}\n{error.hint}")
                except Exception as error:  # noqa: BLE001 - whatever it is, the child must not go on as we do
                    answer.write(type(error).__name__)
        finally:
            os._exit(0)
    os.close(given)
    os.close(answering)

    def done(text: str) -> None:
        with os.fdopen(answered) as answer, os.fdopen(giving, "w") as question:
            question.write(f"{text}\n")
            question.flush()
            problem, _, hint = answer.read().partition("\n")
        _, status = os.waitpid(child, 0)
        if problem or status:
            raise SamseshError(problem or "what root was to do was cut off", hint)

    return done


@contextmanager
def as_owner(home: Home) -> Iterator[None]:
    """Root touches the home as its owner: it reads what the owner may, and leaves nothing of its own there."""
    try:
        owner = home.path.lstat()
    except FileNotFoundError:
        owner = None
    if os.geteuid() != 0 or owner is None or owner.st_uid == 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


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
    owner = user.pw_name if user.pw_name == SERVICE_USER else user.pw_uid
    found = _made(path, "the home folder", "--home DIR")
    if found.st_uid == 0 and {entry.name for entry in path.iterdir()} <= WRITTEN_BEFORE:
        _check_way(path, "--home DIR")
        for file in path.iterdir():  # in a folder that nobody else can change
            info = file.lstat()
            if info.st_uid != 0 or not stat.S_ISREG(info.st_mode) or info.st_nlink != 1:
                raise SamseshError(f"{file} is not a plain file of root's", "put a file of its own there")
            file.chmod(0o600)  # it may hold secrets
            os.chown(file, user.pw_uid, user.pw_gid)
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    elif found.st_uid != user.pw_uid:
        raise SamseshError(
            f"{path} belongs to {owners.name(found.st_uid)}; as root the server runs as the user {user.pw_name}",
            f"run as that owner, or give it over: chown -R {owner}: {path}",
        )
    for above in path.parents:
        mode = above.stat()
        if not mode.st_mode & 0o001 and mode.st_uid != user.pw_uid:
            raise SamseshError(
                f"the user {SERVICE_USER} cannot reach {path}: {above} is closed to others",
                "choose a home elsewhere, such as /var/lib/samsesh: --home DIR",
            )


def written_by_root(home: Home) -> bool:
    """Whether a new home has nothing but what root wrote into it, and nobody else could have: that is root's word."""
    try:
        files = {entry.name for entry in home.path.iterdir()}
        owner = home.path.lstat().st_uid
    except OSError:
        return False
    ways = (home.path, *(home.path / name for name in files))
    return owner == 0 and files <= WRITTEN_BEFORE and not any(map(owners.way_changed_by, ways))


def _own_output(path: Path) -> None:
    """A folder of root's, to which nobody else can write: root's Docker will follow what is in it."""
    _made(path, "the folder", "-o DIR")
    _check_way(path, "-o DIR")
    if not any(path.iterdir()):  # another's is left as it is, and refused
        path.chmod(0o755)


def _made(path: Path, what: str, option: str) -> os.stat_result:
    """A folder, made where it is missing, where nobody else could put something in its place meanwhile."""
    try:
        if not os.path.lexists(path):
            _check_way(path.parent, option)
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            path.mkdir(mode=0o700)
        found = path.lstat()
    except OSError as error:
        raise SamseshError(
            f"cannot make {what} {path}: {error.strerror}", f"choose another with {option}"
        ) from None
    if not stat.S_ISDIR(found.st_mode):
        raise SamseshError(f"{what} {path} is no folder", f"choose another with {option}")
    return found


def _bound_to_low_ports(libc: ctypes.CDLL) -> None:
    """Nothing that is started from here gets another capability again, whatever its file has (capabilities(7))."""
    for number in range(64):
        if number != CAP_NET_BIND_SERVICE and libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            return  # the kernel knows no more, or does not let us


def _check_way(path: Path, option: str) -> None:
    if others := owners.way_changed_by(path):
        raise SamseshError(
            f"root makes nothing in {path}: it can be changed by {others}",
            f"choose a folder that only root can change, such as one in /srv: {option}",
        )


def _check_program(name: str) -> None:
    """Root runs nothing that somebody else could have put there."""
    path = shutil.which(name)
    if path and (others := owners.way_changed_by(Path(path).absolute())):
        raise SamseshError(
            f"root does not run {path}: it can be changed by {others}",
            "take that folder out of root's PATH, or give it to root",
        )


def _keep(libc: ctypes.CDLL, *, docker: bool) -> None:
    """Leave one capability in the permitted and inheritable sets (capset(2)), and raise it as ambient.

    Others stay with this process alone, and with none that it starts: to start `docker` as root, and to end it. No other
    process of this user may look into this one.
    """
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    bit = 1 << CAP_NET_BIND_SERVICE
    mine = bit | (1 << CAP_KILL | 1 << CAP_SETGID | 1 << CAP_SETUID if docker else 0)
    data = (ctypes.c_uint32 * 6)(mine, mine, bit, 0, 0, 0)
    if libc.capset(header, data) == 0:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0)
    if docker:
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def _can_still_run() -> None:
    if not os.access(__file__, os.R_OK):
        raise SamseshError(
            f"the user {SERVICE_USER} cannot read the program at {Path(__file__).parents[1]}",
            "start it by the checkout's ./samsesh, or install it where everybody can read",
        )
