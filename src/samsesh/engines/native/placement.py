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
LOGO_BYTES = 1024 * 1024


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
        """Content and media type of the operator's logo."""
        content = self.operator_file(path).read_bytes()
        if len(content) > LOGO_BYTES:
            raise SettingsError(
                f"brand.logo is {len(content)} bytes; it may have {LOGO_BYTES}", "make it smaller"
            )
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            return content, "image/png"
        if b"<svg" in content[:2000]:
            return content, "image/svg+xml"
        raise SettingsError(f"brand.logo ({path}) is neither png nor svg", "convert it to one of these")

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

    def bundle_page(self, name: str) -> str:
        return (Path(self.facts.bundles[name]) / "index.html").read_text()
