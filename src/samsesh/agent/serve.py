"""The agent's life: look at its jobs every few seconds, and answer on its socket until it is ended.

Configuration (JSON): {"socket": PATH, "jobs": [{fields of jobs.Job}...], "daily": [{fields of daily.Daily}...]},
`daily` if there is anything.
Answers: GET /ready 200 once each job was looked at; GET /state what became of them, for the doctor.
"""

import json
import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from samsesh.agent.daily import Daily
from samsesh.agent.jobs import Job, look, say
from samsesh.errors import SettingsError

SECONDS = 2.0  # between looks
ANSWER_SECONDS = 1.0  # for whoever asks
PATHS = ("storage", "certificate", "key", "copy", "pidfile", "admin", "stamp")


@dataclass(frozen=True)
class Config:
    """Where to answer, and what to do."""

    socket: Path
    jobs: list[Job]
    daily: list[Daily]


def read(path: Path) -> Config:
    """Raises SettingsError."""
    try:
        data = json.loads(path.read_bytes())
        jobs = [Job(**{name: _value(name, value) for name, value in job.items()}) for job in data["jobs"]]
        daily = [
            Daily(**{name: _value(name, value) for name, value in row.items()})
            for row in data.get("daily", [])
        ]
        return Config(Path(data["socket"]), jobs, daily)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{path} does not tell the agent what to do: {error}", "`samsesh up` writes it anew"
        ) from None


def serve(path: Path) -> None:
    """Until SIGTERM."""
    config = read(path)
    look(config.jobs)
    config.socket.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(config.socket))
        listening.listen()
        say("ready")
        due = time.monotonic() + SECONDS
        while True:
            if select.select([listening], [], [], max(0.0, due - time.monotonic()))[0]:
                with suppress(OSError):
                    answer(listening, config.jobs)
            if time.monotonic() >= due:
                look(config.jobs)
                for task in config.daily:
                    task.look()
                due = time.monotonic() + SECONDS


def answer(listening: socket.socket, jobs: list[Job]) -> None:
    """One question over HTTP."""
    link, _ = listening.accept()
    with link:
        link.settimeout(ANSWER_SECONDS)
        asked = link.recv(2000).split(b" ")
        path = asked[1] if len(asked) > 1 else b""
        found = {b"/ready": "ready", b"/state": json.dumps([job.state() for job in jobs])}.get(path)
        status, body = ("200 OK", found) if found is not None else ("404 Not Found", "")
        head = f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        link.sendall((head + body).encode())


def _value(name: str, value: Any) -> Any:
    return Path(value) if name in PATHS else value
