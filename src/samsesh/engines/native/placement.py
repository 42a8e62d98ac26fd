"""Where the native engine puts things: everything below the home folder, sockets in its runtime folder."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from samsesh.errors import SamseshError, SettingsError
from samsesh.facts import Facts, own_address, system_authorities
from samsesh.home import Home
from samsesh.model import Endpoint
from samsesh.settings import Settings

PORTS = {"livekit": "livekit_inner", "rtc-auth": "rtc_auth_inner"}  # what cannot listen on a socket
SOCKETS = {"postgres": ".s.PGSQL.5432"}  # PostgreSQL names its own
MB = 1024 * 1024


@dataclass(frozen=True)
class NativePlacement:
    home: Home
    settings: Settings
    facts: Facts

    def config(self, unit: str) -> Path:
        return self.home.config_dir / unit

    def data(self, unit: str) -> Path:
        return self.home.data_dir / unit

    def secret(self, name: str) -> Path:
        return self.home.secrets_dir / name

    def logs(self, unit: str) -> Path:
        return self.home.logs_dir / unit

    def operator_file(self, path: str) -> Path:
        found = self.home.path / Path(path).expanduser()
        if not found.is_file():
            raise SettingsError(
                f"the settings name the file {found}, which is not there", "correct the path, or remove it"
            )
        return found

    def logo(self, path: str) -> tuple[bytes, str]:
        return picture("brand.logo", self.operator_file(path), MB, ("image/png", "image/svg+xml"))

    def background(self, path: str) -> tuple[bytes, str]:
        kinds = ("image/jpeg", "image/png", "image/webp", "image/svg+xml")
        return picture("brand.background", self.operator_file(path), 5 * MB, kinds)

    def authorities(self, path: str) -> tuple[bytes, bytes]:
        """Certificates (PEM) in a file of the operator's, and those that the system trusts."""
        content = self.operator_file(path).read_bytes()
        try:
            ssl.create_default_context().load_verify_locations(cadata=content.decode("ascii"))
        except (ssl.SSLError, ValueError):
            raise SettingsError(
                f"federation.ca ({path}) has no certificates", "it is a file with -----BEGIN CERTIFICATE-----"
            ) from None
        return content, system_authorities()

    def listen(self, name: str) -> Endpoint:
        if name in PORTS:
            return Endpoint("127.0.0.1", self.settings.ports.of(PORTS[name]))
        return Endpoint(socket=self.home.runtime_dir() / SOCKETS.get(name, f"{name}.sock"))

    reach = listen

    def own(self, address: str) -> bool:
        return own_address(address)

    def public(self, addresses: tuple[str, ...], port: int) -> tuple[Endpoint, ...]:
        return tuple(Endpoint(address, port) for address in addresses)

    def program(self, name: str) -> str:
        found = self.facts.programs.get(name)
        if not found:
            raise SamseshError(
                f"the program {name} is not installed", "repair the installation: remove it and start again"
            )
        return found

    def bundle(self, name: str) -> Path | None:
        found = self.facts.bundles.get(name)
        return Path(found) if found else None

    def bundle_page(self, name: str, page: str = "index.html") -> str:
        path = Path(self.facts.bundles[name]) / page
        return path.read_text(errors="replace") if path.is_file() else ""


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
