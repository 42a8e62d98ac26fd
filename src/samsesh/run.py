"""The only place that starts processes: argument lists, never shell strings; a bounded time; a small environment."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from samsesh.errors import SamseshError

# What a program may know of the shell that started us; no variable of the user's reaches a service otherwise.
PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "SSL_CERT_FILE",
)


Process = subprocess.Popen[bytes]  # what `spawn` gives


@dataclass(frozen=True)
class Done:
    """What a program answered."""

    code: int
    out: bytes
    err: str


@contextmanager
def undisturbed() -> Iterator[None]:
    """For tidying up: a second Ctrl-C counts when it is done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment that programs of ours get."""
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**kept, **(extra or {})}


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes | BinaryIO = b"",
    stdout: BinaryIO | None = None,
    timeout: float = 60,
    ok: Sequence[int] = (0,),
    what: str = "",
) -> Done:
    """Run a program to its end. Raises SamseshError with its last words where it fails, hangs or is not there.

    `what` says what it was for ("making the database"); `stdout`, if given, takes its output instead of `Done.out`.
    """
    args = [str(part) for part in argv]
    purpose = what or Path(args[0]).name
    given: Any = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    try:
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            args,
            env=environment(env),
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=timeout,
            check=False,
            **given,
        )
    except FileNotFoundError:
        raise SamseshError(
            f"{purpose} failed: {args[0]} is not there", "install it, or repair the installation"
        ) from None
    except PermissionError:
        raise SamseshError(f"{purpose} failed: this user may not run {args[0]}") from None
    except subprocess.TimeoutExpired:
        raise SamseshError(f"{purpose} did not end within {timeout:.0f} s") from None
    errors = done.stderr.decode(errors="replace").strip()
    if done.returncode not in ok:
        raise SamseshError(f"{purpose} failed (exit code {done.returncode})", detail=last_lines(errors))
    return Done(done.returncode, done.stdout or b"", errors)


def last_lines(text: str, count: int = 12) -> str:
    """The end of a log, for people."""
    return "\n".join(text.splitlines()[-count:])


def spawn(argv: Sequence[str | Path], *, log: Path) -> Process:
    """Start a program that runs beside us, its output appended to `log`; the caller waits for it."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [str(part) for part in argv], env=environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
