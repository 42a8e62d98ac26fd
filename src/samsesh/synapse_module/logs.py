"""What must not stay in Synapse's log: whoever has an invitation has an account."""

import logging
import re

# In questions whether one is good (spec: Client-Server API, "Token-authenticated registration"), and in the admin API's
# addresses. Synapse itself leaves out access tokens only.
_INVITATION = re.compile(r"([?&]token=|/registration_tokens/(?!new\b))[^&\s\"'>]+")


class InvitationFilter(logging.Filter):
    """Leaves tokens out of every line, whichever part of Synapse writes it. In the log configuration: `"()"` names it."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if _INVITATION.search(text):
            record.msg, record.args = _INVITATION.sub(r"\1<redacted>", text), ()
        return True
