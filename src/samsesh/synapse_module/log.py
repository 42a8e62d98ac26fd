"""Synapse's log, with what strangers write in it: a record is a line, and no invitation stays there."""

import logging
import re
from types import TracebackType

from samsesh.text import one_line, printable

# In questions whether one is good (spec: Client-Server API, "Token-authenticated registration"), and in the admin API's
# addresses: whoever has an invitation has an account. Synapse itself leaves out access tokens only.
_INVITATION = re.compile(r"([?&]token=|/registration_tokens/(?!new\b))[^&\s\"'>]+")


class Formatter(logging.Formatter):
    """Python's own, but that no text in a record can forge another one or steer the terminal that shows it.

    Lines of a traceback begin with a tab, as those of PostgreSQL do: no record begins so.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - Python's name
        return one_line(_without_invitations(super().formatMessage(record)))

    def formatException(  # noqa: N802 - Python's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        return _indented(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - Python's name
        return _indented(super().formatStack(stack_info))


def _indented(text: str) -> str:
    return "\n".join(f"\t{line}" for line in printable(_without_invitations(text)).split("\n"))


def _without_invitations(text: str) -> str:
    return _INVITATION.sub(r"\1<redacted>", text)
