"""Synapse's log, with names of strangers in it: a record is a line, and only what follows an error goes on below it."""

import logging
from types import TracebackType

from samsesh.text import one_line, printable


class Formatter(logging.Formatter):
    """Python's own, but that no text in a record can forge another one or steer the terminal that shows it.

    Lines of a traceback begin with a tab, as those of PostgreSQL do: no record begins so.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - Python's name
        return one_line(super().formatMessage(record))

    def formatException(  # noqa: N802 - Python's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - Python's name
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"\t{line}" for line in printable(text).split("\n"))
