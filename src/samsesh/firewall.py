"""Which ports of this server are open, to whom, and the lines that open them in a firewall. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from samsesh.access import Access
from samsesh.model import Endpoint
from samsesh.proxies.layout import fronts
from samsesh.settings_server import Ports

KINDS = ("ufw", "nftables", "docker-user")
PROXY = "proxy"  # the service of a web server of the operator's


@dataclass(frozen=True)
class Opening:
    """One port or range and one protocol. `public`: people or other servers have to reach it; `setting`: in [ports]."""

    first: int
    last: int
    protocol: str  # "tcp" or "udp"
    setting: str
    service: str
    public: bool
    why: str

    def data(self) -> dict[str, Any]:
        """As `samsesh ports --json` has it."""
        place: dict[str, Any] = (
            {"port": self.first} if self.first == self.last else {"range": f"{self.first}-{self.last}"}
        )
        rest = {"protocol": self.protocol, "service": self.service, "public": self.public, "why": self.why}
        return {**place, **rest}

    @property
    def numbers(self) -> range:
        return range(self.first, self.last + 1)

    def ports(self, between: str) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}{between}{self.last}"


def openings(access: Access, binds: Iterable[tuple[str, Endpoint]]) -> tuple[Opening, ...]:
    """One for each port and protocol. `binds`: (name of the port setting, where it listens) of every unit."""
    ports = access.settings.ports
    found: dict[tuple[int, int, str], Opening] = {}

    def add(setting: str, place: tuple[int, int, str], service: str, public: bool) -> None:
        why = str(Ports.model_fields[setting].description).rstrip(".")
        before = found.get(place)
        if before is None or (public and not before.public):
            found[place] = Opening(*place, setting, service, public, why)

    for setting, endpoint in binds:
        if endpoint.socket:
            continue
        service = _service(setting)
        hidden = access.mode == "local" or (access.proxied and service == "gateway")
        public = not hidden and not ip_address(endpoint.host).is_loopback
        add(setting, (endpoint.port, endpoint.port, endpoint.protocol), service, public)
        if setting == "turn":
            add("turn_relay", (*ports.relay(), "udp"), service, public)
    if access.proxied:
        for setting, port in _of_proxy(access).items():
            add(setting, (port, port, "tcp"), PROXY, public=True)
    return tuple(sorted(found.values(), key=lambda one: (not one.public, one.first, one.protocol)))


def _of_proxy(access: Access) -> dict[str, int]:
    """Ports that the web server in front has instead of the gateway, by their settings."""
    ports = access.settings.ports
    used = {front.port for front in fronts(access)} if access.mode == "domain" else set()
    return {
        name: ports.of(name)
        for name in ("http", "https", "call", "federation")
        if name == "http" or ports.of(name) in used
    }


def _service(setting: str) -> str:
    extra = Ports.model_fields[setting].json_schema_extra
    assert isinstance(extra, dict)
    return str(extra["service"])


def lines(kind: str, name: str, all_of_them: Iterable[Opening]) -> list[str]:
    """Complete lines for a firewall that open exactly what is public, and close this machine to the relay's users.

    `kind`: one of KINDS.
    """
    public = [one for one in all_of_them if one.public]
    relay = Relay.of(public)
    if not public:
        return [f"# Nobody else has to reach {name}: there is nothing to open."]
    make = {"ufw": _ufw, "nftables": _nftables, "docker-user": _docker_user}[kind]
    return make(name, public, relay)


@dataclass(frozen=True)
class Relay:
    """What the relay sends from, and the only ports of this machine that it has to reach: LiveKit's, and its own.

    coturn may send to the machine's own address, since LiveKit is there and so is the relay of who else needs one; it
    knows no ports. What it sends for others always comes from its range, whoever else has the same user.
    """

    first: int
    last: int
    media: int | None  # LiveKit's

    @classmethod
    def of(cls, public: list[Opening]) -> "Relay | None":
        by_setting = {(one.setting, one.protocol): one for one in public}
        range_, media = by_setting.get(("turn_relay", "udp")), by_setting.get(("livekit_udp", "udp"))
        return cls(range_.first, range_.last, media.first if media else None) if range_ else None

    def reached(self, between: str) -> list[str]:
        return [*([str(self.media)] if self.media else []), f"{self.first}{between}{self.last}"]

    def about(self) -> list[str]:
        return [
            "# The relay sends what strangers give it, also to this machine's own address, by UDP. There it has to reach",
            f"# {' and '.join(self.reached('-'))}; any other port is closed to it:",
        ]

    def iptables(self) -> list[str]:
        """For both families, once however often they are run. Loopback addresses coturn refuses by itself."""
        ports = f"--sport {self.first}:{self.last} -m multiport ! --dports {','.join(self.reached(':'))}"
        families = (("iptables", "127.0.0.0/8"), ("ip6tables", "::1"))
        return [
            _once(program, f"OUTPUT -o lo ! -d {own} -p udp {ports} -j DROP") for program, own in families
        ]

    def published(self) -> str:
        """What Docker publishes has the container's port by then. Of all of it, LiveKit's is let through."""
        asked = "-m conntrack --ctstate DNAT --ctdir ORIGINAL"
        media = f" ! --ctorigdstport {self.media}" if self.media else ""
        return _once("iptables", f"OUTPUT -p udp --sport {self.first}:{self.last} {asked}{media} -j DROP")

    def nftables(self) -> list[str]:
        ports = f"udp sport {self.first}-{self.last} udp dport != {{ {', '.join(self.reached('-'))} }}"
        return [
            "add chain inet filter output { type filter hook output priority 0; }",
            *(
                f'insert rule inet filter output oifname "lo" {own} {ports} drop comment "samsesh"'
                for own in ("ip daddr != 127.0.0.0/8", "ip6 daddr != ::1")
            ),
        ]


def _once(program: str, rule: str) -> str:
    return f"{program} -C {rule} 2>/dev/null || {program} -I {rule}"


def _ufw(name: str, public: list[Opening], relay: Relay | None) -> list[str]:
    return [
        f"# ufw: what people reach of {name}. Run as root. Before `ufw enable`, let yourself in: ufw allow OpenSSH",
        "# By IPv4, ports that Docker publishes never pass ufw: see `samsesh ports --firewall docker-user`.",
        *(f"ufw allow {one.ports(':')}/{one.protocol} comment 'samsesh: {one.service}'" for one in public),
        *(
            [
                *relay.about(),
                "# ufw asks nobody about that, so iptables is, again after a reboot.",
                *relay.iptables(),
            ]
            if relay
            else []
        ),
    ]


def _nftables(name: str, public: list[Opening], relay: Relay | None) -> list[str]:
    """In the table and chain of Debian's nftables.conf, before what may refuse; a policy that is there stays."""
    rules = [
        f'insert rule inet filter input {protocol} dport {{ {_list(public, protocol, "-")} }} accept comment "samsesh"'
        for protocol in ("tcp", "udp")
        if any(one.protocol == protocol for one in public)
    ]
    return [
        f"# nftables: what people reach of {name}. Load it with `nft -f FILE`; to have it after a reboot, too,",
        "# put it at the end of /etc/nftables.conf. Another firewall's table has to let the same through.",
        "# By IPv4, ports that Docker publishes do not pass here: see `samsesh ports --firewall docker-user`.",
        "add table inet filter",
        "add chain inet filter input { type filter hook input priority 0; }",
        *rules,
        *([*relay.about(), *relay.nftables()] if relay else []),
    ]


def _docker_user(name: str, public: list[Opening], relay: Relay | None) -> list[str]:
    """By the port that was asked for: behind Docker's translation it is the container's."""
    asked = "-m conntrack --ctorigdstport"
    opened = [f"-p {one.protocol} {asked} {one.ports(':')} --ctdir ORIGINAL -j RETURN" for one in public]
    rules = ["-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN", *opened]
    refuse = "-m conntrack --ctstate DNAT --ctdir ORIGINAL -j DROP"
    inserted = [f"DOCKER-USER {at} {rule}" for at, rule in enumerate([*rules, refuse], start=1)]
    return [
        f"# Docker: what people reach of {name}. What Docker publishes is led past ufw and the input chain to all;",
        "# its chain DOCKER-USER is asked first. These lines let ours pass and refuse every other published port of this",
        "# machine, also those of other containers: give them a RETURN line of their own. Run as root, and again after a",
        "# reboot, once Docker runs. By IPv6 people come through a program of Docker's on this machine, where ufw and",
        "# the input chain do decide: for that, and for coturn, see `samsesh ports --firewall ufw` or nftables.",
        *(f"iptables -I {rule}" for rule in inserted),
        *([*relay.about(), *relay.iptables(), relay.published()] if relay else []),
    ]


def _list(public: list[Opening], protocol: str, between: str) -> str:
    return ", ".join(one.ports(between) for one in public if one.protocol == protocol)
