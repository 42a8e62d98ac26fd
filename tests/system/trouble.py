"""What the tests of bad days share: what a refusal looks like, starts that are interrupted, and who still runs."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import Stack

ROOT = os.geteuid() == 0
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
needs_root = pytest.mark.skipif(not ROOT, reason="needs root: another user or a mount of its own")
Done = subprocess.CompletedProcess[str]


def refused(done: Done, code: int, *words: str) -> None:
    """An error as it should be: the exit code, what is wrong and what to do, and nothing of Python's."""
    assert done.returncode == code, done.stdout + done.stderr
    for word in words:
        assert word in done.stderr
    assert done.stderr.startswith("samsesh: ") or "\nsamsesh: " in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def fine(done: Done) -> Done:
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def wait_for(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """What `condition` gives once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return found


def processes(stack: Stack) -> list[str]:
    """Command lines of every process of this home."""
    path, mark = os.fsencode(stack.path), f"SAMSESH_UNIT={stack.home.id}/".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            command = (entry / "cmdline").read_bytes()
            told = command + (entry / "environ").read_bytes() + bytes((entry / "cwd").readlink())
        except OSError:
            continue
        if state != "Z" and (path in told or mark in told):
            found.append(f"{entry.name} {command.replace(bytes(1), b' ').decode(errors='replace')}")
    return found


@dataclass
class Running:
    """A command that runs beside the test."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def told(self) -> str:
        """Everything that it wrote until now."""
        return self.log.read_text()

    def wait_told(self, text: str, seconds: float = 60) -> None:
        wait_for(lambda: text in self.told() or self.process.poll() is not None, seconds)
        assert text in self.told()

    def interrupt(self, number: int = signal.SIGINT) -> int:
        """As Ctrl-C does, which reaches all of the terminal's foreground; returns what a shell says of the end.

        Python dies of the signal itself where it came while a library ran code from a text (dataclasses do).
        """
        os.killpg(self.process.pid, number)
        code = self.process.wait(timeout=60)
        return 128 - code if code < 0 else code


@contextmanager
def started(stack: Stack, *args: str) -> Iterator[Running]:
    """`samsesh --home ... args`, beside the test, its output together in one file; ended at the end."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "output")
        with log.open("wb") as out:
            process = subprocess.Popen(
                stack.argv(*args),
                env=stack.env(*args),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        try:
            yield Running(process, log)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=10)


@contextmanager
def own_mount(target: Path, size: str) -> Iterator[tuple[str, ...]]:
    """A prefix for commands that see a small file system of their own at `target`; for root."""
    script = f'mount -t tmpfs -o size={size},mode=755 samsesh-test "$0" && echo there && exec sleep 600'
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, str(target)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout and holder.stdout.readline() == "there\n"
        yield ("nsenter", f"--mount=/proc/{holder.pid}/ns/mnt")
    finally:
        holder.kill()
        holder.communicate()
