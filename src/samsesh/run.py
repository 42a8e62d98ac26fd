"""The only place that starts processes: argument lists, never shell strings; a bounded time; a small environment."""

import os
import select
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

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


# What a service gets of it: the same, whoever starts it from wherever, so that nothing is restarted over it.
FOR_SERVICES = ("HOME", "USER", "LOGNAME", "SSL_CERT_FILE")
SILENCE = 2.0  # seconds without a line, after which `follow` looks elsewhere
SERVICE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


Process = subprocess.Popen[bytes]  # what `spawn` gives


_roots: dict[str, str] = {}  # root's own variables; empty: this process was not root, or kept nothing of it

_session: dict[str, bool] = {}  # for Popen


def leave_terminal() -> None:
    """From now on what is started has no part in our terminal, which is root's: a program that the services' user chose
    could type commands there (TIOCSTI, ioctl_tty(2)), for root's shell to run.
    """
    _session["start_new_session"] = True


def keep_root(environ: Mapping[str, str]) -> None:
    """From now on `docker` runs as root, with these variables, though this process is another user.

    Who may use Docker's socket is as good as root. As the service's user, `docker` would heed that user's files, and
    other processes of that user could take it over. This process needs the rights to start and to end it.
    """
    _roots.update(environ)


def keeps_root() -> bool:
    """Whether `docker`, and what is asked for `as_root`, runs as root."""
    return bool(_roots)


def _start(
    argv: Sequence[str | Path], env: Mapping[str, str] | None = None, *, as_root: bool = False
) -> dict[str, Any]:
    """For Popen: as whom a program runs, and with which variables."""
    if not _roots or not (as_root or str(argv[0]) == "docker"):
        return {**_session, "env": environment(env)}
    roots = {"env": environment({**_roots, **(env or {})}), "cwd": "/"}
    return {**_session, **roots, "user": 0, "group": 0, "extra_groups": []}


def stay_root(work: Callable[[str], None]) -> Callable[[str], None]:
    """As root, before we become somebody else: a child that stays root for one thing, and ends with us.

    Gives how to have it done, once: with a text for `work`, whose SamseshError is raised here.
    """
    given, giving = os.pipe()
    answered, answering = os.pipe()
    if (child := os.fork()) == 0:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # the terminal's are for all of us
            signal.signal(number, signal.SIG_IGN)
        os.close(giving)
        try:
            with os.fdopen(given) as text, os.fdopen(answering, "w") as answer:
                try:
                    if asked := text.readline().rstrip("\n"):  # nothing: we have ended
                        work(asked)
                except SamseshError as error:
                    answer.write(error.message)
                except Exception as error:  # noqa: BLE001 - whatever it is, the child must not go on as we do
                    answer.write(type(error).__name__)
        finally:
            os._exit(0)
    os.close(given)
    os.close(answering)

    def done(text: str) -> None:
        with os.fdopen(answered) as answer, os.fdopen(giving, "w") as question:
            question.write(f"{text}\n")
            question.flush()
            problem = answer.read()
        os.waitpid(child, 0)
        if problem:
            raise SamseshError(problem)

    return done


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


def service_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of long-running programs: it does not follow the caller's shell."""
    kept = {name: os.environ[name] for name in FOR_SERVICES if name in os.environ}
    return {"PATH": SERVICE_PATH, "LANG": "C.UTF-8", **kept, **extra}


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes | BinaryIO = b"",
    stdout: BinaryIO | None = None,
    timeout: float = 60,
    ok: Sequence[int] = (0,),
    what: str = "",
    cwd: Path | None = None,
    as_root: bool = False,
) -> Done:
    """Run a program to its end. Raises SamseshError with its last words where it fails, hangs or is not there.

    `what` says what it was for ("making the database"); `stdout`, if given, takes its output instead of `Done.out`.
    `as_root` counts where root's rights were kept (`keep_root`), and is for programs that root alone can change.
    """
    args = [str(part) for part in argv]
    purpose = what or Path(args[0]).name
    content = stdin if isinstance(stdin, bytes) else None
    try:
        process: Process = subprocess.Popen(
            args,
            **{"cwd": cwd, **_start(args, env, as_root=as_root)},
            stdin=subprocess.PIPE if isinstance(stdin, bytes) else stdin,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        with process:
            try:
                out, err = process.communicate(content, timeout)
            except BaseException:
                _kill(process)
                raise
    except FileNotFoundError:
        raise SamseshError(
            f"{purpose} failed: {args[0]} is not there", "install it, or repair the installation"
        ) from None
    except PermissionError:
        raise SamseshError(f"{purpose} failed: this user may not run {args[0]}") from None
    except OSError as error:  # made for another processor, or no program at all
        raise SamseshError(f"{purpose} failed: {args[0]} does not start: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise SamseshError(f"{purpose} did not end within {timeout:.0f} s") from None
    errors = err.decode(errors="replace").strip()
    if process.returncode not in ok:
        raise SamseshError(f"{purpose} failed (exit code {process.returncode})", detail=last_lines(errors))
    return Done(process.returncode, out or b"", errors)


def _kill(process: Process) -> None:
    """Of a session of its own all: a terminal's Ctrl-C reaches none of it."""
    with undisturbed():
        if process.poll() is None:
            if _session:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()


def follow(
    argv: Sequence[str | Path],
    *,
    what: str,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
    heard: Callable[[str], None] = lambda line: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Run a program that takes long, giving each line it writes to `heard`. Whatever it started ends when we do.

    `meanwhile` is called every few seconds in which it says nothing, and may raise to end it.
    """
    try:
        with tempfile.TemporaryFile() as given:  # without a name; a pipe would have to be fed meanwhile
            given.write(stdin)
            given.seek(0)
            process = subprocess.Popen(
                [str(part) for part in argv],
                **{"cwd": cwd, **_start(argv, env), "start_new_session": True},
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
    except OSError as error:
        raise SamseshError(f"{what} failed: {argv[0]} does not start: {error.strerror}") from None
    end = time.monotonic() + timeout
    last: deque[str] = deque(maxlen=12)
    try:
        for line in _lines(process, end, meanwhile):
            last.append(line)
            heard(line)
        code = process.wait(max(1.0, end - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired):
        raise SamseshError(
            f"{what} did not end within {timeout:.0f} s", "try again on a machine with less to do"
        ) from None
    finally:
        with undisturbed():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
    if code:
        raise SamseshError(f"{what} failed (exit code {code})", detail="\n".join(last))


def _lines(process: Process, end: float, meanwhile: Callable[[], None]) -> Iterator[str]:
    """What a process writes, line by line, until it closes its output; TimeoutError at `end`."""
    assert process.stdout is not None
    out = process.stdout.fileno()
    rest = b""
    while True:
        left = end - time.monotonic()
        if not select.select([out], [], [], max(0.0, min(left, SILENCE)))[0]:
            if left <= SILENCE:
                raise TimeoutError
            meanwhile()
            continue
        data = os.read(out, 65_536)
        *whole, rest = (rest + data).split(b"\n")
        yield from (line.decode(errors="replace").rstrip() for line in whole)
        if not data:
            if rest:
                yield rest.decode(errors="replace").rstrip()
            return


def last_lines(text: str, count: int = 12) -> str:
    """The end of a log, for people."""
    return "\n".join(text.rstrip("\n").split("\n")[-count:])


def spawn(argv: Sequence[str | Path], *, log: Path) -> Process:
    """Start a program that runs beside us, its output appended to `log`; the caller waits for it."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [str(part) for part in argv],
            **_start(argv),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )


@contextmanager
def piped(
    argv: Sequence[str | Path], *, what: str, env: Mapping[str, str] | None = None
) -> Iterator[IO[bytes]]:
    """What a program writes, to be read as it comes; it ends when we do. Raises where it fails though all was read."""
    try:
        process = subprocess.Popen(
            [str(part) for part in argv],
            **{**_start(argv, env), "start_new_session": True},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise SamseshError(f"{what} failed: {argv[0]} does not start: {error.strerror}") from None
    assert process.stdout is not None
    try:
        yield process.stdout
        while process.stdout.read(65_536):
            pass
        code = process.wait(60)
    except subprocess.TimeoutExpired:
        raise SamseshError(f"{what} did not end") from None
    finally:
        with undisturbed():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
    if code:
        raise SamseshError(f"{what} failed (exit code {code})")
