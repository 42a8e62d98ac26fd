"""Signs of an older installation in a folder: the document's own set-up before Samsesh, or another Synapse.

A new server under its name would be a stranger to everybody: other keys, and none of its accounts and rooms.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from samsesh import names
from samsesh.home import Home

FOLDERS = ("", "synapse", "data")  # where its data is, below the folder
FILES = ("homeserver.db", "homeserver.yaml")
KEY = ".signing.key"  # Synapse calls its key SERVER_NAME.signing.key
COMPOSE = ("docker-compose.yaml", "docker-compose.yml", "compose.yaml", "compose.yml")
IMAGE = re.compile(r"image:.*\b(matrixdotorg|element-hq)/synapse\b")
OURS = "net.samsesh."  # labels of the containers that we write
SERVER_NAME = re.compile(r"""^(?:server_name:|SYNAPSE_SERVER_NAME=)\s*["']?([^"'\s#]+)""", re.MULTILINE)
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
    said = [match[1] for sign in (*signs, ".env") for match in SERVER_NAME.finditer(_text(folder / sign))]
    said += [Path(sign).name.removesuffix(KEY) for sign in signs if sign.endswith(KEY)]
    for name in said:
        with suppress(ValueError):
            return names.server_name(name)
    return ""


def started(home: Home) -> bool:
    """Whether a server of ours was started in this home."""
    return '"server_name"' in _text(home.state_file)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _text(path: Path) -> str:
    """The beginning of a file of text; "" where there is none, or where it cannot be read.

    Root asks, too, in folders of others: a pipe that somebody put there holds nobody up.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.read(descriptor, LARGEST).decode(errors="replace") if regular else ""
    except OSError:
        return ""
    finally:
        os.close(descriptor)
