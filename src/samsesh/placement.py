"""What services ask of an engine while they are planned."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from samsesh.model import Endpoint
from samsesh.operator_files import NamedFile


class Placement(Protocol):
    """What an engine decides: where files are, where units listen, how they reach each other.

    Names of private endpoints: "postgres", "synapse", "caddy", "livekit", "rtc-webhook"; "agent", "splitter",
    "gateway-https", "synapse-members", "synapse-admin", "postgres-admin" and "rtc-auth" are sockets, the last three of
    which this program reaches, too.
    `open_at`: at which addresses of the machine a unit is open where media goes to these; `public`: how it listens so
    that addresses of the machine reach it.
    """

    @property
    def apart(
        self,
    ) -> bool: ...  # whether units have addresses of their own, not the machine's; coturn never has
    def config(self, unit: str) -> Path: ...  # folder of the unit's rendered files
    def data(self, unit: str) -> Path: ...  # folder of what the unit keeps
    def secret(self, name: str) -> Path: ...  # the file of one secret
    def logs(self, unit: str) -> Path: ...  # folder of log files that the unit writes itself
    @property
    def files(self) -> tuple[NamedFile, ...]: ...  # those that the settings name
    def content(self, setting: str) -> bytes | None: ...  # of the one that it names; None: it is nowhere
    def picture(self, setting: str) -> tuple[bytes, str] | None: ...  # content and media type
    def operator_file(self, setting: str, path: str) -> Path: ...  # the copy of a named file, for programs
    # parameter of `database.url` -> the file that it names
    def database_files(self) -> Mapping[str, NamedFile]: ...
    def source(self, path: str) -> Path | None: ...  # the file itself; None: programs see copies alone
    def listen(self, name: str) -> Endpoint: ...  # where a unit listens for others of this server
    def reach(self, name: str) -> Endpoint: ...  # where these others find it
    def authorities(self) -> tuple[bytes, bytes] | None: ...  # of `federation.ca` (PEM), and the system's
    def own(self, address: str) -> bool: ...  # whether this machine has that address
    def open_at(self, addresses: tuple[str, ...]) -> tuple[str, ...]: ...
    def public(self, addresses: tuple[str, ...], port: int) -> tuple[Endpoint, ...]: ...
    def trusted(self, networks: list[str]) -> list[str]: ...  # what a proxy before us is seen as coming from
    def program(self, name: str) -> str: ...  # path of a program
    def web(self, name: str) -> Endpoint | None: ...  # the container that serves a web bundle
    def bundle(self, name: str) -> Path | None: ...  # folder of a web bundle, where it is there
    def bundle_page(
        self, name: str, page: str = "index.html"
    ) -> str: ...  # one of its pages; "" where it has none
