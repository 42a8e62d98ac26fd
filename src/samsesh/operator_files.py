"""Files that the settings name: pictures, certificates, registrations of bridges.

They are read once for a plan. Programs read copies below `config/files` of the home, never the files themselves: a file
that has vanished, or is no longer readable, stops nothing, since its last good copy is still there.
"""

import ssl
import stat
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from samsesh import database_url
from samsesh.access import Access
from samsesh.environment import keys, names_file
from samsesh.errors import SettingsError
from samsesh.facts import AUTHORITIES as SYSTEM_AUTHORITIES
from samsesh.facts import system_authorities
from samsesh.home import Home, user_name
from samsesh.pairs import Pair
from samsesh.settings import Settings
from samsesh.write import write_file

MB = 1024 * 1024
LARGEST = 5 * MB
PICTURES = {  # most bytes, media types
    "brand.logo": (MB, ("image/png", "image/svg+xml")),
    "brand.background": (LARGEST, ("image/jpeg", "image/png", "image/webp", "image/svg+xml")),
}
AUTHORITIES = ("federation.ca", "tls.directory_ca")
DATABASE = "database.url"  # a list of files in it, to us
PAIRS = {"tls.certificate": "tls.certificate_key", "turn.certificate": "turn.certificate_key"}


@dataclass(frozen=True)
class NamedFile:
    """One file as it is in force. `path` is as the settings have it.

    `content`: the file's own, else that of its last good copy; None: neither is there. A certificate has its key behind
    it. `problem`: why the file itself does not count; None where it does.
    """

    setting: str
    path: str
    content: bytes | None
    problem: SettingsError | None = None

    def place(self, home: Home, path: str = "") -> Path:
        """Where to read it: the file itself, or the one at `path` that belongs to it, else its last good copy."""
        return home.copy_of(self.setting, self.path) if self.problem else home.named_file(path or self.path)

    @property
    def warning(self) -> str:
        """What is wrong and what is done about it, in a sentence; "" where all is well."""
        if self.problem is None:
            return ""
        stays = "there is no good copy of it" if self.content is None else "its last good copy stays in use"
        return f"{self.problem.message}; {stays}. To do: {self.problem.hint}"


@dataclass(frozen=True)
class OperatorFiles:
    """What every placement knows of these files."""

    home: Home
    settings: Settings

    @cached_property
    def files(self) -> tuple[NamedFile, ...]:
        return read(self.home, self.settings)

    def content(self, setting: str) -> bytes | None:
        """Of a setting that names one file."""
        file = of(self.files, setting)
        return file.content if file else None

    def picture(self, setting: str) -> tuple[bytes, str] | None:
        """Content and media type."""
        content = self.content(setting)
        return None if content is None else (content, media_type(content))

    def database_files(self) -> dict[str, NamedFile]:
        """Parameter of `database.url` -> the file that it names."""
        named = {file.path: file for file in self.files if file.setting == DATABASE}
        return {name: named[path] for name, path in _of_database(self.settings).items()}

    def authorities(self) -> tuple[bytes, bytes] | None:
        """Certificates (PEM) of `federation.ca`, and those that the system trusts."""
        content = self.content("federation.ca")
        if content is None:
            return None
        system = system_authorities()
        return content, system.read_bytes() if system else b""


def named(settings: Settings) -> list[tuple[str, str]]:
    """(setting, path) of every file that the settings name."""
    values = {key: _value(settings, key) for key in keys() if names_file(key)}
    values[DATABASE] = [path for path in in_url(settings).values() if path != database_url.SYSTEM]
    return [
        (key, path)
        for key, value in values.items()
        for path in (dict.fromkeys(value) if isinstance(value, list) else [value])
        if path
    ]


def in_url(settings: Settings) -> dict[str, str]:
    """Parameter of `database.url` -> the path that it names, or `database_url.SYSTEM`."""
    url = settings.database.url
    return database_url.files(url.get_secret_value()) if url else {}


def _of_database(settings: Settings) -> dict[str, str]:
    """The same with the path of the machine's authorities, which the OpenSSL of a wheel does not know."""
    system = str(system_authorities() or SYSTEM_AUTHORITIES[0])
    return {name: system if path == database_url.SYSTEM else path for name, path in in_url(settings).items()}


def in_use(settings: Settings) -> list[tuple[str, str]]:
    """Those that count with these settings; a certificate stands for its key, too."""
    access = Access(settings)
    counts = {
        "tls.certificate": access.certificates == "files",
        "tls.directory_ca": access.certificates == "acme",
        "federation.ca": access.mode != "local",
        "turn.certificate": settings.turn.enabled and bool(settings.turn.certificate_key),
        **dict.fromkeys(PAIRS.values(), False),
    }
    count = [(setting, path) for setting, path in named(settings) if counts.get(setting, True)]
    return list(dict.fromkeys((*count, *((DATABASE, path) for path in _of_database(settings).values()))))


def of(files: tuple[NamedFile, ...], setting: str) -> NamedFile | None:
    """The one that a setting names; None: it names none that counts."""
    return next((file for file in files if file.setting == setting), None)


def read(home: Home, settings: Settings) -> tuple[NamedFile, ...]:
    """Every file that counts, as it is now."""
    return tuple(_read(home, settings, setting, path) for setting, path in in_use(settings))


def _read(home: Home, settings: Settings, setting: str, path: str) -> NamedFile:
    try:
        return NamedFile(setting, path, _judged(home, settings, setting, path))
    except SettingsError as problem:
        return NamedFile(setting, path, last_copy(home, setting, path), problem)


def _judged(home: Home, settings: Settings, setting: str, path: str) -> bytes:
    content = own_content(home, setting, path)
    if setting in PICTURES:
        _check_picture(home, setting, path, content)
    if setting in AUTHORITIES or (setting == DATABASE and path == in_url(settings).get("sslrootcert")):
        _check_authorities(setting, path, content)
    if key := PAIRS.get(setting):
        key_path = str(_value(settings, key))
        own_content(home, key, key_path)
        pair = Pair(home.named_file(path), home.named_file(key_path))
        if problem := pair.problem():
            raise SettingsError(
                f"{setting} and {key} cannot be used: {problem}", "name a certificate and its own key (PEM)"
            )
        return pair.content()
    return content


def own_content(home: Home, setting: str, path: str) -> bytes:
    """What a named file holds; SettingsError, with the setting, if it cannot be read."""
    place = home.named_file(path)
    hint = f"put it there, correct the path, or remove it: samsesh config unset {setting}"
    if setting == DATABASE:
        hint = "put it there (the machine's: install ca-certificates), or correct the URL"
    try:
        found = place.stat()
        if stat.S_ISREG(found.st_mode) and found.st_size <= LARGEST:
            return place.read_bytes()
        problem = "is larger than 5 MB" if stat.S_ISREG(found.st_mode) else "is not a file"
    except (FileNotFoundError, NotADirectoryError):
        problem = "is not there"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        hint = f"let the user {user_name()}, as whom the server runs, read it (chown, chmod)"
    raise SettingsError(f"{setting} ({place}) {problem}", hint)


def last_copy(home: Home, setting: str, path: str) -> bytes | None:
    """The last content that was good, as programs got it."""
    try:
        return home.copy_of(setting, path).read_bytes()
    except OSError:
        return None


def keep(home: Home, files: tuple[NamedFile, ...]) -> None:
    """Keep a copy of each that is good; copies of what is no longer named go."""
    copies = {home.copy_of(file.setting, file.path): file for file in files}
    for copy, file in copies.items():
        if file.problem is None and file.content is not None:
            write_file(copy, file.content)
    with suppress(OSError):  # a folder that is closed to us has none of ours
        for left in home.copies_dir.iterdir():
            if left not in copies:
                left.unlink(missing_ok=True)


def check(files: tuple[NamedFile, ...]) -> None:
    """Raise what is wrong with a file that is needed, and of which there is no good copy either."""
    for file in files:
        if file.problem is not None and file.content is None:
            raise file.problem


def _value(settings: Settings, key: str) -> str | list[str]:
    section, name = key.split(".")
    value: str | list[str] = getattr(getattr(settings, section), name)
    return value


def _check_picture(home: Home, setting: str, path: str, content: bytes) -> None:
    place, (limit, kinds) = home.named_file(path), PICTURES[setting]
    if len(content) > limit:
        raise SettingsError(
            f"{setting} ({place}) is {len(content)} bytes; it may have {limit}", "make it smaller"
        )
    if media_type(content) not in kinds:
        known = ", ".join(kind.removeprefix("image/").removesuffix("+xml") for kind in kinds)
        raise SettingsError(f"{setting} ({place}) is none of {known}", "convert it to one of these")


def _check_authorities(setting: str, path: str, content: bytes) -> None:
    try:
        ssl.create_default_context().load_verify_locations(cadata=content.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError):
        raise SettingsError(
            f"{setting} ({path}) has no certificates", "it is a file with -----BEGIN CERTIFICATE-----"
        ) from None


def media_type(content: bytes) -> str:
    """Of a picture, by what it holds; "" where it is none that browsers show, or is cut off."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and b"IEND" in content[-16:]:
        return "image/png"
    if content.startswith(b"\xff\xd8\xff") and b"\xff\xd9" in content[-32:]:
        return "image/jpeg"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if b"<svg" in content[:2000] and content.rstrip().endswith(b">"):
        return "image/svg+xml"
    return ""
