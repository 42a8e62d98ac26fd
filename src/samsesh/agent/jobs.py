"""What the agent does when a certificate is another: copy it whole, signal a program, have Caddy load its files."""

import http.client
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samsesh.errors import SamseshError
from samsesh.pairs import Pair, newest
from samsesh.run import run
from samsesh.text import one_line
from samsesh.write import write_file

CALM_SECONDS = 3  # a program so young may not yet take a signal; what it does not take ends it
RELOAD_SECONDS = 30
COTURN = b"turnserver"


@dataclass
class Job:
    """One certificate and who is to know of it. Its fields up to `admin` are the configuration's."""

    name: str  # for people: "coturn"
    host: str = ""
    storage: Path | None = None  # Caddy's, where the certificate of `host` is
    own: bool = False  # of the gateway's own authority
    certificate: Path | None = None  # else the operator's files
    key: Path | None = None
    copy: Path | None = None  # where certificate and key are put, in one file, so that they never differ
    pidfile: Path | None = None  # of the coturn that reads them on SIGUSR2
    admin: Path | None = None  # socket of the Caddy that loads them with its configuration
    changed: float = 0.0  # when what a program reads became another, Unix time
    handed_on: float = 0.0
    until: float = 0.0
    problem: str = ""
    _looked: bool = False
    _seen: Any = None  # at the last look
    _done: Any = None  # what was acted on, or found useless
    _signalled: tuple[float, int] = field(default=(0.0, 0))

    def pair(self) -> Pair | None:
        if self.storage is not None:
            return newest(self.storage, self.host, own=self.own)
        assert self.certificate is not None
        assert self.key is not None
        return Pair(self.certificate, self.key)

    def look(self) -> None:
        """Act where the files are others, and no longer being written: unchanged since the last look."""
        pair = self.pair()
        try:
            seen = (pair, pair.signature()) if pair else None
        except OSError as error:
            seen = None
            self.complain(f"{error.filename}: {error.strerror}")
        if pair and seen and seen != self._done and (seen == self._seen or not self._looked):
            self._take(pair, seen)
        self._seen, self._looked = seen, True
        if self.copy and not self.copy.exists():
            self._stand_in(self.copy)
        if self.pidfile and self.changed:
            self._signal(self.pidfile)

    def state(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "host": self.host,
            "handed_on": self.handed_on,
            "until": self.until,
            "problem": self.problem,
        }

    def _take(self, pair: Pair, seen: Any) -> None:
        if problem := pair.problem():
            self._done = seen
            self.complain(f"{problem}; the old certificate stays")
            return
        now, copied = time.time(), False
        if self.copy:
            copied = write_file(self.copy, pair.content())
            self.changed = now if copied else self.copy.stat().st_mtime
        elif self._looked:
            self.changed = now
        else:  # the program has read them by itself, unless they are newer than it
            self.changed = max(path.stat().st_mtime for path in (pair.certificate, pair.key))
        if self.admin and (self._looked or copied):
            try:
                refused = _load_anew(self.admin)
            except (OSError, http.client.HTTPException) as error:
                self.complain(f"{self.name} does not answer: {error}")
                return  # asked again at the next look
            if refused:
                self._done = seen
                self.complain(f"{self.name} does not take {pair.certificate}: {refused}")
                return
        self._done, self.problem = seen, ""
        self.handed_on, self.until = now, pair.until()
        say(f"the certificate of {self.host} for {self.name} counts until {_utc(self.until)}")

    def _stand_in(self, path: Path) -> None:
        """A certificate for the moment, signed by nobody, so that the program starts at once."""
        run([sys.executable, "-I", "-m", "samsesh.agent.stand_in", path, self.host], what="a certificate")
        self.changed = time.time()
        say(f"there is no certificate of {self.host} yet: {self.name} starts with one that nobody signed")

    def _signal(self, pidfile: Path) -> None:
        """SIGUSR2 to the coturn that is older than what it should have read, once."""
        try:
            pid, started = int(pidfile.read_bytes()), pidfile.stat().st_mtime
            if COTURN not in Path(f"/proc/{pid}/cmdline").read_bytes():
                return
        except (OSError, ValueError):
            return  # it does not run, and reads them when it starts
        if self._signalled == (self.changed, pid) or started > self.changed:
            return
        if time.time() - started < CALM_SECONDS:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR2)
            self._signalled = (self.changed, pid)
            say(f"{self.name} (process {pid}) was told to read its certificate again")

    def complain(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            say(problem, "ERROR")


def _load_anew(admin: Path) -> str:
    """Give Caddy its own configuration once more, so that it loads its certificates anew; why it refuses, or nothing.

    Where it refuses it goes on as it was.
    """
    link = _Unix(admin)
    try:
        link.request("GET", "/config/")
        config = link.getresponse().read()
        headers = {"Content-Type": "application/json", "Cache-Control": "must-revalidate"}
        link.request("POST", "/load", config, headers)
        answer = link.getresponse()
        said = answer.read(2000).decode(errors="replace").strip()
    finally:
        link.close()
    return "" if answer.status == http.client.OK else said or answer.reason


class _Unix(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=RELOAD_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(RELOAD_SECONDS)
        self.sock.connect(str(self._path))


def say(text: str, level: str = "INFO") -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    sys.stderr.write(f"{stamp}\t{level}\t{one_line(text)}\n")


def _utc(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment)) if moment else "an unknown time"


def look(jobs: list[Job]) -> None:
    """One look at each; what goes wrong with one is said, and keeps no other waiting."""
    for job in jobs:
        try:
            job.look()
        except (OSError, SamseshError) as error:
            job.complain(f"{job.name}: {error}")
