"""The sections of the settings that say what the server is called and how it is reached. See settings.py."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from samsesh import names
from samsesh.fields import (
    NAMES_FILE,
    BindAddress,
    Email,
    FilePath,
    HostAddress,
    HostName,
    Network,
    OuterNetwork,
    Port,
    PortRange,
    ServerName,
    Timezone,
    Url,
    UserNumber,
)


class Section(BaseModel):
    """Base of every section: immutable, unknown keys refused, no silent conversion of types.

    Nothing is built before it is used; the texts below the fields are for `fields.descriptions`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)

    @field_validator("*")
    @classmethod
    def _on_one_line(cls, value: Any) -> Any:
        """No program's file has a way to hold a line break in each of its values, and nobody's name has one."""
        for text in value if isinstance(value, list) else [value]:
            shown = text.get_secret_value() if isinstance(text, SecretStr) else text
            if isinstance(shown, str) and names.CONTROL.search(shown):
                raise ValueError("a text without line breaks and other control characters is wanted")
        return value


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
    engine: Literal["native", "compose"] = "native"
    """What runs the services. `native`: processes of one user. `compose`: containers, with Docker Compose."""
    uid: UserNumber = 991
    """User ID of the services in containers, where root starts them; else it is that of whoever does."""
    gid: UserNumber = 991
    """Group ID of the services in containers, likewise."""

    @model_validator(mode="after")
    def _possible(self) -> "Server":
        if problem := names.access_problem(self.name, self.access, trial=self.trial):
            raise ValueError(problem)
        if self.access == "ip" and self.address and not names.is_address(self.address):
            raise ValueError(f"address is {self.address}: with access ip an address is wanted, no name")
        return self


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
    email: Email = ""
    """Your address for the certificate authority."""
    directory: Url | Literal[""] = ""
    """Address of the ACME directory. Empty: Let's Encrypt."""
    directory_ca: Annotated[FilePath, NAMES_FILE] = ""
    """Path of a certificate (PEM) with which a directory of your own is checked."""
    staging: bool = False
    """Try with Let's Encrypt's staging server, whose certificates nobody trusts, and whose limits are generous."""
    certificate: Annotated[FilePath, NAMES_FILE] = ""
    """With `files`: path of the certificate chain (PEM); relative to the home folder. Read again when it changes."""
    certificate_key: Annotated[FilePath, NAMES_FILE] = ""
    """With `files`: path of its private key (PEM)."""
    hsts: bool = True
    """With `domain` and certificates by ACME or a proxy's: tell browsers to come by https only, for a year."""

    @model_validator(mode="after")
    def _named(self) -> "Tls":
        if self.mode == "files" and not (self.certificate and self.certificate_key):
            raise ValueError(
                "mode is files, and certificate and certificate_key name none: set them before or in one go, "
                "samsesh config set tls.certificate PATH tls.certificate_key PATH tls.mode files"
            )
        return self


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
    admin_api: Annotated[
        Port,
        _port(
            "Synapse's admin API, with `synapse.admin_api`; loopback only.", "http", "gateway", public=False
        ),
    ] = 8009
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
        _port(
            "LiveKit's webhooks to the authorization service; loopback only.",
            "http",
            "rtc-auth",
            public=False,
        ),
    ] = 12788
    call_inner: Annotated[
        Port,
        _port(
            "Element Call behind a proxy that has its port, where hosts are shared.",
            "http",
            "gateway",
            public=False,
        ),
    ] = 12789
    http: Annotated[
        Port,
        _port(
            "Plain http, in public modes: leads to https; certificate authorities ask here.",
            "http",
            "gateway",
        ),
    ] = 80
    https: Annotated[
        Port, _port("https, in public modes: everything under a domain.", "https", "gateway")
    ] = 443

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

    @classmethod
    def outer(cls) -> list[str]:
        """Those that others than our own programs reach."""
        return [name for name in cls.numbers() if not name.endswith("_inner")]

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


class Federation(Section):
    """Talking to other Matrix servers (public access modes; a `local` server is on its own)."""

    enabled: bool = True
    """Exchange messages with other servers."""
    allow: list[ServerName] | None = None
    """If set, only these servers."""
    deny: list[ServerName] = []
    """Never these servers, also where `federation.allow` has them."""
    room_directory: bool = False
    """Show this server's public rooms to people of other servers who look for rooms here. Where registration is open,
    nobody can publish rooms."""
    port: Literal["https", "federation"] = "https"
    """The port that other servers are told: `ports.https` or `ports.federation`."""
    ca: Annotated[FilePath, NAMES_FILE] = ""
    """Path of certificates (PEM) of private authorities, beside those of the system, that other servers may have;
    relative to the home folder. The homeserver takes them wherever it connects to."""
    networks: list[OuterNetwork] = []
    """Private networks in which other servers are, such as `10.1.0.0/16`. Without them, no private address is asked."""
