"""What a proxy has to do for one server: hosts, ports, paths, and where each leads. The same for every kind of proxy."""

import re
from dataclasses import dataclass

from samsesh import names
from samsesh.access import LOCAL, PATHS, Access
from samsesh.errors import SettingsError
from samsesh.services.gateway.caddy import YEAR, largest_body

API = ("/_matrix/", "/_synapse/client/", "/.well-known/matrix/")  # where the API shares its host
WELL_KNOWN = ("/.well-known/matrix/",)
FEDERATION = ("/_matrix/federation/", "/_matrix/key/")
UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where that is reached from this machine
EXPANDED = re.compile(r"[{}$\\]")
ABOUT = "Samsesh behind {kind}, for {name}; made by `samsesh proxy-config {kind}`. Run it again when settings change."


@dataclass(frozen=True)
class Rule:
    """Requests whose path begins with one of `paths` (none: all) go to a port of the gateway, paths as they are."""

    name: str  # of the listener that answers
    port: int
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Front:
    """One https port of some hosts. What no rule takes is led to `otherwise`, or not found."""

    hosts: tuple[str, ...]
    port: int
    rules: tuple[Rule, ...]  # the first that fits counts
    otherwise: str = ""  # a URL

    @property
    def everything(self) -> bool:
        """Whether the last rule takes what is left."""
        return not self.rules[-1].paths


@dataclass(frozen=True)
class Forward:
    """Everything that comes to an https port of a host goes to a port of the gateway."""

    host: str
    port: int
    to: int


@dataclass(frozen=True)
class Layout:
    """Everything that a proxy is told. Sizes in bytes, `hsts` in seconds."""

    name: str  # the server name
    fronts: tuple[Front, ...]
    gateway: str  # the address at which the gateway is found
    http: int
    https: int
    size: int  # of the largest request
    hsts: int
    v6: bool  # whether this machine has IPv6
    certificate: str = ""  # paths; empty: the kind's own way
    key: str = ""
    email: str = ""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every name for which a certificate is needed."""
        return tuple(dict.fromkeys(host for front in self.fronts for host in front.hosts))

    @property
    def ports(self) -> tuple[int, ...]:
        """Every https port."""
        return tuple(dict.fromkeys(front.port for front in self.fronts))

    @property
    def forwards(self) -> tuple[Forward, ...]:
        """For proxies that cannot tell paths apart: all of a host to the port of the gateway that answers all of it."""
        return tuple(
            Forward(host, front.port, front.rules[-1].port) for front in self.fronts for host in front.hosts
        )

    def upstream(self, rule: Rule) -> str:
        return f"{names.in_url(self.gateway)}:{rule.port}"

    def about(self, kind: str) -> str:
        """What stands above a configuration."""
        return ABOUT.format(kind=kind, name=self.name)


def layout(access: Access, *, v6: bool, certificate: str = "", key: str = "") -> Layout:
    """For a server of a domain. `access.proxied` holds, or is taken for granted."""
    settings = access.settings
    for what, text in (("certificate", certificate), ("key", key), ("tls.email", settings.tls.email)):
        if EXPANDED.search(text):
            raise SettingsError(
                f"{what} is {text!r}: web servers read {{ }} $ and \\ as something else, and not all can be told not to",
                "take another without these characters",
            )
    ports, bind = settings.ports, settings.proxy.bind
    return Layout(
        name=settings.server.name,
        fronts=fronts(access),
        gateway=UNSPECIFIED.get(bind, bind),
        http=ports.of("http"),
        https=ports.of("https"),
        size=largest_body(settings),
        hsts=YEAR if settings.tls.hsts and not settings.server.trial else 0,
        v6=v6,
        certificate=certificate,
        key=key,
        email=settings.tls.email,
    )


def fronts(access: Access) -> tuple[Front, ...]:
    """One for each host and port; hosts of the same rules are together."""
    calls = access.settings.calls.provider
    off = {"off": {"call", "rtc_auth", "livekit"}, "jitsi": {"rtc_auth", "livekit"}}.get(calls, set())
    places: dict[tuple[str, int], list[str]] = {}
    for name, site in access.sites().items():
        if site.host != LOCAL and name not in off:
            places.setdefault((site.host, site.port), []).append(name)
    if access.federates:
        # Other servers name the server itself where they found no delegation.
        site = access.site("federation")
        for host in {site.host: None, **({access.host("domain"): None} if access.delegates else {})}:
            places.setdefault((host, site.port), []).append("federation")
    found: dict[tuple[int, tuple[Rule, ...], str], list[str]] = {}
    for (host, port), listeners in places.items():
        otherwise = access.url("web") if "domain" in listeners else ""
        found.setdefault((port, _rules(access, listeners), otherwise), []).append(host)
    return tuple(Front(tuple(hosts), port, rules, url) for (port, rules, url), hosts in found.items())


def _rules(access: Access, listeners: list[str]) -> tuple[Rule, ...]:
    """Of the listeners that share a host and port: those below a path first, what answers everything last."""
    last = next((name for name in ("web", "call", "panel", "api") if name in listeners), "")
    paths = {"domain": WELL_KNOWN, "api": API, "federation": FEDERATION}

    def rule(name: str) -> Rule:
        port, path = access.settings.ports.of(access.inner(name)), PATHS.get(name, "")
        if path:
            return Rule(name, port, (f"{path}/",))
        return Rule(name, port, () if name == last else paths[name])

    return tuple(rule(name) for name in sorted(listeners, key=lambda name: (name == last, name)))
