"""Files that the settings name, in backups and back: whatever place they were in, they come back below `files/`."""

import io
import json
import shutil
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePath
from typing import Any

from samsesh import database_url, operator_files
from samsesh.environment import keys, names_file
from samsesh.errors import SettingsError
from samsesh.home import Home
from samsesh.load import plain, save
from samsesh.operator_files import DATABASE, PAIRS
from samsesh.ops import archive, foreign
from samsesh.ops.server import Server
from samsesh.settings import Settings
from samsesh.write import make_dir

Say = Callable[[str], None]
FOLDER = "files"
PROGRAMS = ("livekit", "turnserver", "element_call", "element_web")  # of [artifacts], by their paths
CERTIFICATES = {key: certificate for certificate, key in PAIRS.items()}


def pack(server: Server, writer: archive.Writer, left_out: list[str], say: Say) -> dict[str, str]:
    """Add every file that the settings name: path as they have it -> its name below `files/` in the archive.

    What is nowhere is appended to `left_out`, a sentence each.
    """
    for key, path in _not_carried(server.settings):
        say(f"{key} names {path}, which backups do not have: keep it yourself")
    names: dict[str, str] = {}
    copies = dict[str, None]()  # said once, also for a certificate and its key
    for path, content, problem in _contents(server):
        if content is None:
            left_out.append(problem)
            continue
        if problem:
            copies[f"{problem}; its last good copy goes into the backup"] = None
        if path not in names:
            names[path] = _free_name(PurePath(path).name, names.values())
            writer.add(f"{FOLDER}/{names[path]}", io.BytesIO(content), len(content))
    for line in copies:
        say(line)
    return names


def _contents(server: Server) -> Iterator[tuple[str, bytes | None, str]]:
    """(path, content, what is wrong) of every named file. The last copy of a certificate has its key in it, and is good
    for both.
    """
    for setting, path in operator_files.named(server.settings):
        certificate = CERTIFICATES.get(setting, setting)
        in_use = (file for file in server.files if file.setting == certificate)
        file = next((one for one in in_use if one.path == path or certificate in PAIRS), None)
        if file and file.problem and file.content is not None:
            yield path, file.content, file.problem.message
            continue
        try:
            yield path, operator_files.own_content(server.home, setting, path), ""
        except SettingsError as error:
            yield path, None, error.message


def _not_carried(settings: Settings) -> Iterator[tuple[str, str]]:
    """(setting, path) of programs, and of what Synapse is told to read by `extra.synapse`."""
    for name in PROGRAMS:
        if path := getattr(settings.artifacts, name):
            yield f"artifacts.{name}", path
    for text in _texts(settings.extra.synapse):
        with suppress(OSError, ValueError):  # a text that is no path
            if text.startswith("/") and Path(text).exists():
                yield "extra.synapse", text


def _texts(value: Any) -> Iterator[str]:
    """Every text in plain data, at any depth."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def _free_name(name: str, taken: Any) -> str:
    stem, suffix = PurePath(name).stem, PurePath(name).suffix
    numbered = (f"{stem}-{number}{suffix}" for number in range(2, 10_000))
    return name if name not in taken else next(other for other in numbered if other not in taken)


def bring_back(
    home: Home,
    settings: Settings,
    carried: Mapping[str, str] | None,
    folder: Path,
    say: Say,
    given: Container[str] = (),
) -> None:
    """Put what a backup has of the named files below `files/` of the home, and name it there.

    `folder`: where the archive's are, which goes; `carried`: as `pack` gave it, None in backups of before it did;
    `given`: settings that are not the backup's, whose files may be here.
    """
    changes: dict[str, Any] = {}
    for key in filter(names_file, keys()):
        section, name = key.split(".")
        value = getattr(getattr(settings, section), name)
        old = value if isinstance(value, list) else [value]
        new = [_back(home, carried, folder, path) or path for path in old]
        changes |= {key: new if isinstance(value, list) else new[0]} if new != old else {}
        for before, after in zip(old, new, strict=True):
            if before and before == after and not _there(home, after):
                say(f"{key} names {before}, which is not in this backup")
            elif before != after:
                say(f"{key} is {json.dumps(after)} from now on, in the home; it was {json.dumps(before)}")
    paths = dict.fromkeys(path for key, path in operator_files.named(settings) if key == DATABASE)
    if DATABASE in given:
        paths = {path: None for path in paths if not home.named_file(path).is_file()}
    changes |= _database_back(home, settings, paths, carried, folder, say)
    if changes:
        save(home, {key: plain(value) for key, value in changes.items()})
        foreign.drop_variables(home, changes)
    shutil.rmtree(folder, ignore_errors=True)


def _database_back(
    home: Home,
    settings: Settings,
    paths: Iterable[str],
    carried: Mapping[str, str] | None,
    folder: Path,
    say: Say,
) -> dict[str, str]:
    """`database.url` with those of its files that came back; nothing of it but their paths is printed."""
    moved: dict[str, str] = {}
    for path in paths:
        new = _back(home, carried, folder, path) or path
        if new != path:
            moved[path] = new
            say(f"{DATABASE} names {json.dumps(new)} from now on, in the home; it was {json.dumps(path)}")
        elif not _there(home, path):
            say(f"{DATABASE} names {path}, which is not in this backup")
    url = settings.database.url
    return {DATABASE: database_url.with_files(url.get_secret_value(), moved)} if url and moved else {}


def _there(home: Home, path: str) -> bool:
    """Whether a file of that path was brought back before, or needs no bringing."""
    return home.named_file(path).is_relative_to(home.path / FOLDER) and home.named_file(path).is_file()


def _back(home: Home, carried: Mapping[str, str] | None, folder: Path, path: str) -> str:
    """Where the file that a setting names is now, below the home; "" where the backup has none."""
    for name in _names(carried, path):
        source, target = folder / name, home.path / FOLDER / name
        inside = not PurePath(name).is_absolute() and ".." not in PurePath(name).parts
        if not inside or not (source.is_file() or target.is_file()):
            continue
        if source.is_file():
            make_dir(target.parent)
            source.rename(target)
        return f"{FOLDER}/{name}"
    return ""


def _names(carried: Mapping[str, str] | None, path: str) -> list[str]:
    """What it may be called in the archive. Older ones had files of their home alone, by their path in it, and nobody
    knows where that home was.
    """
    if carried is not None:
        return [carried[path]] if path in carried else []
    parts = [part for part in PurePath(path).parts if part != "/"]
    return ["/".join(parts[number:]) for number in range(len(parts))]
