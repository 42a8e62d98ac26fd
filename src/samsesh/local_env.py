"""The `.env` of the current folder, the document's project root: heeded where nobody but us can have written it."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from samsesh import owners
from samsesh.environment import DOCUMENT, SECRET_VARIABLES, keys, read_env_file, runs_code, variable_of
from samsesh.errors import SettingsError
from samsesh.masking import SECRET_KEYS

# Relative: that is the folder that we are in, whatever somebody puts in its place meanwhile.
FILE = Path(".env")


@dataclass(frozen=True)
class LocalEnv:
    """Its variables that count, and `remarks`: what was done or left, a sentence each."""

    path: Path | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """That it is used, and what it sets; no secret."""
        shown = [name if _secret(name) else f"{name}={text}" for name, text in self.variables.items()]
        return f"{self.path} is used: {', '.join(shown)}"


def read(environ: Mapping[str, str], home: Path) -> LocalEnv:
    """What a `.env` in the current folder adds to the variables. The home's own is read with its settings."""
    try:
        path = Path.cwd() / ".env"
        info = FILE.stat()
        if path.parent == home.absolute() or not stat.S_ISREG(info.st_mode):
            return LocalEnv()
        if others := _changed_by(info):
            hint = "make both yours alone (chown, chmod go-w), or take no notice"
            return LocalEnv(remarks=(f"{path} is not heeded: {others} could have written it; {hint}",))
        found = read_env_file(FILE)
    except (FileNotFoundError, NotADirectoryError):
        return LocalEnv()
    except (OSError, SettingsError) as error:  # closed to us, or in somebody else's syntax
        why = error.message if isinstance(error, SettingsError) else f"{path}: {error.strerror}"
        return LocalEnv(remarks=(f"{path} is not heeded ({why}); correct it if it is for this server",))
    known = {**DOCUMENT, **{variable_of(key): key for key in keys()}}
    ours = {name: text for name, text in found.items() if name in known or name in SECRET_VARIABLES}
    programs = [name for name in ours if runs_code(known.get(name, ""))]
    remarks = [
        f"{path}: {name} says what is run, and is not taken from there; to set it: samsesh config set {known[name]} VALUE"
        for name in programs
    ]
    counts = {name: text for name, text in ours.items() if name not in (*programs, *environ)}
    if ours and info.st_mode & 0o077 and os.geteuid() in (0, info.st_uid):  # it may hold secrets
        FILE.chmod(0o600)
        remarks.append(
            f"{path} was open to others (mode {stat.S_IMODE(info.st_mode):o}); it is closed to them now"
        )
    return LocalEnv(path, counts, tuple(remarks))


def _changed_by(info: os.stat_result) -> str:
    """Who else can write the file or its folder, and where it is a link, what is on its way."""
    if others := owners.changed_by(Path(), Path().stat()):
        return others
    return owners.way_changed_by(FILE.absolute()) if FILE.is_symlink() else owners.changed_by(FILE, info)


def _secret(variable: str) -> bool:
    return variable in SECRET_VARIABLES or variable in map(variable_of, SECRET_KEYS)
