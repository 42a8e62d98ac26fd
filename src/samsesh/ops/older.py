"""Signs of an older installation in a folder: the document's own set-up before Samsesh, or another Synapse.

A new server under its name would be a stranger to everybody: other keys, and none of its accounts and rooms.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from samsesh import names
from samsesh.environment import read_env_file
from samsesh.errors import SettingsError

FOLDERS = ("", "synapse", "data")  # where its data is, below the folder
FILES = ("homeserver.db", "homeserver.yaml")
KEY = ".signing.key"  # Synapse calls its key SERVER_NAME.signing.key
COMPOSE = ("docker-compose.yaml", "docker-compose.yml", "compose.yaml", "compose.yml")
IMAGE = re.compile(r"image:.*\b(matrixdotorg|element-hq)/synapse\b")
OURS = "net.samsesh."  # labels of the containers that we write
SERVER_NAME = re.compile(r"""^server_name:\s*["']?([^"'\s#]+)""", re.MULTILINE)
LARGEST = 1024 * 1024


@dataclass(frozen=True)
class Older:
    """What was seen: files, relative to the folder. `name`: the server's; "" where nothing says it."""

    folder: Path
    signs: tuple[str, ...]
    name: str = ""


def look(folder: Path) -> Older | None:
    """The older installation in this folder, if there is one; what is closed to us says nothing."""
    signs = tuple(_signs(folder))
    return Older(folder, signs, _server_name(folder, signs)) if signs else None


def _signs(folder: Path) -> Iterator[str]:
    if _is_file(folder / ".setup-config"):
        yield ".setup-config"
    for name in COMPOSE:
        text = _text(folder / name)
        if IMAGE.search(text) and OURS not in text:
            yield name
    for below in FOLDERS:
        data = Path(below)
        yield from (str(data / name) for name in FILES if _is_file(folder / data / name))
        with suppress(OSError):
            keys = sorted(path.name for path in (folder / data).iterdir() if path.name.endswith(KEY))
            yield from (str(data / key) for key in keys)


def _server_name(folder: Path, signs: tuple[str, ...]) -> str:
    """By its configuration, its variables or its key, in this order."""
    told = [match[1] for sign in signs for match in SERVER_NAME.finditer(_text(folder / sign))]
    with suppress(OSError, SettingsError):
        told.append(read_env_file(folder / ".env").get("SYNAPSE_SERVER_NAME", ""))
    told += [Path(sign).name.removesuffix(KEY) for sign in signs if sign.endswith(KEY)]
    for name in told:
        with suppress(ValueError):
            return names.server_name(name)
    return ""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _text(path: Path) -> str:
    """The beginning of a file of text; "" where there is none, or where it cannot be read."""
    try:
        if not path.is_file():
            return ""
        with path.open("rb") as opened:
            return opened.read(LARGEST).decode(errors="replace")
    except OSError:
        return ""
