"""What of a backup chooses what runs here.

Whoever made an archive could put them into it; they are taken only where somebody said that they may be.
"""

import json
import shlex
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from samsesh import environment, load
from samsesh.home import Home
from samsesh.masking import SECRET_KEYS, masked
from samsesh.write import write_file

UNSET: tuple[Any, ...] = ("", {}, [])


@dataclass(frozen=True)
class Choice:
    """A setting by its dotted name, and its value."""

    name: str
    value: Any

    @property
    def shown(self) -> str:
        """The setting as samsesh.toml has it; passwords hidden."""
        return f"{self.name} = {_json(self._open)}"

    @property
    def again(self) -> str:
        """How to have it after all."""
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
    drop_variables(home, keys)


def drop_variables(home: Home, keys: Container[str]) -> None:
    """Take what sets these settings out of `.env`."""
    if variables := {variable for key, variable in _variables(home).sources.items() if key in keys}:
        text = home.env_file.read_text(encoding="utf-8-sig")
        write_file(home.env_file, environment.without(text, variables))


def _variables(home: Home) -> environment.Variables:
    return environment.read_variables(
        environment.read_env_file(home.env_file), str(home.env_file), strict=True
    )
