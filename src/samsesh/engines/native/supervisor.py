"""Talking to this home's supervisord, and finding what is left where it died."""

import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ProtocolError, ServerProxy

from samsesh.engines.native import files, start
from samsesh.errors import SamseshError
from samsesh.home import CATCH_UP, Home

GRACE_SECONDS = 130  # PostgreSQL's time to stop, and some


@dataclass(frozen=True)
class Program:
    """What supervisord knows of a unit."""

    name: str
    state: str  # its words: RUNNING, STOPPED, BACKOFF, ...
    pid: int
    since: int  # Unix time of the last start or stop
    described: str


class Supervisor:
    """One home's supervisord over its socket (XML-RPC, supervisor's manual: XML-RPC API)."""

    def __init__(self, home: Home) -> None:
        self.home = home

    def running(self) -> bool:
        path = files.socket_path(self.home)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(2)
            try:
                probe.connect(str(path))
            except OSError:
                return False
        return True

    def programs(self) -> dict[str, Program]:
        if not self.running():
            return {}
        found = [
            Program(info["name"], info["statename"], info["pid"], info["start"], info["description"])
            for info in self.call("getAllProcessInfo")
        ]
        return {program.name: program for program in found}

    def call(self, method: str, *args: Any) -> Any:
        try:
            return self._call(method, *args)
        except Fault as fault:
            raise _refused(method, fault) from None

    def _call(self, method: str, *args: Any) -> Any:
        from supervisor.xmlrpc import SupervisorTransport

        transport = SupervisorTransport(None, None, f"unix://{files.socket_path(self.home)}")
        proxy = ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return getattr(proxy.supervisor, method)(*args)
        except (OSError, ProtocolError) as error:
            raise SamseshError(
                f"the process manager does not answer: {error}", "run `samsesh down`, then `up`"
            ) from None
        finally:
            transport.close()

    def try_call(self, method: str, *args: Any) -> None:
        """A call whose refusal means that there was nothing to do (not running, already there)."""
        try:
            self._call(method, *args)
        except Fault as fault:
            harmless = ("NOT_RUNNING", "ALREADY_STARTED", "ALREADY_ADDED", "BAD_NAME", "SPAWN_ERROR")
            if not fault.faultString.startswith(harmless):
                raise _refused(method, fault) from None

    def update(self, restart: set[str], order: list[str]) -> None:
        """Make supervisord follow its configuration file, and start again the units named."""
        added, changed, removed = self.call("reloadConfig")[0]
        for name in [*removed, *changed]:
            self.try_call("stopProcessGroup", name)
            self.try_call("removeProcessGroup", name)
        again = [name for name in order if name in restart and name not in added + changed]
        for name in reversed(again):
            self.try_call("stopProcess", name)
        for name in [name for name in order if name in added + changed]:
            self.try_call("addProcessGroup", name)
        for name in again:
            self.try_call("startProcess", name, False)
        for name, program in self.programs().items():
            if program.state in ("STOPPED", "FATAL", "EXITED") and name in order:
                self.try_call("startProcess", name, False)

    def shut_down(self) -> None:
        """Stop every unit in its order, then supervisord itself; wait until it is gone."""
        seconds, what = GRACE_SECONDS + 120, "the process manager to stop"
        try:
            pid = self._call("getPID")
            with suppress(SamseshError):
                wait_until(lambda: not starting(pid), 10, "services to be ready to be stopped")
            self._call("shutdown")
        except Fault:  # somebody else stops it already
            wait_until(lambda: not self.running(), seconds, what)
        else:
            wait_until(lambda: not alive(pid), seconds, what)


def _refused(method: str, fault: Fault) -> SamseshError:
    if fault.faultString.startswith("SHUTDOWN_STATE"):
        return SamseshError("the server is just being stopped", "wait a moment, then try again")
    return SamseshError(f"the process manager refused {method}: {fault.faultString}", "see `samsesh logs`")


def starting(pid: int) -> bool:
    """Whether a unit is between supervisord's fork and start.py's first line: a signal to stop can get lost there."""
    try:
        ours = Path(f"/proc/{pid}/cmdline").read_bytes()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return False
    return any(_is_starting(Path("/proc", child), ours) for child in children)


def _is_starting(child: Path, ours: bytes) -> bool:
    try:
        command, name = (child / "cmdline").read_bytes(), (child / "comm").read_text(errors="replace").strip()
    except OSError:
        return False
    if not command:  # in the middle of exec, unless it has ended
        return alive(int(child.name))
    return command == ours or (os.fsencode(start.__file__) in command.split(b"\0") and name != start.NAME)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise SamseshError(f"waited {seconds:.0f} s in vain for {what}", "see `samsesh logs`")
        time.sleep(0.05)


def left_over(home: Home, unit: str = "") -> list[int]:
    """Processes of this home's units and its supervisord, whoever their parent is now; or those of one unit."""
    mark = "=".join(home.mark(unit)).encode()
    conf, data = os.fsencode(files.conf_path(home)), home.data_dir / "postgres"
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if entry.stat().st_uid != os.geteuid():
                continue
            command = (entry / "cmdline").read_bytes().split(b"\0")
            ours = mark in (entry / "environ").read_bytes()
            if not unit:
                ours = ours or (b"samsesh.engines.native.supervise" in command and conf in command)
                # PostgreSQL writes its title over its environment; it works in its data folder.
                ours = ours or ((entry / "cwd").readlink().is_relative_to(data) and b"postgres" in command[0])
        except OSError:
            continue
        if ours and alive(int(entry.name)):
            found.append(int(entry.name))
    return found


def end_left_over(home: Home, say: Callable[[str], None]) -> None:
    """After a supervisord that was killed: wait for what is ending by itself, end the rest by its pid."""
    for pid in left_over(home, CATCH_UP):  # nobody waits for it
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    if not left_over(home):
        return
    say("ending what an earlier run left behind")
    for number, seconds in ((0, 5), (signal.SIGINT, 20), (signal.SIGTERM, 30), (signal.SIGKILL, 10)):
        for pid in left_over(home) if number else []:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        try:
            wait_until(lambda: not left_over(home), seconds, "processes to end")
        except SamseshError:
            continue
        return
    raise SamseshError(f"these processes do not end: {left_over(home)}", "end them by hand, then try again")
