"""How people reach this server: host, port and path of each of the gateway's listeners, and where certificates come from.

Pure: `server.access`, `[hosts]`, `[tls]` and the addresses that were found decide; every engine does the same.
"""

from dataclasses import dataclass, field

from samsesh import names
from samsesh.errors import SettingsError
from samsesh.settings import Settings

# Names of settings in [ports]; "domain" is what the server name itself answers (delegation), at the https port.
# "panel": the admin panel where it is published, beside "admin" on this machine.
LISTENERS = (
    "web",
    "api",
    "call",
    "rtc_auth",
    "livekit",
    "admin",
    "admin_api",
    "panel",
    "domain",
    "federation",
)
HERE = ("admin", "admin_api")  # on this machine only, without TLS
PATHS = {
    "rtc_auth": "/livekit/jwt",
    "livekit": "/livekit/sfu",
}  # where they share a host, as the document has it
LOCAL = "localhost"


@dataclass(frozen=True)
class Site:
    """Where one listener is reached. `path` has no slash at its end."""

    host: str
    port: int
    tls: bool
    path: str = ""

    def url(self, scheme: str = "http") -> str:
        """`http` -> http or https, `ws` -> ws or wss."""
        usual = 443 if self.tls else 80
        port = "" if self.port == usual else f":{self.port}"
        return f"{scheme}{'s' if self.tls else ''}://{names.in_url(self.host)}{port}{self.path}"


@dataclass(frozen=True)
class Access:
    """What the settings say about being reached. `found`: addresses by which others reach this machine, best first."""

    settings: Settings
    found: tuple[str, ...] = field(default=())

    @property
    def mode(self) -> str:
        return self.settings.server.access

    @property
    def certificates(self) -> str:
        """Where the gateway's come from: "acme", "internal", "files", or "" where it speaks plain http."""
        mode = self.settings.tls.mode
        if self.mode == "local" or mode == "proxy":
            return ""
        if mode == "auto":
            return "internal" if self.mode == "lan" else "acme"
        return mode

    @property
    def proxied(self) -> bool:
        """Whether a web server of the operator's stands before the gateway."""
        return self.mode != "local" and self.settings.tls.mode == "proxy"

    @property
    def federates(self) -> bool:
        """Whether it talks to other servers. One that is called localhost is nobody's but its own."""
        return self.mode != "local" and self.settings.federation.enabled and self._name != LOCAL

    @property
    def address(self) -> str:
        """The host by which people reach a server without a domain."""
        if given := self.settings.server.address:
            return given
        if names.is_address(self._name):
            return self._name
        if not self.found:
            raise SettingsError(
                "no address was found by which others reach this machine",
                "name it: samsesh config set server.address ADDRESS",
            )
        return self.found[0]

    @property
    def _name(self) -> str:
        """The host in the server name, to which other servers connect where nothing tells them another."""
        return names.split_name(self.settings.server.name)[0]

    @property
    def _port_in_name(self) -> int | None:
        """Where the server name has a port, others connect to that, and look for nothing else."""
        return names.split_name(self.settings.server.name)[1]

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses to which clients send media: one of a family at most."""
        if chosen := self.settings.calls.media_addresses:
            return tuple(chosen)
        if self.mode == "local":
            return ("127.0.0.1",)
        given = self.settings.server.address or self._name
        if names.is_address(given):
            return (given, *(one for one in self.found if (":" in one) != (":" in given)))[:2]
        return self.found or ("127.0.0.1",)

    def host(self, listener: str) -> str:
        """The host name of a listener."""
        if self.mode == "local" or listener in HERE:
            return LOCAL
        if self.mode != "domain":
            return self._name if listener == "federation" else self.address
        hosts, domain = self.settings.hosts, self._name
        if listener == "federation" and self._port_in_name:
            return domain
        return {
            "web": hosts.web or hosts.single or f"chat.{domain}",
            "api": hosts.api or hosts.single or f"matrix.{domain}",
            "federation": hosts.api or hosts.single or f"matrix.{domain}",
            "call": hosts.call or hosts.single or f"call.{domain}",
            "rtc_auth": hosts.rtc or hosts.single or f"rtc.{domain}",
            "livekit": hosts.rtc or hosts.single or f"rtc.{domain}",
            "panel": hosts.admin,
            "domain": domain,
        }[listener]

    def sites(self) -> dict[str, Site]:
        """Every listener that there is in this mode, by name, as people reach it."""
        return {name: self.site(name) for name in LISTENERS if self._there(name)}

    def site(self, listener: str) -> Site:
        ports, host = self.settings.ports, self.host(listener)
        tls = self.mode != "local"
        if listener in HERE:
            return Site(LOCAL, ports.of(listener), tls=False)
        if listener == "federation":
            return Site(host, self._port_in_name or ports.of("federation"), tls)
        if self.mode != "domain":
            return Site(host, ports.of(listener), tls)
        if listener == "call" and host in map(self.host, ("web", "api", "rtc_auth")):
            return Site(host, ports.of("call"), tls)  # its page cannot live below a path
        return Site(host, ports.of("https"), tls, PATHS.get(listener, ""))

    def inner(self, listener: str) -> str:
        """The setting of the gateway's own port for a listener behind a proxy, which has the port that people use."""
        if listener in ("domain", "federation"):
            return "api"  # answers the same at its own port
        if listener == "panel":
            return "admin"
        shared = listener == "call" and self.site("call").port == self.settings.ports.of("call")
        return "call_inner" if shared else listener

    def bound(self, listener: str, loopback: tuple[str, ...]) -> tuple[str, ...]:
        """Addresses of this machine at which a listener is open. `loopback`: those of its loopback interface."""
        behind = (self.settings.proxy.bind,) if self.proxied else ()
        if listener == "admin":
            return tuple(dict.fromkeys((*loopback, *(behind if self.settings.hosts.admin else ()))))
        if listener == "admin_api":
            return loopback
        if self.mode == "local" or (behind and behind[0] in loopback):
            return loopback
        if behind:
            return behind
        return ("0.0.0.0", "::") if "::1" in loopback else ("0.0.0.0",)  # noqa: S104 - it is to be public

    def _there(self, listener: str) -> bool:
        if listener == "federation":
            site, api = self.site("federation"), self.site("api")  # where both are one, the API answers
            return self.federates and not self.proxied and (site.host, site.port) != (api.host, api.port)
        if listener == "admin_api":
            return self.settings.synapse.admin_api
        if listener == "panel":
            return self.mode == "domain" and bool(self.settings.hosts.admin)
        if listener == "domain":
            return self.delegates and self.host("domain") not in map(
                self.host, ("web", "api", "call", "rtc_auth")
            )
        return True

    @property
    def delegates(self) -> bool:
        """Whether this server answers at the server name itself, which is no host of a service."""
        return self.mode == "domain" and self.settings.hosts.delegation == "here"

    def url(self, listener: str, scheme: str = "http") -> str:
        if listener in ("livekit_tcp",):  # no listener of the gateway: a port for tunnels
            return f"{scheme}://{names.in_url(self.host('livekit'))}:{self.settings.ports.of(listener)}"
        if listener == "admin" and self._there("panel"):
            return self.site("panel").url(scheme)
        return self.site(listener).url(scheme)

    @property
    def federation_server(self) -> str:
        """`m.server` of /.well-known/matrix/server: host and port that other servers connect to; "": none do."""
        if not self.federates:
            return ""
        if self.mode != "domain" or self._port_in_name:
            site = self.site("federation")
            return f"{names.in_url(site.host)}:{site.port}"
        port = self.settings.ports.of(self.settings.federation.port)
        return f"{names.in_url(self.host('api'))}:{port}"

    def names(self) -> tuple[str, ...]:
        """Every host for which the gateway needs a certificate."""
        if not self.certificates:
            return ()
        return tuple(dict.fromkeys(site.host for site in self.sites().values() if site.tls))

    def expected(self) -> tuple[str, ...]:
        """Every host by which people or servers come, a proxy's included. In `lan` servers are not expected."""
        sites = self.sites()
        if self.mode == "lan":
            sites.pop("federation", None)
        return tuple(dict.fromkeys(site.host for site in sites.values() if site.host != LOCAL))
