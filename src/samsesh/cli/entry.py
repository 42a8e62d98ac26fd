"""The entry point, and the one place where errors are caught and become exit codes."""

import io
import locale
import os
import signal
import sys
from itertools import takewhile
from types import FrameType
from typing import NoReturn

from samsesh.errors import FAILED, SamseshError, SettingsError

NO_COLOR = "--no-color"
INTERRUPTED = 130  # what a shell reports for Ctrl-C


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as an exception, so that what was begun is tidied up


def main() -> None:
    """Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 130 interrupted."""
    _in_utf8()
    interrupts = _take_signals()
    try:
        _run()
    except SamseshError as error:
        _fail(error)
    except KeyboardInterrupt:
        _interrupted()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except UnicodeError as error:
        _fail(SettingsError(f"something that was given is no UTF-8 text ({error})", "write it in UTF-8"))
    except OSError as error:  # what no command foresaw: a closed folder, a full disk
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _fail(SamseshError(what, "check that file or folder: its owner, its mode, the room on its disk"))
    except Exception:
        if not interrupts:  # else a library made an error of its own of Ctrl-C, as pydantic does
            raise
        _interrupted()


def _take_signals() -> list[int]:
    """Signals end the program as exceptions. Returns the list that each Ctrl-C is added to."""
    interrupts = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # nohup ignores one of them
            signal.signal(number, _end)
    return interrupts


def _fail(error: SamseshError) -> NoReturn:
    from samsesh.cli.output import print_error

    print_error(error)
    sys.exit(error.code)


def _interrupted() -> NoReturn:
    sys.stderr.write("\nsamsesh: interrupted\n")
    sys.exit(INTERRUPTED)


def _without_color() -> None:
    """`--no-color`, wherever it stands, is what NO_COLOR is (https://no-color.org)."""
    words = list(takewhile(lambda word: word != "--", sys.argv))
    if NO_COLOR in words:
        sys.argv.remove(NO_COLOR)
        os.environ["NO_COLOR"] = "1"


def _in_utf8() -> None:
    """Files, arguments and answers are UTF-8, whatever the locale says. The launcher starts Python so, others may not."""
    if not sys.flags.utf8_mode and locale.getencoding().lower() != "utf-8":
        words = [sys.executable, "-I", "-X", "utf8", "-m", "samsesh", *sys.argv[1:]]
        os.execv(sys.executable, words)  # noqa: S606 - there is no shell
    if isinstance(sys.stdin, io.TextIOWrapper):  # as in that mode: who asks says what is wrong with an answer
        sys.stdin.reconfigure(errors="surrogateescape")


def _run() -> None:
    _without_color()
    if sys.argv[1:] in (["rtc-auth"], ["rtc-auth", "--check"]):  # a service: without what all others need
        from samsesh.cli.rtc import rtc_auth

        rtc_auth(check="--check" in sys.argv)
    else:
        # Looking for plugins of pydantic reads what is installed, at every start; we use none.
        os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
        from samsesh.cli.main import run

        run(sys.argv[1:])
