"""The settings: one model, every field documented once, unknown keys refused.

Validation, the `config` commands, the wizard, the sample file and the reference page all read this file.
Where a value is "auto", the plan decides and `describe` in the field's text says how.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from samsesh import names
from samsesh.fields import (
    BindAddress,
    DatabaseUrl,
    Duration,
    HostAddress,
    HostName,
    MediaAddresses,
    Network,
    Person,
    Port,
    PortRange,
    PositiveRate,
    RoomAlias,
    ServerName,
    Size,
    SynapseKeys,
    Timezone,
    Url,
)


class Section(BaseModel):
    """Base of every section: immutable, unknown keys refused, no silent conversion of types."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Server(Section):
    """What the server is called and how people reach it."""

    name: ServerName = "localhost"
    """The Matrix server name, the part behind the colon of every user ID. Permanent once the server has started."""
    access: Literal["local", "lan", "ip", "domain"] = "local"
    """Who can reach the server. `local`: this machine, without TLS, as a trial. `lan`: the network it is in, with a
    certificate of its own. `ip`: the internet, by its address. `domain`: the internet, under a domain."""
    address: HostAddress | Literal[""] = ""
    """Address (or name, with `lan`) by which people reach the server with `lan` and `ip`; the public one behind NAT with
    `domain`. Empty: found."""
    trial: bool = False
    """Take a server name with which the server can never talk to others, such as one that no DNS knows."""
    timezone: Timezone = "UTC"
    """Time zone of what people see, such as `Europe/Berlin`. Logs are always in UTC."""
    report_stats: bool = False
    """Send anonymous usage statistics of the server to matrix.org."""
    uid: Annotated[int, Field(ge=1)] = 991
    """User ID of the services in containers."""
    gid: Annotated[int, Field(ge=1)] = 991
    """Group ID of the services in containers."""


def _port(description: str, protocol: str, service: str, *, public: bool = True) -> Any:
    return Field(
        description=description,
        json_schema_extra={"protocol": protocol, "service": service, "public": public},
    )


class Hosts(Section):
    """Names of the services under a domain (`server.access = "domain"`); each needs an A or AAAA record."""

    single: HostName | Literal[""] = ""
    """One host for all: web client, API and calls share it by path. Empty: a host for each."""
    web: HostName | Literal[""] = ""
    """Host of the web client. Empty: `chat.` and the server name."""
    api: HostName | Literal[""] = ""
    """Host of the Matrix API. Empty: `matrix.` and the server name."""
    call: HostName | Literal[""] = ""
    """Host of Element Call. Empty: `call.` and the server name; with a single host, that one at `ports.call`."""
    rtc: HostName | Literal[""] = ""
    """Host of the authorization service and LiveKit's signalling. Empty: `rtc.` and the server name."""
    admin: HostName | Literal[""] = ""
    """Host at which the admin panel is published. Empty: it is not, and answers on this machine only."""
    delegation: Literal["here", "elsewhere"] = "here"
    """Who answers /.well-known/matrix/ at the server name itself. `here`: this server, so its name leads here, too.
    `elsewhere`: your own web server; `samsesh proxy-config well-known` prints what it has to serve."""


class Tls(Section):
    """https: where certificates come from."""

    mode: Literal["auto", "acme", "internal", "files", "proxy"] = "auto"
    """`acme`: from Let's Encrypt or another authority. `internal`: of this server's own authority. `files`: your own.
    `proxy`: a web server of yours in front of this one has them. `auto`: `acme` with `ip` and `domain`, `internal`
    with `lan`."""
    email: str = ""
    """Your address for the certificate authority."""
    directory: Url | Literal[""] = ""
    """Address of the ACME directory. Empty: Let's Encrypt."""
    directory_ca: str = ""
    """Path of a certificate (PEM) with which a directory of your own is checked."""
    staging: bool = False
    """Try with Let's Encrypt's staging server, whose certificates nobody trusts, and whose limits are generous."""
    certificate: str = ""
    """With `files`: path of the certificate chain (PEM); relative to the home folder. Read again when it changes."""
    certificate_key: str = ""
    """With `files`: path of its private key (PEM)."""
    hsts: bool = True
    """With `domain`: tell browsers to come by https only, for a year."""


class Proxy(Section):
    """A web server of yours in front of this one (`tls.mode = "proxy"`)."""

    bind: BindAddress = "127.0.0.1"
    """Address of this machine at which it is listened to."""
    trusted: list[Network] = ["127.0.0.1/32", "::1/128"]
    """Addresses and networks of proxies whose X-Forwarded-For counts. Nobody else's does."""


class Ports(Section):
    """Where each service listens. The one table of ports: documentation, checks and firewall lines come from it."""

    offset: Annotated[int, Field(ge=0, le=50_000)] = 0
    """Added to every port that is left at its default, so that several servers run side by side."""
    web: Annotated[Port, _port("Web client, welcome and sign-up pages.", "http", "gateway")] = 8080
    api: Annotated[
        Port, _port("Matrix client API: the homeserver's address for apps.", "http", "gateway")
    ] = 8008
    federation: Annotated[Port, _port("Matrix federation, in public modes.", "https", "gateway")] = 8448
    admin: Annotated[Port, _port("Admin panel; loopback only.", "http", "gateway", public=False)] = 8081
    call: Annotated[Port, _port("Element Call.", "http", "gateway")] = 8082
    rtc_auth: Annotated[Port, _port("MatrixRTC authorization service.", "http", "gateway")] = 8083
    livekit: Annotated[Port, _port("LiveKit signalling.", "ws", "gateway")] = 7880
    livekit_tcp: Annotated[Port, _port("LiveKit media over TCP.", "tcp", "livekit")] = 7881
    livekit_udp: Annotated[Port, _port("LiveKit media over UDP.", "udp", "livekit")] = 7882
    turn: Annotated[Port, _port("TURN and STUN.", "udp, tcp", "coturn")] = 3478
    turns: Annotated[Port, _port("TURN over TLS.", "tls", "coturn")] = 5349
    turn_relay: Annotated[PortRange, _port("Range of TURN relay ports.", "udp", "coturn")] = "49160-49200"
    livekit_inner: Annotated[
        Port, _port("LiveKit behind the gateway; loopback only.", "http", "livekit", public=False)
    ] = 12787
    rtc_auth_inner: Annotated[
        Port,
        _port("Authorization service behind the gateway; loopback only.", "http", "rtc-auth", public=False),
    ] = 12788
    http: Annotated[Port, _port("Plain http, in public modes.", "http", "gateway")] = 80
    https: Annotated[Port, _port("https, in public modes.", "https", "gateway")] = 443

    def of(self, name: str) -> int:
        """The port in force: the default moved by the offset, or what the operator set."""
        value: int = getattr(self, name)
        return value if name in self.model_fields_set else value + self.offset

    def relay(self) -> tuple[int, int]:
        """First and last TURN relay port in force; a moved default wraps so that it stays below 65536."""
        low, high = names.port_range(self.turn_relay)
        if "turn_relay" in self.model_fields_set:
            return low, high
        shift = self.offset % (65_535 - high + 1)
        return low + shift, high + shift

    @classmethod
    def numbers(cls) -> list[str]:
        """Names of the fields that hold one port."""
        return [name for name in cls.model_fields if name not in ("offset", "turn_relay")]

    @model_validator(mode="after")
    def _distinct(self) -> "Ports":
        seen: dict[int, str] = {}
        low, high = self.relay()
        for name in ("web", "api", "admin", "call", "rtc_auth", "livekit"):
            if self.of(name) in names.BLOCKED_PORTS:
                raise ValueError(f"{name} is {self.of(name)}, which browsers refuse; give it another port")
        for name in self.numbers():
            port = self.of(name)
            if port > 65_535:
                raise ValueError(f"{name} would be {port} with the offset; the highest port is 65535")
            if port in seen:
                raise ValueError(f"{seen[port]} and {name} are both {port}; give one of them another port")
            if low <= port <= high:
                raise ValueError(f"{name} is {port}, within turn_relay {low}-{high}; give it another port")
            seen[port] = name
        return self


class FooterLink(Section):
    """A link at the foot of the web pages."""

    text: Annotated[str, Field(min_length=1, max_length=60)]
    """What people read."""
    url: Url
    """Where it leads."""


def _default_links() -> list[FooterLink]:
    return [
        FooterLink(text="SamSesh", url="https://samsesh.net"),
        FooterLink(text="Blog", url="https://blog.samsesh.net"),
        FooterLink(text="Donate", url="https://donate.samsesh.net"),
    ]


class Brand(Section):
    """What people see."""

    name: Annotated[str, Field(min_length=1, max_length=60)] = "SamSesh Chat"
    """Name of the service on its pages."""
    theme: Literal["dark", "light"] = "dark"
    """Theme that a page opens with; people can switch."""
    themes: list[Literal["dark", "light"]] = ["light", "dark"]
    """Themes that people can choose from."""
    logo: str = ""
    """Path of a logo (svg or png, at most 1 MB) in place of ours; relative to the home folder."""
    footer_links: list[FooterLink] = Field(default_factory=_default_links)
    """Links at the foot of the pages."""


class Registration(Section):
    """Who may make an account."""

    mode: Literal["closed", "token", "open"] = "token"
    """`closed`: administrators make accounts. `token`: with an invitation. `open`: anybody who reaches the server."""
    password_min_length: Annotated[int, Field(ge=8, le=128)] = 8
    """Shortest password that is taken."""
    auto_join_rooms: list[RoomAlias] = []
    """Rooms that every new account joins; those of this server are made when first needed."""


class Directory(Section):
    """The user directory: who finds whom."""

    search_all_users: bool | Literal["auto"] = "auto"
    """Find people with whom one shares no room. `auto`: yes, unless registration is open."""


class Federation(Section):
    """Talking to other Matrix servers (public access modes; a `local` server is on its own)."""

    enabled: bool = True
    """Exchange messages with other servers."""
    allow: list[ServerName] | None = None
    """If set, only these servers."""
    deny: list[ServerName] = []
    """Never these servers."""
    port: Literal["https", "federation"] = "https"
    """The port that other servers are told: `ports.https` or `ports.federation`."""
    ca: str = ""
    """Path of certificates (PEM) of a private authority that other servers may have; beside those of the system."""
    networks: list[Network] = []
    """Private networks in which other servers are. Without them, no private address is ever asked."""


class RateLimits(Section):
    """How much one person may do. `auto`: generous unless registration is open, then Synapse's own values."""

    message_per_second: PositiveRate = 0.5
    """Messages a second that one person may send on average; calls need 0.5."""
    message_burst: Annotated[int, Field(ge=1)] = 30
    """Messages that one person may send at once."""
    login_per_second: PositiveRate | Literal["auto"] = "auto"
    """Log-ins a second from one address."""
    login_burst: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Log-ins at once from one address."""
    invite_per_second: PositiveRate | Literal["auto"] = "auto"
    """Room invitations a second to one person."""
    invite_burst: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Room invitations at once to one person."""


class Media(Section):
    """Files that people send."""

    upload_size: Size = "100M"
    """Largest file."""
    url_previews: bool = False
    """Let the server fetch linked pages to show a preview. Private addresses are never fetched."""


class Retention(Section):
    """How long things are kept. Empty: for ever."""

    messages: Duration = ""
    """Messages older than this are deleted for good."""
    local_media: Duration = ""
    """Files of this server's people that nobody opened for so long are deleted for good."""
    remote_media: Duration = ""
    """Copies of files of other servers that nobody opened for so long are deleted."""
    redacted: Duration = "7d"
    """What a removed message said is kept so long for moderators."""
    user_ips: Duration = "28d"
    """Addresses that people connected from are kept so long."""


class Turn(Section):
    """The TURN server, for calls through firewalls."""

    enabled: bool = True
    """Run a TURN server."""
    host: str = ""
    """Name or address of the TURN server for clients. Empty: that of this server."""
    user_lifetime: Duration = "1h"
    """How long a TURN credential is good for."""
    allow_guests: bool = False
    """Give TURN credentials to guests."""
    certificate: str = ""
    """Path of a certificate chain (PEM) for TURN over TLS; relative to the home folder. Empty: no TLS."""
    certificate_key: str = ""
    """Path of that certificate's private key (PEM)."""


class Calls(Section):
    """Video calls."""

    provider: Literal["element-call", "jitsi", "off"] = "element-call"
    """`element-call`: on this server, with LiveKit. `jitsi`: on another server. `off`: one-to-one calls only."""
    jitsi_domain: ServerName = "meet.element.io"
    """The Jitsi server, where the provider is `jitsi`."""
    media_addresses: MediaAddresses = []
    """Addresses of this machine that clients send media to, one IPv4 and one IPv6 at most. Empty: by `server.access`."""
    public_stun: bool = False
    """Let LiveKit and its clients ask public STUN servers for their addresses. They see who calls when."""
    full_access: list[ServerName] = []
    """Other servers whose people may open calls here; they can always join calls of this server's people."""
    guests_publish: bool = True
    """People of other servers may send sound and video, not only receive."""
    update_own_metadata: bool = True
    """Participants may change what LiveKit shows of them."""


class Admin(Section):
    """Administration."""

    name: Person = "admin"
    """User name of the first administrator."""


class Support(Section):
    """Whom people may ask for help: published in /.well-known/matrix/support."""

    publish: bool = True
    """Publish a contact."""
    matrix_id: str = ""
    """Matrix ID of the contact. Empty: the first administrator."""
    email: str = ""
    """E-mail address of the contact."""
    page: Url | Literal[""] = ""
    """Address of a help page."""


class Database(Section):
    """Where Synapse keeps everything."""

    url: DatabaseUrl | None = None
    """`postgresql://user:password@host:5432/name` of your own PostgreSQL (UTF8, locale C). Empty: one of our own."""


class Synapse(Section):
    """The homeserver."""

    appservices: list[str] = []
    """Paths of registration files of bridges and bots; relative to the home folder."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """How much Synapse writes to its log."""
    cache_factor: Annotated[float, Field(gt=0)] = 0.5
    """Synapse's global cache factor; more is faster and larger."""


class Artifacts(Section):
    """How programs that are no Python packages are got."""

    livekit: str = ""
    """Path of a `livekit-server` of your own. Empty: found, fetched or built."""
    turnserver: str = ""
    """Path of coturn's `turnserver` of your own. Empty: found, installed or unpacked."""
    element_call: str = ""
    """Path of a folder with a built Element Call. Empty: the one that comes along, or fetched."""
    mirror: Url = "https://github.com"
    """Where releases are fetched: this address, or a mirror with the same paths below it."""
    build: bool = True
    """Build LiveKit with Go where no release can be fetched and Go is installed."""
    offline: bool = False
    """Fetch nothing: use what is there."""


class Extra(Section):
    """Keys that pass through to the programs."""

    synapse: SynapseKeys = {}
    """Any key of Synapse's homeserver.yaml, merged deeply; keys that Samsesh owns are refused by name."""


class Settings(Section):
    """Everything in samsesh.toml."""

    server: Server = Server()
    hosts: Hosts = Hosts()
    tls: Tls = Tls()
    proxy: Proxy = Proxy()
    ports: Ports = Field(default_factory=Ports)
    brand: Brand = Field(default_factory=Brand)
    registration: Registration = Registration()
    directory: Directory = Directory()
    federation: Federation = Federation()
    rate_limits: RateLimits = RateLimits()
    media: Media = Media()
    retention: Retention = Retention()
    turn: Turn = Turn()
    calls: Calls = Calls()
    admin: Admin = Admin()
    support: Support = Support()
    database: Database = Database()
    synapse: Synapse = Synapse()
    artifacts: Artifacts = Artifacts()
    extra: Extra = Extra()

    @model_validator(mode="after")
    def _reachable(self) -> "Settings":
        if problem := names.access_problem(self.server.name, self.server.access, trial=self.server.trial):
            raise ValueError(problem)
        if self.tls.mode == "files" and not (self.tls.certificate and self.tls.certificate_key):
            raise ValueError("tls.mode is files: tls.certificate and tls.certificate_key name them")
        return self
