"""Starts that are interrupted, doubled or told to end: afterwards there is one server or none, never half of one."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from conftest import Stack
from system.trouble import fine, processes, started, wait_for

pytestmark = [pytest.mark.native, pytest.mark.slow]


@pytest.fixture(scope="module")
def fresh(session_home: Callable[[str], Stack]) -> Iterator[Stack]:
    """One home that goes through all of this file, in its order."""
    stack = session_home("interrupted")
    yield stack
    stack.cli("down")


def up(stack: Stack, *args: str) -> tuple[str, ...]:
    return ("up", "--yes", "--port-offset", str(stack.offset), *args)


@pytest.mark.parametrize("seconds", [0.03, 0.1, 0.2, 0.3])
def test_ctrl_c_at_once(fresh: Stack, seconds: float) -> None:
    """Ctrl-C before the program got to do anything: 130, and no traceback."""
    with started(fresh, *up(fresh)) as run:
        time.sleep(seconds)
        code = run.interrupt()
        if "init_import_site" not in run.told():  # Python's own words, before it runs a line of ours
            assert code == 130, run.told()
            assert run.process.returncode < 0 or "Traceback" not in run.told()
    assert processes(fresh) == []


@pytest.mark.parametrize("moment", ["making the database", "starting postgres", "waiting for", "logging in"])
def test_ctrl_c_in_a_first_start(fresh: Stack, moment: str) -> None:
    """Ctrl-C at any moment of the first start: 130, no traceback, and no process is left."""
    with started(fresh, *up(fresh)) as run:
        run.wait_told(moment)
        assert run.interrupt() == 130, run.told()
        assert "Traceback" not in run.told()
    assert processes(fresh) == []


def test_two_starts_at_once_after_it_make_one_server(fresh: Stack) -> None:
    """After all those the next `up` succeeds; a second one at the same time waits, is told so, and finds it done.

    The first administrator's password is told, once, by the one that made the account.
    """
    with started(fresh, *up(fresh)) as first:
        first.wait_told("starting postgres")
        with started(fresh, "up", "--yes") as second:
            assert second.process.wait(timeout=120) == 0, second.told()
            assert first.process.wait(timeout=60) == 0, first.told()
            assert "waiting for another command on this home: up (process" in second.told()
            assert "Nothing to do" in second.told()
            assert "Password:" in first.told()
            assert "Password:" not in second.told()
            assert "http://localhost" in second.told().partition("Nothing to do")[2]
    for name in ("native.supervise", "synapse.app.homeserver", "caddy run"):
        assert len([line for line in processes(fresh) if name in line]) == 1
    assert fresh.status()["ok"]


def test_ctrl_c_leaves_a_running_server_running(fresh: Stack) -> None:
    """Ctrl-C in an `up` that only changes something does not stop what people use."""
    postgres = next(service["pid"] for service in fresh.status()["services"] if service["name"] == "postgres")
    fine(fresh.cli("config", "set", "media.upload_size", "70M"))
    with started(fresh, "up", "--yes") as run:
        run.wait_told("restarting")
        assert run.interrupt() == 130, run.told()
    fine(fresh.cli("up", "--yes"))
    services = fresh.status()["services"]
    assert next(service["pid"] for service in services if service["name"] == "postgres") == postgres
    fine(fresh.cli("down"))
    assert processes(fresh) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_foreground_ends_everything_when_told(fresh: Stack, number: signal.Signals) -> None:
    """`up --foreground` stays until SIGTERM or Ctrl-C, then stops all in order: 0, and no process is left."""
    with started(fresh, "up", "--foreground") as run:
        run.wait_told("Homeserver, for apps")  # and not that one service is ready
        assert run.process.poll() is None
        assert fresh.status()["ok"]
        run.process.send_signal(number)  # to it alone, as a container's or systemd's stop does
        assert run.process.wait(timeout=120) == 0, run.told()
        assert "Traceback" not in run.told()
    assert processes(fresh) == []
    log = (fresh.home.logs_dir / "postgres.log").read_text()
    assert "database system is shut down" in log.splitlines()[-1]


def test_foreground_ends_in_the_middle_of_its_start(fresh: Stack) -> None:
    """SIGTERM while it still starts: what was started is stopped."""
    with started(fresh, "up", "--foreground") as run:
        run.wait_told("waiting for")
        run.process.send_signal(signal.SIGTERM)
        assert run.process.wait(timeout=120) == 143, run.told()
        assert "Traceback" not in run.told()
    assert processes(fresh) == []


def test_down_from_elsewhere_ends_the_foreground(fresh: Stack) -> None:
    """`down` in another shell ends a server in the foreground, too; who looks meanwhile is told no nonsense."""
    with started(fresh, "up", "--foreground") as run:
        run.wait_told("Homeserver, for apps")  # and not that one service is ready
        with started(fresh, "down") as down:
            while down.process.poll() is None:
                looked = fresh.cli("status")
                assert looked.returncode in (0, 1) and "Traceback" not in looked.stderr
            assert down.process.returncode == 0, down.told()
        wait_for(lambda: run.process.poll() is not None)
        assert "Traceback" not in run.told()
    assert processes(fresh) == []


def test_what_a_power_loss_leaves_behind(fresh: Stack) -> None:
    """Stale sockets and pid files, even where the pid is somebody else's by now, do not keep the server down."""
    runtime = fresh.home.runtime_dir()
    with started(
        fresh, "logs", "-f"
    ) as other:  # a process of the same user, as a service's after a reboot would be
        pid = other.process.pid
        (runtime / "supervisord.pid").write_text(f"{pid}\n")
        for name in ("supervisor.sock", "synapse.sock", ".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
            (runtime / name).write_text(f"{pid}\n")
        (folder,) = (fresh.home.data_dir / "postgres").iterdir()
        lines = [str(pid), str(folder), "1700000000", "5432", str(runtime), "", "123 456", "ready"]
        (folder / "postmaster.pid").write_text("\n".join(lines) + "\n")
        give_back(fresh, runtime, folder)
        assert "stopped" in fresh.cli("status").stdout
        fine(fresh.cli("up", "--yes"))
        assert other.process.poll() is None  # it was not taken for one of ours
        assert other.interrupt() == 130
    fine(fresh.cli("down"))
    assert processes(fresh) == []


def give_back(stack: Stack, *folders: Path) -> None:
    """Files that the test made as root, to the home's owner."""
    import os

    owner = stack.path.stat()
    for folder in folders:
        for path in folder.iterdir():
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
