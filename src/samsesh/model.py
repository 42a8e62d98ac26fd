"""Frozen data that flows from services to engines: units, files, probes, routes, and what services offer each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samsesh.access import Access
from samsesh.facts import Facts
from samsesh.secrets import Secret, Secrets
from samsesh.settings import Settings

if TYPE_CHECKING:
    from samsesh.placement import Placement


@dataclass(frozen=True)
class Endpoint:
    """Where something listens: a unix socket, or an address and port (`socket` None)."""

    host: str = ""
    port: int = 0
    socket: Path | None = None
    protocol: str = "tcp"  # or "udp"

    def __str__(self) -> str:
        return f"unix:{self.socket}" if self.socket else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Probe:
    """How readiness is asked for.

    kind "http": GET `path` at `endpoint` answers 200; "postgres": the server behind the socket lets a client begin;
    "stun": a binding request over UDP is answered (RFC 8489).
    """

    kind: str
    endpoint: Endpoint
    path: str = "/"
    seconds: float = 60  # how long a start may take


@dataclass(frozen=True)
class File:
    """A file that the plan wants: its place, content and mode. A secret one is 0600 and never shown."""

    path: Path
    content: bytes
    mode: int = 0o600
    secret: bool = False
    live: bool = False  # read anew each time it is asked for: a change needs no restart


@dataclass(frozen=True)
class Step:
    """One program to run for `Prepare`; "{folder}" in its command is the folder being made. `stdin` may hold secrets."""

    command: tuple[str, ...]
    stdin: Secret | None = None


@dataclass(frozen=True)
class Prepare:
    """A folder to make before a unit's first start: all steps work on a new folder, which then takes its place."""

    what: str
    folder: Path
    steps: tuple[Step, ...]
    seconds: float = 120


@dataclass(frozen=True)
class Judge:
    """How a program judges its configuration before that replaces the one it runs with.

    `command` ends with 0 where the program takes `files`, and says why where it does not. A line `unread KEY` in what it
    prints is a key that the program never looks at. With `ports`, the program has no such command: it is started beside
    the running one until it answers, each group of its options with a free port.
    """

    command: tuple[str, ...]
    files: tuple[File, ...]  # what the program reads
    keys: Mapping[str, str] = field(
        default_factory=dict
    )  # what its words may name -> our setting; "": what else is to blame
    prints: str = ""  # what is in its words where it takes them
    ports: tuple[tuple[str, ...], ...] = ()
    bad_words: tuple[str, ...] = ()  # what it says of files that it does not take, and goes on
    seconds: float = 180


@dataclass(frozen=True)
class Unit:
    """One long-running program."""

    name: str
    title: str  # for people: "homeserver (Synapse)"
    command: tuple[str, ...]
    probe: Probe
    files: tuple[File, ...] = ()
    folders: tuple[Path, ...] = ()  # data folders, made 0700
    prepare: Prepare | None = None
    needs: tuple[str, ...] = ()  # names of units that must be ready first
    env: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[tuple[str, Endpoint], ...] = ()  # (name of the port setting, where it listens)
    stop_signal: str = "TERM"
    stop_seconds: int = 30
    version: str = ""
    address: str = ""  # where people reach it, or where it listens
    bad_words: str = ""  # what must not stand in its log behind a start
    shared: tuple[Path, ...] = ()  # data folders of other units that it works in, too
    reads: tuple[Path, ...] = ()  # data folders of other units that it only reads in
    sockets: tuple[Path, ...] = ()  # unix sockets that it makes or uses
    secrets: tuple[str, ...] = ()  # names of the secrets that it reads itself (Placement.secret)
    outward: bool = False  # it goes out into the internet by itself
    image: str = "samsesh"  # what its container is made from (engines/compose/images.py)
    spare: bool = False  # the chat goes on without it: its failure is told, and stops nothing
    judge: Judge | None = None


# libpq's parameters and their variables (PostgreSQL's manual, 32.15). The few without one only tune connections.
LIBPQ = {
    "application_name": "PGAPPNAME",
    "channel_binding": "PGCHANNELBINDING",
    "client_encoding": "PGCLIENTENCODING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "dbname": "PGDATABASE",
    "gssencmode": "PGGSSENCMODE",
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "load_balance_hosts": "PGLOADBALANCEHOSTS",
    "options": "PGOPTIONS",
    "port": "PGPORT",
    "require_auth": "PGREQUIREAUTH",
    "ssl_max_protocol_version": "PGSSLMAXPROTOCOLVERSION",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION",
    "sslcert": "PGSSLCERT",
    "sslcertmode": "PGSSLCERTMODE",
    "sslcompression": "PGSSLCOMPRESSION",
    "sslcrl": "PGSSLCRL",
    "sslkey": "PGSSLKEY",
    "sslmode": "PGSSLMODE",
    "sslnegotiation": "PGSSLNEGOTIATION",
    "sslrootcert": "PGSSLROOTCERT",
    "sslsni": "PGSSLSNI",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "user": "PGUSER",
}


@dataclass(frozen=True)
class Database:
    """A PostgreSQL for Synapse: libpq parameters without the password, and the file (libpq passfile) that holds it."""

    parameters: Mapping[str, str | int]
    passfile: File
    unit: str | None  # the unit to wait for; None: somebody else's server
    # parameter -> the copy of the file that `database.url` names for it, as programs are given it
    files: Mapping[str, File] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The same as variables, for PostgreSQL's programs."""
        return {LIBPQ[name]: str(value) for name, value in self.parameters.items() if name in LIBPQ}


@dataclass(frozen=True)
class Route:
    """An HTTP route of the gateway: requests on `listener` that match go to `upstream`, a folder or an answer."""

    listener: str  # name of a port setting: "web", "api", "admin", ...
    paths: tuple[str, ...] = ()  # Caddy path patterns; none: every path
    upstream: Endpoint | None = None
    before: tuple[Endpoint, str] | None = None  # asked first, at this path: what is not 2xx is the answer
    root: Path | None = None
    template: bool = False  # files below root are templates of Caddy's
    rewrite: Mapping[str, str] = field(default_factory=dict)  # path -> file below root
    languages: tuple[str, ...] = ()  # that file is in a folder of each; the first is for everybody else
    strip: str = ""  # what to leave out at the beginning of a path
    answer: tuple[int, str] | None = None  # status, body
    headers: Mapping[str, str] = field(default_factory=dict)
    order: int = 50  # lower ones are asked first


@dataclass(frozen=True)
class ErrorPages:
    """Pages for what went wrong, below `root`: LANGUAGE/STATUS.html, with 4xx and 5xx for every other status."""

    root: Path
    languages: tuple[str, ...]  # the first is for everybody else
    kinds: tuple[str, ...]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Turn:
    """A TURN server with the shared-secret scheme (draft-uberti-behave-turn-rest)."""

    host: str  # as clients reach it
    port: int  # UDP and TCP
    tls_port: int | None
    https_port: int | None  # TCP, beside https
    inner: Endpoint  # where units of this server reach it over TCP
    secret: Secret
    relays_media: bool  # whether LiveKit's own address may be reached through it
    certificate: Path | None = None  # where the agent puts it, with its key; None: there is no agent
    pidfile: Path | None = None

    @property
    def uris(self) -> tuple[str, ...]:
        """RFC 7065, as homeservers hand them out."""
        plain = [f"turn:{self.host}:{self.port}?transport={transport}" for transport in ("udp", "tcp")]
        return (*plain, *filter(None, (self.tls_uri, self.https_uri)))

    @property
    def tls_uri(self) -> str:
        """The one over TLS; "" where there is none."""
        return f"turns:{self.host}:{self.tls_port}?transport=tcp" if self.tls_port else ""

    @property
    def https_uri(self) -> str:
        """The one at the port of https; "" where there is none. The last resort: every other way is faster."""
        return f"turn:{self.host}:{self.https_port}?transport=tcp" if self.https_port else ""


@dataclass(frozen=True)
class Off:
    """A part of the platform that is wanted, or could be, and does not run: why, and what to do."""

    name: str  # "calls", "call-page", "turn" or "web-client"
    reason: str
    advice: str


@dataclass(frozen=True)
class Offer:
    """What one service has for the others. All empty by default."""

    database: Database | None = None
    turn: Turn | None = None
    rtc_service: str = ""  # URL of the authorization service for browsers; empty: no calls
    off: tuple[Off, ...] = ()
    routes: tuple[Route, ...] = ()
    well_known_client: Mapping[str, Any] = field(default_factory=dict)
    well_known_server: Mapping[str, Any] = field(default_factory=dict)
    admin_api: Endpoint | None = None  # Synapse's client and admin API on a socket that only we reach
    members: Endpoint | None = (
        None  # where Synapse says who is in a room, to who has the secret `members_key`
    )
    error_pages: ErrorPages | None = None
    files: tuple[File, ...] = ()  # what the gateway's routes serve
    addresses: Mapping[str, str] = field(default_factory=dict)  # name -> URL, for people


def merge(offers: list[Offer]) -> Offer:
    """All offers in one; of single things the first counts."""
    return Offer(
        database=next((offer.database for offer in offers if offer.database), None),
        turn=next((offer.turn for offer in offers if offer.turn), None),
        rtc_service=next((offer.rtc_service for offer in offers if offer.rtc_service), ""),
        off=tuple(off for offer in offers for off in offer.off),
        routes=tuple(route for offer in offers for route in offer.routes),
        well_known_client={key: value for offer in offers for key, value in offer.well_known_client.items()},
        well_known_server={key: value for offer in offers for key, value in offer.well_known_server.items()},
        admin_api=next((offer.admin_api for offer in offers if offer.admin_api), None),
        members=next((offer.members for offer in offers if offer.members), None),
        error_pages=next((offer.error_pages for offer in offers if offer.error_pages), None),
        files=tuple(file for offer in offers for file in offer.files),
        addresses={key: value for offer in offers for key, value in offer.addresses.items()},
    )


@dataclass(frozen=True)
class Context:
    """Everything a service may look at."""

    settings: Settings
    secrets: Secrets
    facts: Facts
    place: "Placement"

    @property
    def access(self) -> Access:
        return Access(self.settings, self.facts.addresses)

    @property
    def calls(self) -> bool:
        """Whether LiveKit runs: it is wanted, and there."""
        return self.settings.calls.provider == "element-call" and "livekit-server" in self.facts.programs

    @property
    def splits_https(self) -> bool:
        """Whether the splitter has the port of https, and hands https to the gateway and TURN to coturn."""
        turn, access = self.settings.turn, self.access
        own = access.mode in ("ip", "domain") and bool(access.certificates)
        return own and turn.enabled and turn.on_https and "turnserver" in self.facts.programs

    @property
    def logo(self) -> tuple[bytes | None, str]:
        """The operator's logo and its media type; None: our own."""
        return self.place.picture("brand.logo") or (None, "image/svg+xml")

    @property
    def background(self) -> tuple[bytes, str] | None:
        """The operator's picture behind the pages and its media type."""
        return self.place.picture("brand.background")

    def named_files(self, setting: str, *, live: bool = False) -> tuple[File, ...]:
        """Copies of what a setting names, for the programs that read them; what is nowhere is left out."""
        return tuple(
            File(self.place.operator_file(setting, file.path), file.content, secret=True, live=live)
            for file in self.place.files
            if file.setting == setting and file.content is not None
        )

    @property
    def web_client(self) -> bool:
        """Whether Element Web is wanted and there."""
        return self.settings.web.client == "element-web" and self.has("element-web")

    def has(self, bundle: str) -> bool:
        """Whether a web bundle is there: its folder, or a container that serves it."""
        return bool(self.place.bundle(bundle) or self.place.web(bundle))

    def off(self, name: str, program: str) -> Off:
        """Why a program that is wanted is not there."""
        reason, advice = self.facts.missing.get(
            program, (f"{program} is not there yet", "get it: samsesh up")
        )
        return Off(name, reason, advice)


@dataclass(frozen=True)
class Plan:
    """What an engine makes real: units in an order in which their needs come first."""

    units: tuple[Unit, ...]
    offer: Offer

    def unit(self, name: str) -> Unit:
        return next(unit for unit in self.units if unit.name == name)

    def only(self, *names: str) -> "Plan":
        """The same plan with some units alone, for backup and restore."""
        return replace(self, units=tuple(unit for unit in self.units if unit.name in names))
