"""One JSON line an event on standard error. Tokens, secrets and whole URLs never get here; long texts are cut."""

import json
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

LONGEST = 255  # a server name may have 230 characters


class Log:
    """Writes events of at least `level` (logging's numbers)."""

    def __init__(self, level: int) -> None:
        self.level = level

    def debug(self, event: str, **fields: Any) -> None:
        self.write(logging.DEBUG, event, **fields)

    def info(self, event: str, **fields: Any) -> None:
        self.write(logging.INFO, event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        self.write(logging.WARNING, event, **fields)

    def error(self, event: str, **fields: Any) -> None:
        self.write(logging.ERROR, event, **fields)

    def write(self, level: int, event: str, **fields: Any) -> None:
        if level < self.level:
            return
        when = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": when, "level": logging.getLevelName(level).lower(), "event": event}
        line.update({name: _short(value) for name, value in fields.items()})
        with suppress(OSError):  # who read it may be gone: nobody's request, and no end, fails for that
            sys.stderr.write(json.dumps(line) + "\n")  # ASCII: no stranger's control characters


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST:
        return value[:LONGEST] + "..."
    return value


def failure(error: BaseException) -> str:
    """What failed and where in our code, without the message, which may quote a URL with a token in it."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f" at {trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}" if trace else ""
    return type(error).__name__ + where


class Libraries(logging.Handler):
    """What libraries log, as events: their words, and of an exception only its kind and place."""

    def __init__(self, log: Log) -> None:
        super().__init__(log.level)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        ours = record.name.startswith("samsesh.")  # the arguments of others may quote anything
        fields = {"logger": record.name, "words": record.getMessage() if ours else str(record.msg)}
        if record.exc_info and record.exc_info[1]:
            fields["failure"] = failure(record.exc_info[1])
        self._log.write(record.levelno, "library", **fields)
