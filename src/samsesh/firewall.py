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
    """One port or range and one protocol. `public`: people or other servers have to reach it."""

    first: int
    last: int
    protocol: str  # "tcp" or "udp"
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
            found[place] = Opening(*place, service, public, why)

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
    """Complete lines for a firewall that open exactly what is public. `kind`: one of KINDS."""
    public = [one for one in all_of_them if one.public]
    if not public:
        return [f"# Nobody else has to reach {name}: there is nothing to open."]
    make = {"ufw": _ufw, "nftables": _nftables, "docker-user": _docker_user}[kind]
    return make(name, public)


def _ufw(name: str, public: list[Opening]) -> list[str]:
    return [
        f"# ufw: what people reach of {name}. Run as root. Before `ufw enable`, let yourself in: ufw allow OpenSSH",
        "# By IPv4, ports that Docker publishes never pass ufw: see `samsesh ports --firewall docker-user`.",
        *(f"ufw allow {one.ports(':')}/{one.protocol} comment 'samsesh: {one.service}'" for one in public),
    ]


def _nftables(name: str, public: list[Opening]) -> list[str]:
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
    ]


def _docker_user(name: str, public: list[Opening]) -> list[str]:
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
    ]


def _list(public: list[Opening], protocol: str, between: str) -> str:
    return ", ".join(one.ports(between) for one in public if one.protocol == protocol)
