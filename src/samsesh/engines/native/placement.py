"""Where the native engine puts things: everything below the home folder, sockets in its runtime folder."""

from dataclasses import dataclass
from pathlib import Path

from samsesh.errors import SamseshError
from samsesh.facts import Facts, own_address
from samsesh.model import Endpoint
from samsesh.operator_files import OperatorFiles

# What is no socket: LiveKit neither listens on one nor sends its webhooks there.
PORTS = {"livekit": "livekit_inner", "rtc-webhook": "rtc_auth_inner"}
SOCKETS = dict.fromkeys(("postgres", "postgres-admin"), ".s.PGSQL.5432")  # PostgreSQL names its own


@dataclass(frozen=True)
class NativePlacement(OperatorFiles):
    facts: Facts
    apart: bool = False
    judged: bool = False  # files are to be judged: they are apart from those that programs run with

    def config(self, unit: str) -> Path:
        return (self.home.judged_dir if self.judged else self.home.config_dir) / unit

    def data(self, unit: str) -> Path:
        return self.home.data_dir / unit

    def secret(self, name: str) -> Path:
        return self.home.secrets_dir / name

    def logs(self, unit: str) -> Path:
        return self.home.logs_dir / unit

    def operator_file(self, setting: str, path: str) -> Path:
        return self.config(self.home.copies_dir.name) / self.home.copy_of(setting, path).name

    def source(self, path: str) -> Path | None:
        return self.home.named_file(path)

    def listen(self, name: str) -> Endpoint:
        if name in PORTS:
            return Endpoint("127.0.0.1", self.settings.ports.of(PORTS[name]))
        return Endpoint(socket=self.home.runtime_dir() / SOCKETS.get(name, f"{name}.sock"))

    reach = listen

    def own(self, address: str) -> bool:
        return own_address(address)

    def open_at(self, addresses: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(filter(self.own, addresses)) or ("0.0.0.0",)  # noqa: S104 - behind NAT

    def public(self, addresses: tuple[str, ...], port: int) -> tuple[Endpoint, ...]:
        return tuple(Endpoint(address, port) for address in addresses)

    def trusted(self, networks: list[str]) -> list[str]:
        return networks

    def program(self, name: str) -> str:
        found = self.facts.programs.get(name)
        if not found:
            raise SamseshError(
                f"the program {name} is not installed", "repair the installation: remove it and start again"
            )
        return found

    def web(self, name: str) -> Endpoint | None:
        return None

    def bundle(self, name: str) -> Path | None:
        found = self.facts.bundles.get(name)
        return Path(found) if found else None

    def bundle_page(self, name: str, page: str = "index.html") -> str:
        try:
            return (Path(self.facts.bundles[name]) / page).read_text(errors="replace")
        except OSError:  # gone, or closed to us since
            return ""
