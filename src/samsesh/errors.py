"""The one error class of the program, and the exit codes that programs rely on.

Everything a person can cause or fix is raised as SamseshError and printed once, in cli/entry.py, without a traceback.
"""

DONE = 0
FAILED = 1
USAGE = 2  # wrong usage or wrong settings


class SamseshError(Exception):
    """What is wrong, in one sentence, and what to do, in another.

    `code` is the exit code: FAILED (1) for the world, USAGE (2) for arguments and settings.
    `detail` is shown below both, as it is: the last lines of a log, usually.
    """

    def __init__(self, message: str, hint: str = "", *, code: int = FAILED, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.detail = detail


class SettingsError(SamseshError):
    """A wrong setting or argument: exit code 2."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint, code=USAGE)
