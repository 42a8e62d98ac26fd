"""Root becomes the user of the services: what it keeps, what it makes, and what it refuses to follow."""

import fcntl
import json
import os
import pty
import pwd
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from samsesh.errors import SamseshError
from samsesh.home import SERVICE_USER, Home
from samsesh.ops import privileges
from samsesh.ops.privileges import as_owner, service_user
from temporary import account

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can become another user")
BECOME = """
import json, os, sys, time
from pathlib import Path
from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.ops.privileges import become_service_user
from samsesh.ops.record import Record
from samsesh.run import follow, run, spawn
become_service_user(Home(Path(sys.argv[1])), Record(**json.loads(sys.argv[2])))
told = {"here": Path("/proc/self/status").read_text(), "groups": os.getgroups(), "uid": os.getresuid()}
"""
LOOK = (
    BECOME
    + """
told["docker"] = run(["docker"]).out.decode().splitlines()
told["sh"] = run(["sh", Path(sys.argv[3], "docker")]).out.decode().splitlines()
look = "cat /proc/$0/environ >/dev/null && echo read; kill -0 $1 && echo kill"
with open(Path(sys.argv[1], "log"), "w"):
    pass
sleeping = spawn(["docker", "sleep"], log=Path(sys.argv[1], "log"))
told["others"] = run(["sh", "-c", look, os.getpid(), sleeping.pid], ok=range(256)).out.decode().split()
sleeping.kill()
told["ended"] = sleeping.wait(20)
print(json.dumps(told))
"""
)
DOCKER = """#!/bin/sh
if [ "$1" = sleep ]; then exec sleep 300; fi
id -u; id -G; echo "$HOME"; grep CapEff /proc/self/status; echo "$PWD"
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder of root's that everybody may go through."""
    with tempfile.TemporaryDirectory(prefix="samsesh-test-") as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "bin").mkdir()
        (path / "bin/docker").write_text(DOCKER)
        (path / "bin/docker").chmod(0o755)
        yield path


def become(folder: Path, script: str, **record: Any) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder / "home")}
    args = [str(folder / "home"), json.dumps(record), str(folder / "bin")]
    command = [sys.executable, "-c", script, *args]
    return subprocess.run(command, env=env, capture_output=True, text=True, cwd="/")


def told(folder: Path, script: str, **record: Any) -> dict[str, Any]:
    done = become(folder, script, **record)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def capabilities(status: str, which: str) -> int:
    return int(status.partition(f"{which}:")[2].split()[0], 16)


def test_with_processes(folder: Path) -> None:
    """Nothing but low ports is kept; `docker` is a program like any other, without any group."""
    found = told(folder, LOOK)
    user = pwd.getpwnam(SERVICE_USER)
    assert found["uid"] == [user.pw_uid] * 3
    assert capabilities(found["here"], "CapPrm") == 1 << privileges.CAP_NET_BIND_SERVICE
    assert found["docker"] == found["sh"] and found["docker"][0] == str(user.pw_uid)
    assert found["docker"][1] == str(user.pw_gid)


def test_with_containers(folder: Path) -> None:
    """`docker` is root, with root's own HOME and nothing of the home; all else is the user's, who can neither look into
    this process, which could start it, nor end it.
    """
    found = told(folder, LOOK, engine="compose")
    user = pwd.getpwnam(SERVICE_USER)
    uid, groups, home, effective, where = found["docker"]
    assert (uid, groups, home, where) == ("0", "0", pwd.getpwuid(0).pw_dir, "/")
    assert capabilities(effective, "CapEff") == capabilities(Path("/proc/self/status").read_text(), "CapBnd")
    assert found["sh"][0] == str(user.pw_uid) and found["sh"][1] == str(user.pw_gid)
    assert capabilities(found["sh"][3], "CapEff") == 1 << privileges.CAP_NET_BIND_SERVICE
    assert found["uid"] == [user.pw_uid] * 3 and found["others"] == [] and found["ended"] == -9


@pytest.mark.parametrize("engine", ["native", "compose"])
def test_nothing_types_into_roots_terminal(folder: Path, engine: str) -> None:
    """What root's command starts is the services' user's choice (settings name programs): with a part in root's terminal
    it could type there what root's shell then runs."""
    script = BECOME + (
        "look = 'exec 3</dev/tty && echo taken'\n"
        "own = os.open('/dev/tty', os.O_RDWR)\n"  # there is one, for us
        "said = [run(['sh', '-c', look], ok=range(256)).out]\n"
        "said += [run(['docker', 'tty'], ok=range(256)).out]\n"
        "spawn(['sh', '-c', look], log=Path(sys.argv[1], 'log')).wait()\n"
        "print(said, Path(sys.argv[1], 'log').read_text())\n"
    )
    (folder / "bin/docker").write_text("#!/bin/sh\nexec 3</dev/tty && echo taken\n")
    args = [str(folder / "home"), json.dumps({"engine": engine})]
    env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    command = [sys.executable, "-c", script, *args]
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd="/", preexec_fn=take_terminal)
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0, done.stderr
    assert "taken" not in done.stdout and "/dev/tty" in done.stdout


def test_a_docker_of_somebody_else(folder: Path) -> None:
    """In a folder on root's PATH that the services' user can write: root does not run it."""
    user = service_user()
    os.chown(folder / "bin", user.pw_uid, user.pw_gid)
    done = become(folder, BECOME, engine="compose")
    assert (
        f"root does not run {folder}/bin/docker" in done.stderr
        and f"changed by {SERVICE_USER}" in done.stderr
    )
    assert become(folder, BECOME).returncode == 0


def test_somebody_by_number(folder: Path) -> None:
    """A person's containers: their number and first group, and none of the groups that they are in, such as sudo's."""
    with account("--groups", "shadow") as eve:
        found = told(folder, LOOK, engine="compose", uid=eve.pw_uid)
        assert found["uid"] == [eve.pw_uid] * 3 and found["groups"] == []
        assert found["sh"][:2] == [str(eve.pw_uid), str(eve.pw_gid)]
        assert (folder / "home").stat().st_uid == eve.pw_uid


@pytest.mark.parametrize("make", [privileges._own_home, privileges._own_output])
def test_root_makes_nothing_where_somebody_else_could_lead_it(folder: Path, make: Any) -> None:
    """A link, or a folder of the services' user on the way: root would make, and give away, what the link leads to."""
    user = service_user()
    args = (user,) if make is privileges._own_home else ()
    (folder / "roots").mkdir()
    theirs = folder / "theirs"
    theirs.mkdir()
    os.chown(theirs, user.pw_uid, user.pw_gid)
    (theirs / "link").symlink_to(folder / "roots")
    for path in (theirs / "link/new", theirs / "new"):
        with pytest.raises(SamseshError, match=f"can be changed by {SERVICE_USER}"):
            make(path, *args)
    assert not any((folder / "roots").iterdir()) and not (theirs / "new").exists()
    with pytest.raises(SamseshError, match="is no folder"):
        make(theirs / "link", *args)


def test_settings_that_root_wrote_are_taken_over(folder: Path) -> None:
    """By hand or by Ansible, before the first start: they are the services' user's from then on, closed to others."""
    home = folder / "home"
    home.mkdir(mode=0o755)
    (home / "samsesh.toml").write_text('[brand]\nname = "Ours"\n')
    (home / ".env").write_text("TZ=Asia/Tehran\n")
    done = become(folder, BECOME + "print(Path(sys.argv[1], 'samsesh.toml').read_text())")
    assert done.returncode == 0 and 'name = "Ours"' in done.stdout, done.stderr
    user = service_user()
    for path in (home, home / "samsesh.toml", home / ".env"):
        assert (path.stat().st_uid, path.stat().st_gid) == (user.pw_uid, user.pw_gid)
    assert [(home / name).stat().st_mode & 0o777 for name in ("samsesh.toml", ".env")] == [0o600, 0o600]


@pytest.mark.parametrize("what", ["link", "hard link", "another file", "a folder"])
def test_root_gives_nothing_away_that_is_not_a_new_homes(folder: Path, what: str) -> None:
    """A folder with anything else in it stays root's, and so does what a link leads to."""
    home, secret = folder / "home", folder / "secret"
    home.mkdir()
    secret.write_text("hunter2")
    if what == "link":
        (home / "samsesh.toml").symlink_to(secret)
    elif what == "hard link":
        (home / "samsesh.toml").hardlink_to(secret)
    elif what == "a folder":
        (home / "samsesh.toml").mkdir()
    else:
        (home / "samsesh.toml").write_text("")
        (home / "passwd").write_text("")
    done = become(folder, BECOME)
    assert done.returncode == 1 and "SamseshError" in done.stderr
    assert [path.lstat().st_uid for path in (home, secret, *home.iterdir())] == [0] * (
        2 + len(list(home.iterdir()))
    )


def test_as_its_owner(folder: Path) -> None:
    """Root that looks into a home sees what its owner may see: no link leads it to a file of root's, or of its group."""
    user = service_user()
    home = Home(folder / "home")
    home.path.mkdir()
    os.chown(home.path, user.pw_uid, user.pw_gid)
    secret = folder / "secret"
    secret.write_text("hunter2")
    secret.chmod(0o640)
    home.settings_file.symlink_to(secret)
    with as_owner(home), pytest.raises(PermissionError):
        home.settings_file.read_text()
    assert os.geteuid() == 0 and home.settings_file.read_text() == "hunter2"


def test_what_is_interrupted_ends_with_all_it_started(folder: Path) -> None:
    """Ctrl-C of root's terminal reaches us alone: what we started and its children end with us."""
    script = BECOME + (
        "import signal\n"
        "signal.signal(signal.SIGALRM, signal.default_int_handler)\n"
        "signal.setitimer(signal.ITIMER_REAL, 1)\n"
        "try:\n"
        "    run(['sh', '-c', 'sleep 300 & echo $! >\"$0\"; wait', Path(sys.argv[1], 'pid')])\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = become(folder, script)
    assert done.stdout == "interrupted\n", done.stderr
    child = Path("/proc", (folder / "home/pid").read_text().strip(), "stat")
    end = time.monotonic() + 5
    while child.exists() and " Z " not in child.read_text() and time.monotonic() < end:
        time.sleep(0.02)
    assert not child.exists() or " Z " in child.read_text()
