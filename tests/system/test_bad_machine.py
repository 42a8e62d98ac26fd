"""Machines that are not ready for a server: ports, disks and folders. Each is told before anything starts."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import Stack, free_offset, give_to_service_user
from samsesh.home import SERVICE_USER
from system.trouble import NOBODY, ROOT, fine, needs_root, own_mount, processes, refused

AS_SERVICE = (
    ("setpriv", f"--reuid={SERVICE_USER}", f"--regid={SERVICE_USER}", "--clear-groups") if ROOT else ()
)
HOLD = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"


@pytest.fixture
def empty(homes: Path, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A home in which nothing ever starts, gone after the test."""
    stack = Stack(homes / f"machine-{abs(hash(request.node.name))}", free_offset())
    yield stack
    assert processes(stack) == []
    for path in (stack.path, stack.path / "secrets"):
        if path.is_dir():
            path.chmod(0o700)
    shutil.rmtree(stack.path, ignore_errors=True)


@contextmanager
def holding(prefix: tuple[str, ...]) -> Iterator[tuple[int, int]]:
    """(port, pid) of a program that listens."""
    program = subprocess.Popen(
        [*prefix, sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
    )
    try:
        assert program.stdout
        yield int(program.stdout.readline()), program.pid
    finally:
        program.communicate("\n", timeout=10)


def test_a_port_in_use_is_told_with_its_holder(empty: Stack) -> None:
    """Which setting, which port, by which program; and how to move. Nothing of the server starts."""
    with holding(AS_SERVICE) as (port, pid):
        fine(empty.cli("config", "set", "ports.api", str(port)))
        done = empty.cli("up", "--yes", "--port-offset", str(empty.offset))
        comm = Path(f"/proc/{pid}/comm").read_text().strip()
        refused(done, 1, f"port {port} (ports.api) is in use by {comm} (process {pid})", "ports.api NUMBER")
    assert not (empty.home.data_dir / "postgres").exists()


@needs_root
def test_a_port_in_use_by_another_user(empty: Stack) -> None:
    """Whose program it is can be known also where the program cannot."""
    with holding(NOBODY) as (port, _):
        fine(empty.cli("config", "set", "ports.web", str(port)))
        done = empty.cli("up", "--yes", "--port-offset", str(empty.offset))
        refused(done, 1, f"port {port} (ports.web) is in use by a program of nobody")


@needs_root
def test_a_low_port_without_root(empty: Stack) -> None:
    """An ordinary user is told the limit and a port that works."""
    empty.path.mkdir()
    shutil.chown(empty.path, 65534, 65534)
    empty.prefix = NOBODY
    fine(empty.cli("config", "set", "ports.web", "81"))
    done = empty.cli("up", "--yes", "--port-offset", str(empty.offset))
    refused(done, 1, "ports.web is 81", "may not listen below", "config set ports.web 8081")
    empty.prefix = ()
    refused(empty.cli("up", "--yes"), 1, f"{empty.path} belongs to nobody", "chown")


@needs_root
def test_too_small_a_disk_is_told_before_starting(empty: Stack) -> None:
    """A start that cannot work is not begun, and says how much it needs."""
    empty.path.mkdir()
    with own_mount(empty.path, "40m") as empty.prefix:
        done = empty.cli("up", "--yes", "--port-offset", str(empty.offset))
        refused(done, 1, f"MB are free on the disk of {empty.path}; a new server needs 512 MB", "make room")
        assert (
            "data" not in subprocess.check_output([*empty.prefix, "ls", str(empty.path)], text=True).split()
        )


@needs_root
def test_a_full_disk_is_told(empty: Stack) -> None:
    """Where not one byte is left, commands say so, and `down` still does what it can."""
    empty.path.mkdir()
    with own_mount(empty.path, "64k") as empty.prefix:
        fill = ["sh", "-c", 'cat /dev/zero >"$0/filler" || chown samsesh "$0"', str(empty.path)]
        subprocess.run([*empty.prefix, *fill], stderr=subprocess.DEVNULL)
        refused(empty.cli("config", "set", "brand.name", "x"), 1, "No space left", "the disk is full")
        refused(empty.cli("up", "--yes"), 1, "No space left", "the disk is full")
        fine(empty.cli("down"))


def test_a_home_that_cannot_be_written(empty: Stack) -> None:
    """Below a folder of somebody else, or read-only: told with the way out."""
    if ROOT:
        empty.prefix = NOBODY
    below = Stack(Path("/usr/lib/samsesh-test"), empty.offset, {}, empty.prefix)
    refused(below.cli("up", "--yes"), 1, "cannot make the folder /usr/lib/samsesh-test", "--home")
    refused(below.cli("status"), 1, "there is no server in /usr/lib/samsesh-test", "up")
    empty.path.mkdir()
    empty.path.chmod(0o555)
    if ROOT:
        shutil.chown(empty.path, 65534, 65534)
    refused(empty.cli("up", "--yes"), 1, f"{empty.path} is not writable", "--home DIR")


@needs_root
def test_a_home_in_a_closed_folder(empty: Stack) -> None:
    """As root a home that the service user could not reach is refused, every command without a traceback."""
    empty.path.mkdir(mode=0o700)
    inside = Stack(empty.path / "home", empty.offset)
    refused(
        inside.cli("up", "--yes"), 1, f"{SERVICE_USER} cannot reach", f"{empty.path} is closed", "--home DIR"
    )
    (empty.path / "home").mkdir(exist_ok=True)
    for command in ("status", "down", "logs", "user list", "backup list", "config show"):
        refused(inside.cli(*command.split()), 1, str(empty.path))
        inside.prefix = NOBODY
        done = inside.cli(*command.split())
        assert done.returncode in (1, 2), (command, done)
        assert "Traceback" not in done.stderr
        inside.prefix = ()


@pytest.mark.parametrize("kind", ["file", "unknown user"])
def test_a_home_that_is_no_folder(empty: Stack, kind: str) -> None:
    """A file in the place of the home, or a home of an unknown user, is one sentence."""
    if kind == "file":
        empty.path.write_text("not a folder")
        refused(empty.cli("up", "--yes"), 1, str(empty.path))
        refused(empty.cli("status"), 1, str(empty.path))
        empty.path.unlink()
    else:
        empty.path = Path("~nobody-of-that-name/home")
        done = empty.cli("status")
        assert done.returncode in (1, 2)
        assert "nobody-of-that-name" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_home_of_a_newer_version(empty: Stack) -> None:
    """What a newer Samsesh made is left as it is."""
    empty.path.mkdir()
    empty.home.state_file.write_text('{"format": 99, "samsesh": "9.1", "server_name": "localhost"}')
    give_to_service_user(empty.path)
    before = empty.home.state_file.read_bytes()
    for command in (("up", "--yes"), ("up", "--dry-run"), ("status",), ("config", "set", "brand.name", "x")):
        refused(empty.cli(*command), 1, "was made by a newer Samsesh (9.1)", "use that version")
    assert empty.home.state_file.read_bytes() == before
    assert not empty.home.secrets_dir.exists()
    assert not empty.home.settings_file.exists()


def test_a_damaged_memory(empty: Stack) -> None:
    """A state file that is no JSON is told, with where to get another."""
    empty.path.mkdir()
    empty.home.state_file.write_text('{"format": 1, "serv')
    give_to_service_user(empty.path)
    refused(empty.cli("up", "--yes"), 1, f"{empty.home.state_file} is damaged", "backup")


@pytest.mark.parametrize(
    ("name", "mode", "fix"), [("", 0o750, "chmod 700"), ("macaroon_key", 0o644, "chmod 600")]
)
def test_open_secrets_are_refused(empty: Stack, name: str, mode: int, fix: str) -> None:
    """Secrets that others could read are refused, with the command that closes them."""
    fine(empty.cli("config", "set", "brand.name", "Ours"))
    path = empty.home.secrets_dir / name
    empty.home.secrets_dir.mkdir(mode=0o700)
    if name:
        path.write_text("known to all")
    path.chmod(mode)
    give_to_service_user(empty.path)
    refused(empty.cli("up", "--yes"), 1, f"{path}", "is open to other users", f"run `{fix} {path}`")
    assert not empty.home.data_dir.exists()


def test_a_runtime_folder_of_somebody_else(empty: Stack) -> None:
    """With a long home path the sockets are in /tmp: a folder that somebody made there first is not used."""
    empty.path = empty.path.with_name(empty.path.name + "x" * 90)
    empty.path.mkdir()
    give_to_service_user(empty.path)
    user = empty.path.stat().st_uid
    trap = Path("/tmp") / f"samsesh-{user}-{empty.home.id}"
    trap.mkdir(mode=0o777)
    trap.chmod(0o777)
    try:
        done = empty.cli("up", "--yes", "--port-offset", str(empty.offset))
        refused(done, 1, f"{trap} belongs to somebody else or is open to others", f"remove {trap}")
    finally:
        trap.rmdir()


def test_a_current_folder_that_is_gone(empty: Stack, tmp_path: Path) -> None:
    """Commands work where the current folder was removed."""
    script = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"'
    empty.prefix = ("sh", "-c", script, str(tmp_path / "gone"))
    assert fine(empty.cli("config", "get", "ports.web")).stdout == "8080\n"
    refused(empty.cli("status"), 1, "there is no server in")


def test_without_a_home_there_is_nothing_to_show(empty: Stack) -> None:
    """What reports says that there is no server, and makes no folder for it."""
    for command in (
        "status",
        "status --json",
        "user list",
        "user list --json",
        "logs",
        "logs -f",
        "restart",
        "backup create",
    ):
        refused(empty.cli(*command.split()), 1, f"there is no server in {empty.path}", "up")
    assert "Nothing was running" in fine(empty.cli("down")).stdout
    assert not empty.path.exists()


def test_a_home_that_programs_would_misread(empty: Stack) -> None:
    """A folder whose name a program of the server reads as something else is refused before it is made."""
    odd = Stack(empty.path.with_name("a,b"), empty.offset)
    refused(odd.cli("up", "--yes"), 1, "a,b", "choose another")
    assert not odd.path.exists()
