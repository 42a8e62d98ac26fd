"""Stopping units that have only just been started."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path

import pytest

from samsesh.engines.native import start
from samsesh.engines.native.supervisor import starting
from samsesh.formats import to_json
from samsesh.home import SERVICE_USER
from samsesh.ops.privileges import service_user

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


SHOW = """
import socket, sys
try:
    socket.create_server(("127.0.0.1", 77)).close()
    print("bound")
except PermissionError:
    print("refused")
print(open("/proc/self/status").read())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives capabilities away")
@pytest.mark.parametrize("keep", [True, False])
def test_a_unit_has_the_rights_that_it_needs(tmp_path: Path, keep: bool) -> None:
    """The right to bind low ports reaches the program that has one, and no other; neither can get more."""
    service_user()
    tmp_path.chmod(0o755)
    for above in takewhile(lambda folder: folder != Path(tempfile.gettempdir()), tmp_path.parents):
        above.chmod(0o755)
    command = [sys.executable, "-I", "-c", SHOW]
    spec = {
        "name": "x",
        "death_signal": "INT",
        "supervisor_pid": "",
        "needs": [],
        "starts": str(tmp_path / "s"),
    }
    more = {"keep_low_ports": keep, "folder": "/", "command": command, "env": {}}
    (tmp_path / "spec").write_bytes(to_json({**spec, **more}))
    low = "+net_bind_service"
    owner = ["setpriv", f"--reuid={SERVICE_USER}", f"--regid={SERVICE_USER}", "--clear-groups"]
    start_it = [sys.executable, "-I", "-S", start.__file__, str(tmp_path / "spec")]
    done = subprocess.run(
        [*owner, f"--inh-caps={low}", f"--ambient-caps={low}", *start_it],
        capture_output=True,
        text=True,
        check=True,
    )
    bound, _, status = done.stdout.partition("\n")
    assert bound == ("bound" if keep else "refused")
    rights = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    held = f"{1 << 10 if keep else 0:016x}"
    assert {rights[name] for name in ("CapPrm", "CapEff", "CapAmb")} == {held}
    assert rights["NoNewPrivs"] == "1"


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.001)
    return found
