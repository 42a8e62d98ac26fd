"""Stopping units that have only just been started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from samsesh.engines.native import start
from samsesh.engines.native.supervisor import starting
from samsesh.formats import to_json

FORK = """
import os, sys
if os.fork() == 0:
    sys.stdin.readline()
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
print("forked", flush=True)
os.wait()
"""


def test_a_unit_is_starting_until_it_can_be_stopped(tmp_path: Path) -> None:
    """Between supervisord's fork and start.py's first line signals get lost: `down` sees that, and waits."""
    spec = {"name": "x", "death_signal": "INT", "supervisor_pid": "", "keep_low_ports": False, "starts": ""}
    waiting = {"name": "a need", "kind": "http", "path": "/", "socket": str(tmp_path / "nobody")}
    (tmp_path / "spec").write_bytes(to_json({**spec, "needs": [waiting]}))
    command = ["-I", "-S", start.__file__, str(tmp_path / "spec")]
    with subprocess.Popen(
        [sys.executable, "-c", FORK, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdin and parent.stdout
        assert parent.stdout.readline() == "forked\n"
        child = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().strip()
        try:
            assert starting(parent.pid)
            parent.stdin.write("go on\n")
            parent.stdin.flush()
            assert until(lambda: not starting(parent.pid))
            assert Path(f"/proc/{child}/comm").read_text() == f"{start.NAME}\n"
        finally:
            os.kill(int(child), signal.SIGINT)
    assert parent.returncode == 0
    assert not starting(parent.pid)


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.001)
    return found
