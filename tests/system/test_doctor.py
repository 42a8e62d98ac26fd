"""`samsesh doctor` on real servers: a healthy one, and one in which a single thing is broken at a time."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import Stack, free_offset, give_to_service_user
from samsesh.home import SERVICE_USER
from system.trouble import ROOT, fine, needs_root, own_mount, refused, started, wait_for

BASICS = {
    *("backup", "clock", "database", "disk", "ephemeral", "logs", "memory", "ports", "reboot", "secrets"),
    *("origins", "services", "settings", "versions", "well-known"),
}
MACHINES = {
    "clock",
    "disk",
    "memory",
    "logs",
    "reboot",
    "backup",
}  # what differs between machines, and other tests
AS_OWNER = ("setpriv", f"--reuid={SERVICE_USER}", f"--regid={SERVICE_USER}", "--clear-groups") if ROOT else ()
Checks = Mapping[str, dict[str, Any]]


def examined(stack: Stack, *args: str) -> Checks:
    """What `doctor --json` finds, by id; its exit code goes with it."""
    done = stack.cli("doctor", "--json", *args)
    assert "Traceback" not in done.stderr, done.stderr
    found = json.loads(done.stdout)
    checks = {check["id"]: check for check in found["checks"]}
    assert found["ok"] == all(check["status"] != "failed" for check in checks.values())
    assert done.returncode == (0 if found["ok"] else 1)
    return checks


def only(found: Checks, failed: set[str], skipped: set[str] = frozenset()) -> None:  # type: ignore[assignment]
    """These failed, those were skipped for it, and nothing else is wrong but with the machine."""
    basics = {id_: check for id_, check in found.items() if id_ in BASICS}
    assert {id_ for id_, check in basics.items() if check["status"] == "failed"} == failed, found
    assert {id_ for id_, check in basics.items() if check["status"] == "skipped"} == skipped, found


@pytest.fixture(scope="module")
def broken(session_home: Callable[[str], Stack]) -> Stack:
    """A running server of our own, in which each test breaks one thing and mends it again."""
    made = session_home("examined")
    made.up()
    return made


def pid_of(stack: Stack, name: str) -> int:
    return int(next(one["pid"] for one in stack.status()["services"] if one["name"] == name))


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that does not go on inside."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def listener(address: str, port: int, kind: str, mark: str = "") -> Iterator[None]:
    """A program that listens there; with `mark`, as one of that home's units does."""
    script = (
        f"import socket, sys; s = socket.socket(socket.AF_INET, socket.{kind}); s.bind(({address!r}, {port}))\n"
        f"if s.type == socket.SOCK_STREAM: s.listen()\n"
        "print('there', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [*AS_OWNER, sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], **({"SAMSESH_UNIT": mark} if mark else {})},
        cwd="/",
    )
    try:
        assert process.stdout and process.stdout.readline() == b"there\n"
        yield
    finally:
        process.communicate(timeout=20)


def test_a_healthy_server_is_well(stack: Stack) -> None:
    """Everything of the basics is ok, within seconds, in the shape that programs rely on."""
    began = time.monotonic()
    done = stack.cli("doctor", "basics", "--json")
    seconds = time.monotonic() - began
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["ok"] is True, done.stdout
    assert {check["id"] for check in found["checks"]} == BASICS
    for check in found["checks"]:
        assert check.keys() == {"id", "title", "status", "summary", "seen", "advice", "seconds"}
        assert check["status"] in (("ok", "warning") if check["id"] in MACHINES else ("ok",)), check
        assert isinstance(check["seconds"], float) and check["summary"]
        assert bool(check["advice"]) == (check["status"] != "ok")
    assert seconds < 8  # 1 s on a machine that does nothing else


def test_it_changes_nothing_and_needs_no_lock(stack: Stack) -> None:
    """While another command holds the home the doctor works, and leaves only what it found last."""

    def files() -> dict[str, tuple[int, bytes]]:
        folders = (stack.home.secrets_dir, stack.home.config_dir, stack.path)
        paths = [path for folder in folders for path in folder.iterdir() if path.is_file()]
        return {
            str(path): (path.stat().st_mode, path.read_bytes())
            for path in paths
            if path.name != "doctor.json"
        }

    with (stack.path / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        before = files()
        done = fine(stack.cli("doctor", timeout=60))
        assert files() == before
    assert (stack.path / "doctor.json").stat().st_mode & 0o777 == 0o600
    assert (stack.path / "doctor.json").stat().st_uid == stack.path.stat().st_uid
    assert done.stdout.splitlines()[0].startswith(("All is well", "Nothing failed"))
    assert "services: ok" in done.stderr  # no terminal: a line for each


def test_what_to_examine_can_be_named(stack: Stack) -> None:
    """One check, a group, and exit code 2 with the nearest name for one that is not there."""
    assert examined(stack, "--only", "disk").keys() == {"disk"}
    assert examined(stack, "disk", "--only", "clock").keys() == {"disk", "clock"}
    refused(stack.cli("doctor", "--only", "datbase"), 2, "'datbase'", "did you mean database?")
    refused(stack.cli("doctor", "basic"), 2, "did you mean basics?")


@pytest.mark.slow
def test_an_open_secret(broken: Stack) -> None:
    """A secret that others can read fails that check alone, with the command; then what is new, and what is mended."""
    path = broken.home.secrets_dir / "macaroon_key"
    fine(broken.cli("doctor"))
    path.chmod(0o644)
    try:
        found = examined(broken, "basics")
        only(found, {"secrets"})
        assert f"chmod 600 {path}" in found["secrets"]["advice"]
        told = broken.cli("doctor")
        assert told.returncode == 1
        verdict, new, worst, *_ = told.stdout.splitlines()
        assert (
            "failed: secrets" in verdict and "failed: secrets" in new and worst.startswith("failed  secrets")
        )
    finally:
        path.chmod(0o600)
    assert "fixed: secrets" in fine(broken.cli("doctor")).stdout
    _, then, *_ = fine(broken.cli("doctor")).stdout.splitlines()
    assert "secrets" not in then


@pytest.mark.slow
@pytest.mark.parametrize("name", [".env", "backups", "secrets/form_key", "config/synapse/pgpass"])
def test_what_must_be_private(broken: Stack, name: str) -> None:
    """Settings with secrets, backups, and files that hold one, are told when others can read them."""
    path = broken.path / name
    new = not path.exists()
    if new and name == "backups":
        path.mkdir()
    elif new:
        path.write_text("# nothing\n")
    mode = path.stat().st_mode
    give_to_service_user(path)
    path.chmod(0o755 if path.is_dir() else 0o640)
    try:
        found = examined(broken, "--only", "secrets")["secrets"]
        assert found["status"] == "failed"
        assert f"chmod {700 if path.is_dir() else 600} {path}" in found["advice"]
    finally:
        path.chmod(mode)
        if new:
            path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.slow
def test_a_lost_secret(broken: Stack) -> None:
    """A secret that is gone or empty is told, not made anew: what was made with it would be lost."""
    path = broken.home.secrets_dir / "registration_shared_secret"
    kept = path.with_name("kept")
    path.rename(kept)
    try:
        found = examined(broken, "basics")
        only(found, {"secrets"})
        assert "backup" in found["secrets"]["advice"] and not path.exists()
    finally:
        kept.rename(path)


@pytest.mark.native
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "skipped"), [("gateway", {"versions", "well-known"}), ("postgres", {"versions", "database"})]
)
def test_a_service_that_hangs(broken: Stack, name: str, skipped: set[str]) -> None:
    """It is named with what its probe says and where to look; what asks it is skipped, the rest goes on."""
    with frozen(pid_of(broken, name)):
        found = examined(broken, "basics")
        only(found, {"services"}, skipped)
        assert found["services"]["summary"] in (
            f"{name} is starting",
            f"{name} is failing",
        )  # by how long it runs
        assert "no answer in time" in found["services"]["seen"]
        assert f"samsesh logs {name}" in found["services"]["advice"]
        assert f"needs the service {name}" in found["versions"]["summary"]
    wait_for(lambda: broken.status()["ok"])


@pytest.mark.native
@pytest.mark.slow
def test_a_process_manager_that_hangs(broken: Stack) -> None:
    """One thing is wrong, and what asks through it is skipped; the whole ends in time."""
    began = time.monotonic()
    with frozen(int((broken.home.runtime_dir() / "supervisord.pid").read_text())):
        found = examined(broken, "basics")
    only(found, {"services"}, {"database", "memory", "ports", "settings", "versions", "well-known"})
    assert "samsesh down" in found["services"]["advice"]
    assert time.monotonic() - began < 20


@pytest.mark.native
@pytest.mark.slow
def test_an_examination_can_be_interrupted(broken: Stack) -> None:
    """Ctrl-C ends it at once, with a shell's exit code and no words of Python's."""
    with frozen(pid_of(broken, "gateway")), started(broken, "doctor") as doctor:
        doctor.wait_told("disk: ok")
        assert doctor.interrupt() == 130
        assert "Traceback" not in doctor.told() and "services" not in doctor.told()


@pytest.mark.native
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
def test_something_of_ours_that_others_can_reach(broken: Stack, kind: str) -> None:
    """A local server listens on loopback alone; whatever of it does not is told, TCP and UDP."""
    port = broken.offset + 8099
    with listener("0.0.0.0", port, kind, mark=f"{broken.home.id}/odd"):
        found = examined(broken, "basics")
        only(found, {"ports"})
        assert f"0.0.0.0:{port}" in found["ports"]["summary"]
        assert "reached from other machines" in found["ports"]["summary"]
    with listener("0.0.0.0", port, kind):
        assert examined(broken, "--only", "ports")["ports"]["status"] == "ok"  # somebody else's


@pytest.mark.slow
def test_discovery_without_cors(broken: Stack) -> None:
    """Documents that web pages may not read fail, with the header; settings say that a file is not as they want it."""
    path = broken.home.config_dir / "gateway" / "caddy.json"
    kept = path.read_text()
    path.write_text(kept.replace("Access-Control-Allow-Origin", "X-Nothing"))
    try:
        fine(broken.cli("restart", "gateway"))
        found = examined(broken, "basics")
        only(found, {"well-known"})
        assert "Access-Control-Allow-Origin is there 0 times" in found["well-known"]["summary"]
        assert "gateway" in found["settings"]["summary"]
    finally:
        broken.up()
        fine(broken.cli("restart", "gateway"))
    assert examined(broken, "--only", "well-known")["well-known"]["status"] == "ok"


@pytest.mark.slow
def test_settings_that_are_risky_or_not_in_force(broken: Stack) -> None:
    """Open registration and changes that nobody applied are warnings with the commands; broken settings exit with 2."""
    fine(broken.cli("config", "set", "registration.mode", "open"))
    found = examined(broken, "--only", "settings")["settings"]
    assert found["status"] == "warning" and "anybody" in found["summary"] and "synapse" in found["seen"]
    assert "samsesh config set registration.mode token" in found["advice"] and "samsesh up" in found["advice"]
    fine(broken.cli("config", "set", "registration.mode", "token"))
    kept = broken.home.settings_file.read_text()
    broken.home.settings_file.write_text("[server]\nnam = 'x'\n")
    refused(broken.cli("doctor"), 2, "line 2", "nam")
    broken.home.settings_file.write_text(kept)


@pytest.mark.slow
def test_backups_count_wherever_they_are(broken: Stack, homes: Path) -> None:
    """A backup that was written elsewhere is one; its age and none at all are warnings."""
    assert examined(broken, "--only", "backup")["backup"]["status"] == "warning"
    folder = homes / "elsewhere"
    folder.mkdir()
    give_to_service_user(folder)
    fine(broken.cli("backup", "create", "-o", str(folder)))
    assert examined(broken, "--only", "backup")["backup"]["status"] == "ok"


@pytest.mark.slow
def test_the_doctors_account_comes_back(broken: Stack) -> None:
    """Whatever was done to the reserved account, the next examination has a device of it again, the same one."""
    script = (
        "from pathlib import Path; from samsesh.home import Home; from samsesh.ops.server import server_as_found\n"
        "from samsesh.ops import doctor_account as d, service_account as s; import sys\n"
        "server = server_as_found(Home(Path(sys.argv[1])), {}); first = d.ensure(server)\n"
        "with s.client(server) as c: c.deactivate(first.user_id, erase=True)\n"
        "again = d.ensure(server); assert again.token != first.token and d.ensure(server) == again\n"
        "with s.client(server) as c: print(len(c.devices(again.user_id)), c.user(again.user_id)['user_type'])\n"
    )
    command = [*AS_OWNER, sys.executable, "-c", script, str(broken.path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", env=broken.env(), timeout=60)
    assert (done.stdout, done.returncode) == ("1 support\n", 0), done.stderr
    assert "samsesh.doctor" not in fine(broken.cli("user", "list", "--json")).stdout
    refused(
        broken.cli("user", "add", "samsesh.doctor", "--password-stdin", stdin="long enough\n"),
        2,
        "Samsesh works",
    )


@pytest.mark.slow
def test_a_stopped_server(new_home: Callable[[str], Stack]) -> None:
    """One thing is wrong, not ten: it is stopped; and a port that somebody took meanwhile is told."""
    own = new_home("stopped")
    own.up()
    fine(own.cli("down"))
    found = examined(own, "basics")
    only(found, {"services"}, {"database", "ports", "versions", "well-known"})
    assert found["services"]["advice"] == "start it: samsesh up"
    port = own.offset + 8008
    with listener("127.0.0.1", port, "SOCK_STREAM"):
        found = examined(own, "--only", "ports")
        assert f"127.0.0.1:{port}, which gateway needs (ports.api)" in found["ports"]["summary"]
        assert "samsesh config set ports.api NUMBER" in found["ports"]["advice"]


def test_a_home_without_a_server(new_home: Callable[[str], Stack]) -> None:
    """Nothing is made by looking; settings alone are a stopped server, and another's database is asked at once."""
    own = new_home("never")
    refused(own.cli("doctor"), 1, "no server in", "make one with")
    assert not own.path.exists()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        fine(own.cli("config", "set", "database.url", f"postgresql://a:secret-word@127.0.0.1:{port}/synapse"))
        done = own.cli("doctor", "basics", "--json")
    found = {check["id"]: check for check in json.loads(done.stdout)["checks"]}
    only(found, {"services", "database"}, {"ports", "versions", "well-known"})
    assert "start that server" in found["database"]["advice"] and "refused" in found["database"]["seen"]
    assert "secret-word" not in done.stdout
    assert not own.home.secrets_dir.exists()


@needs_root
def test_a_full_disk(homes: Path) -> None:
    """The disk that is full is told, although what was found cannot be kept on it."""
    path = homes / "full"
    path.mkdir()
    with own_mount(path, "2M") as prefix:
        own = Stack(path, free_offset(), prefix=prefix)
        subprocess.run([*prefix, "chown", SERVICE_USER, str(path)], check=True)
        fine(own.cli("config", "set", "brand.name", "Full"))
        subprocess.run([*prefix, "dd", "if=/dev/zero", f"of={path}/filler"], capture_output=True)
        done = own.cli("doctor")
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert "failed  disk" in done.stdout and "almost no room is left" in done.stdout
        assert "the disk is full" not in done.stdout and "cannot say what is new" in done.stderr
    shutil.rmtree(path)
