"""Files that the settings name, read once for a plan; where they are for the programs, an engine says."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from samsesh import database_url
from samsesh.errors import SettingsError
from samsesh.facts import system_authorities
from samsesh.home import Home
from samsesh.settings import Settings

MB = 1024 * 1024


@dataclass(frozen=True)
class OperatorFiles:
    """What every placement reads of the operator's files."""

    home: Home

    def logo(self, path: str) -> tuple[bytes, str]:
        return picture("brand.logo", self.home.operator_file(path), MB, ("image/png", "image/svg+xml"))

    def background(self, path: str) -> tuple[bytes, str]:
        kinds = ("image/jpeg", "image/png", "image/webp", "image/svg+xml")
        return picture("brand.background", self.home.operator_file(path), 5 * MB, kinds)

    def authorities(self, path: str) -> tuple[bytes, bytes]:
        """Certificates (PEM) in a file of the operator's, and those that the system trusts."""
        content = self.home.operator_file(path).read_bytes()
        try:
            ssl.create_default_context().load_verify_locations(cadata=content.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise SettingsError(
                f"federation.ca ({path}) has no certificates", "it is a file with -----BEGIN CERTIFICATE-----"
            ) from None
        return content, system_authorities()


def named_files(settings: Settings) -> list[str]:
    """Paths of files that programs read themselves, as the settings have them."""
    tls, turn = settings.tls, settings.turn
    one = (tls.certificate, tls.certificate_key, tls.directory_ca, settings.federation.ca)
    more = (turn.certificate, turn.certificate_key, *settings.synapse.appservices, *_of_database(settings))
    return [path for path in (*one, *more) if path]


def _of_database(settings: Settings) -> list[str]:
    """Those that `database.url` names, but not the machine's own."""
    url = settings.database.url
    paths = database_url.files(url.get_secret_value()).values() if url else ()
    return [path for path in paths if path != database_url.SYSTEM]


def picture(setting: str, path: Path, limit: int, kinds: tuple[str, ...]) -> tuple[bytes, str]:
    """Content and media type of a picture that the settings name; raises SettingsError where it is no such one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{setting} ({path}) cannot be read: {error.strerror}", "check its owner and mode"
        ) from None
    if len(content) > limit:
        raise SettingsError(
            f"{setting} ({path}) is {len(content)} bytes; it may have {limit}", "make it smaller"
        )
    kind = media_type(content)
    if kind not in kinds:
        told = ", ".join(kind.removeprefix("image/").removesuffix("+xml") for kind in kinds)
        raise SettingsError(f"{setting} ({path}) is none of {told}", "convert it to one of these")
    return content, kind


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
