"""What of a backup chooses what runs here: settings of that kind, and files where programs look for their own.

Whoever made an archive could put them into it; they are taken only where somebody said that they may be.
"""

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

from samsesh import environment, load
from samsesh.home import Home
from samsesh.masking import SECRET_KEYS, masked
from samsesh.write import write_file

# Files of ours: among the operator's they would be settings that nobody looked at.
NEVER = (".env", "audit.log", "lock", "samsesh.toml", "state.json")
UNSET: tuple[Any, ...] = ("", {}, [])
# Folders of a home that are ours; nobody's certificate or picture has to be there.
OURS = frozenset({"backups", "cache", "config", "data", "logs", "run", "secrets"})


@dataclass(frozen=True)
class Choice:
    """A setting by its dotted name and its value, or a file by its path below the home and no value."""

    name: str
    value: Any = None

    @property
    def shown(self) -> str:
        """The setting as samsesh.toml has it, or the file's path; passwords hidden."""
        return f"{self.name} = {_json(self._open)}" if self.value is not None else f"the file {self.name}"

    @property
    def again(self) -> str:
        """How to have it after all."""
        if self.value is None:
            return f"put {self.name} into the home"
        text = self._open if isinstance(self._open, str) else _json(self._open)
        return shlex.join(["samsesh", "config", "set", self.name, text])

    @property
    def _open(self) -> Any:
        return _without_password(self.value) if self.name in SECRET_KEYS else masked(self.name, self.value)


def _json(value: Any) -> str:
    return json.dumps(value, default=str)  # TOML has dates, which no setting of ours takes


def _without_password(url: Any) -> str:
    try:
        parts = urlsplit(str(url))
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "***"
    return f"{parts.scheme}://{parts.username}:***@{parts.hostname}{port}{parts.path}"


def settings(home: Home) -> list[Choice]:
    """Those of samsesh.toml and `.env` that choose what runs."""
    choices = {
        key: Choice(key, value)
        for values in (load.file_values(home), _variables(home).settings)  # the latter count
        for key, value in values.items()
        if environment.runs_code(key) and value not in UNSET
    }
    return list(choices.values())


def leave_out(home: Home, choices: Iterable[Choice]) -> None:
    """Take settings out of samsesh.toml and `.env`."""
    keys = {choice.name for choice in choices}
    there = load.file_values(home)
    if named := [key for key in there if key in keys]:
        load.save(home, {}, remove=named)
    if variables := {variable for key, variable in _variables(home).sources.items() if key in keys}:
        text = home.env_file.read_text(encoding="utf-8-sig")
        write_file(home.env_file, environment.without(text, variables))


def _variables(home: Home) -> environment.Variables:
    return environment.read_variables(
        environment.read_env_file(home.env_file), str(home.env_file), strict=True
    )


def files(folder: Path) -> list[Choice]:
    """Those of an archive's files for the home that programs would heed: hidden ones, and what is in our folders."""
    paths = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return [Choice(str(path)) for path in paths if _heeded(path)]


def _heeded(path: PurePath) -> bool:
    return path.parts[0] in OURS or any(part.startswith(".") for part in path.parts)
