"""A user without any rights: one home, 200 characters deep, from `up` to `down`, with logs and drift on the way."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Stack, free_offset
from samsesh.cache import MACHINE_CACHE
from system.trouble import NOBODY, ROOT, fine, processes, refused, started, wait_for

pytestmark = [pytest.mark.native, pytest.mark.slow]
LONG = 200  # characters of the home's path; a socket's path may have 107 bytes


@pytest.fixture(scope="module")
def own(homes: Path) -> Iterator[Stack]:
    """A running server of nobody's, or of the user who runs the tests."""
    folder = homes / "ordinary"
    folder.mkdir()
    home = folder / ("d" * 60) / ("e" * 60)
    home = home / ("f" * (LONG - len(str(home)) - 1))
    assert len(str(home)) == LONG
    if ROOT:
        os.chown(folder, 65534, 65534)
    began = time.time()
    environ = {"HOME": str(folder)}
    if ROOT:  # else this user's own
        environ["SAMSESH_CACHE"] = str(MACHINE_CACHE)  # what calls need is there, and only read
    stack = Stack(home, free_offset(), environ=environ, prefix=NOBODY if ROOT else ())
    try:
        fine(stack.cli("up", "--yes", "--port-offset", str(stack.offset)))
        if ROOT:
            made = made_since(began)
            assert made and [path for path in made if not path.startswith(str(folder))] == []
        yield stack
    finally:
        fine(stack.cli("down"))
    assert processes(stack) == []
    shutil.rmtree(folder)


def made_since(moment: float) -> list[str]:
    """What nobody made or changed on this machine's disks, but for the private folders of sockets and what other tests
    of this run give to nobody.
    """
    others = ("(", "-path", "/tmp/samsesh-65534-*", "-o", "-path", "/tmp/pytest-of-*", ")")
    matching = ("-uid", "65534", "-newerct", f"@{moment:.0f}", "-print")
    argv = ["find", "/", "/tmp", "-xdev", *others, "-prune", "-o", *matching]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120).stdout.splitlines()


def test_everything_is_that_users(own: Stack) -> None:
    """No file and no process belongs to anybody else; sockets are in a private folder of a path short enough."""
    me = 65534 if ROOT else os.geteuid()
    found = fine(run_as(own, "find", str(own.path), "-printf", "%U\\n")).stdout.split()
    assert set(found) == {str(me)}
    runtime = Path(f"/tmp/samsesh-{me}-{own.home.id}").stat()
    assert (runtime.st_uid, runtime.st_mode & 0o777) == (me, 0o700)
    running = processes(own)
    assert running
    for line in running:
        assert Path("/proc", line.split()[0]).stat().st_uid == me


def run_as(own: Stack, *command: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """A program as the home's owner."""
    argv = [*own.prefix, *command]
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=60, cwd="/")


def test_daily_life(own: Stack) -> None:
    """Accounts and invitations work as they do for root."""
    fine(own.cli("user", "add", "alice", "--password-stdin", stdin="correct horse 1\n"))
    refused(
        own.cli("user", "add", "alice", "--password-stdin", stdin="correct horse 1\n"), 1, "exists already"
    )
    refused(own.cli("user", "add", "bob", "--password-stdin", stdin="short\n"), 2, "at least 8 characters")
    made = json.loads(fine(own.cli("invite", "create", "--json")).stdout)
    assert made["link"].startswith(own.url("web"))
    names = [user["name"] for user in json.loads(fine(own.cli("user", "list", "--json")).stdout)]
    assert "@alice:localhost" in names and "@bob:localhost" not in names


def test_another_shell_does_not_change_the_server(own: Stack) -> None:
    """Variables are adopted by the first `up` alone: later ones are reported, and nothing is restarted."""
    before = [service["pid"] for service in own.status()["services"]]
    other = Stack(
        own.path,
        own.offset,
        {
            **own.environ,
            "TZ": "Europe/Berlin",
            "SYNAPSE_SERVER_NAME": "other.example",
            "LIVEKIT_SECRET": "secret",
        },
        own.prefix,
    )
    done = fine(other.cli("up", "--yes"))
    assert "SYNAPSE_SERVER_NAME says other.example, but server.name is localhost" in done.stdout + done.stderr
    assert [service["pid"] for service in own.status()["services"]] == before
    assert fine(own.cli("config", "get", "server.name")).stdout.strip() == "localhost"


def test_the_name_is_permanent(own: Stack) -> None:
    """Once the database exists, another server name is refused, with why and what to do."""
    refused(own.cli("config", "set", "server.name", "new.example"), 2, "localhost", "destroy")


def test_logs_follow_across_rotation(own: Stack) -> None:
    """`logs -f` shows what comes, also after the file was rotated, and ends cleanly with Ctrl-C."""
    log = own.home.logs_dir / "synapse.log"
    with started(own, "logs", "synapse", "-f", "-n", "1") as following:
        wait_for(following.told)
        append(own, log, "a line before rotation")
        following.wait_told("a line before rotation", 10)
        rotated = log.with_name("synapse.log.9")
        fine(run_as(own, "mv", str(log), str(rotated)))
        append(own, log, "a line after rotation")
        following.wait_told("a line after rotation", 10)
        assert following.interrupt() == 130
        assert "Traceback" not in following.told()
    fine(run_as(own, "mv", str(rotated), str(log)))


def append(own: Stack, path: Path, text: str) -> None:
    fine(run_as(own, "tee", "-a", str(path), stdin=f"{text}\n"))


def test_logs_since(own: Stack) -> None:
    """`--since` takes a span or a moment, and says how where it is neither."""
    assert "samsesh" not in fine(own.cli("logs", "postgres", "--since", "2020-01-01 00:00")).stderr
    assert len(fine(own.cli("logs", "--since", "1h")).stdout.splitlines()) > 10
    future = time.strftime("%Y-%m-%d %H:%M", time.gmtime(time.time() + 86_400))
    assert fine(own.cli("logs", "--since", future)).stdout == ""
    refused(own.cli("logs", "--since", "yesterday"), 2, "--since yesterday is no time", "10m")
    refused(own.cli("logs", "livekitt"), 2, "there is no log of livekitt", "synapse")


def test_restarting_one_service(own: Stack) -> None:
    """`restart synapse` restarts that one alone; an unknown name is told with those there are."""
    before = {service["name"]: service["pid"] for service in own.status()["services"]}
    fine(own.cli("restart", "synapse"))
    after = {service["name"]: service["pid"] for service in own.status()["services"]}
    assert before.pop("synapse") != after.pop("synapse")
    assert before == after
    refused(own.cli("restart", "synapsee"), 2, "there is no service synapsee", "synapse")


def test_down_twice_and_with_broken_settings(own: Stack) -> None:
    """`down` stops a server whose settings are broken, says so when nothing runs, and `up` brings it back."""
    settings = own.home.settings_file
    kept = fine(run_as(own, "cat", str(settings))).stdout
    append(own, settings, "this is [ no TOML")
    refused(own.cli("status"), 2, str(settings), "no TOML")
    assert "stopped" in fine(own.cli("down")).stdout
    assert processes(own) == []
    assert "Nothing was running" in fine(own.cli("down")).stdout
    fine(run_as(own, "tee", str(settings), stdin=kept))
    stopped = own.cli("status")
    assert (stopped.returncode, "The server is stopped" in stopped.stdout) == (1, True)
    refused(own.cli("user", "list"), 1, "up")
    fine(own.cli("up", "--yes"))
    assert own.status()["ok"]
