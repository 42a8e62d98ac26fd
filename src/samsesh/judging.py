"""Judging a configuration by its program before it replaces the one in force: what engines share. See model.Judge."""

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from samsesh.errors import SamseshError
from samsesh.model import Judge, Unit
from samsesh.run import Done, end_process, run, spawn

POLL_SECONDS = 0.05
OF_PROGRAMS = range(
    125
)  # exit codes; those behind are Docker's own, and of what could not be started (docker-run(1))


@dataclass(frozen=True)
class Judged:
    """Whether a program takes a configuration, and what it said."""

    taken: bool
    said: str


def by_its_loader(unit: Unit, judge: Judge, argv: Sequence[str], env: Mapping[str, str]) -> Judged:
    """By the program's own command for that, which ends by itself."""
    done = run(argv, env=env, timeout=judge.seconds, ok=OF_PROGRAMS, what=_what(unit), cwd=Path("/"))
    words = said(done)
    return Judged(done.code == 0 and judge.prints in words, words)


def by_its_log(
    unit: Unit,
    judge: Judge,
    argv: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    answers: Callable[[], bool],
) -> Judged:
    """By starting a program, which ends with this, and reading what it writes until it answers."""
    process = spawn(argv, log=log, env=env)
    end = time.monotonic() + judge.seconds
    try:
        while not (ready := answers()) and process.poll() is None:
            if time.monotonic() > end:
                raise SamseshError(f"{_what(unit)} did not end within {judge.seconds:.0f} s")
            time.sleep(POLL_SECONDS)
    finally:
        end_process(process)
    lines = log.read_text(errors="replace").splitlines()
    bad = [line for line in lines if any(word in line for word in judge.bad_words)]
    return Judged(ready and not bad, "\n".join(bad or lines))


def said(done: Done) -> str:
    """What a loader said: its verdict where it prints one, else its log."""
    return done.out.decode(errors="replace").strip() or done.err


def scratch_ports(judge: Judge) -> tuple[list[str], int]:
    """Options with ports that nobody uses, over TCP nor UDP, and the first of these."""
    options, first = [], 0
    for group in judge.ports:
        number = _unused_port()
        first = first or number
        options += [f"{option}={number}" for option in group]
    return options, first


def _unused_port() -> int:
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind(("", 0))
            number: int = tcp.getsockname()[1]
            try:
                udp.bind(("", number))
            except OSError:
                continue
            return number


def _what(unit: Unit) -> str:
    return f"looking whether the {unit.title} takes its new configuration"
