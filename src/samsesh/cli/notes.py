"""What people should know when a server has started, by how it is reached."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from samsesh.home import was_root

if TYPE_CHECKING:
    from samsesh.ops.server import Server
    from samsesh.settings import Settings


PEOPLES = {
    "web": "Chat and sign-up, in a browser",
    "homeserver": "Homeserver, for apps",
    "call": "Video calls",
    "admin": "Administration",
}


def for_people(addresses: Mapping[str, str]) -> list[tuple[str, str]]:
    """(what it is, URL) of the addresses that people open or type, of all those of a server."""
    return [(title, addresses[name]) for name, title in PEOPLES.items() if name in addresses]


def after_up(server: "Server", uncertified: tuple[str, ...] = ()) -> list[str]:
    """Notes, the most important first. `uncertified`: hosts that have no certificate yet."""
    settings = server.settings
    notes = {"local": _local, "lan": _lan, "ip": _public, "domain": _public}[settings.server.access](server)
    if server.access.certificates == "acme" and not uncertified:
        notes.append(
            "Certificates are renewed by themselves as long as port 80 or 443 is open to the internet"
        )
    notes.append("Invite people: samsesh invite create")
    if settings.registration.mode == "open":
        notes.append(
            "Registration is open to everybody who reaches the server: samsesh config set registration.mode token"
        )
    if server.engine.name == "compose" and (told := another_user(settings, server.facts.uid)):
        notes.append(told)
    return notes


def another_user(settings: "Settings", uid: int) -> str:
    """Where containers are to run as somebody else than who runs this, and cannot. Root has become that user by now."""
    wanted = settings.server
    if "uid" not in wanted.model_fields_set or wanted.uid == uid:
        return ""
    if was_root():
        return (
            f"Containers run as the user {uid}: root has not confirmed server.uid, {wanted.uid}, of the settings. "
            f"To confirm it, where the home belongs to that user: samsesh config set server.uid {wanted.uid}"
        )
    return f"Containers run as you, the user {uid}: server.uid (UID), {wanted.uid}, is followed where root runs samsesh"


def _local(server: "Server") -> list[str]:
    settings = server.settings
    calls = ("call", "rtc_auth", "livekit", "livekit_tcp") if server.plan.offer.rtc_service else ()
    ports = [settings.ports.of(name) for name in ("web", "api", "admin", *calls)]
    tunnel = " ".join(f"-L {port}:localhost:{port}" for port in ports)
    return [
        "This is a trial: it answers on this machine only, without TLS. Its name, "
        f"{settings.server.name}, cannot change later; to begin again under another: samsesh destroy",
        f"From another machine: ssh {tunnel} THIS-MACHINE, then open http://localhost:{ports[0]}",
    ]


def _lan(server: "Server") -> list[str]:
    web = server.plan.offer.addresses["web"]
    notes = [f"People in this network open {web}", *_own_authority(server), _firewall(server)]
    if not server.settings.server.address:
        notes.append(
            f"{server.access.address} should stay this machine's address: have the router always give it the same; "
            "if it changes: samsesh up"
        )
    return notes


def _public(server: "Server") -> list[str]:
    settings, access = server.settings, server.access
    notes = [
        f"Its name, {settings.server.name}, cannot change later",
        *_own_authority(server),
        _firewall(server),
    ]
    if access.proxied:
        notes.append(
            "Your web server stands before it: give it what this prints: samsesh proxy-config nginx "
            "(or caddy, traefik, haproxy)"
        )
    if access.certificates == "acme" and settings.tls.staging:
        notes.append("Its certificates are for trying only: samsesh config set tls.staging false, samsesh up")
    if access.mode == "domain" and settings.hosts.delegation == "elsewhere":
        notes.append(
            f"The web site at {access.host('domain')} has to serve two small files: samsesh proxy-config well-known"
        )
    notes.append("Whether all of it works from outside: samsesh doctor public")
    return notes


def _own_authority(server: "Server") -> list[str]:
    if server.access.certificates != "internal":
        return []
    return [
        "Browsers and phones do not know this server's own certificate authority: each device takes it in once, "
        f"as this page tells: {server.plan.offer.addresses['web']}/trust",
        *fingerprint(server),
    ]


def fingerprint(server: "Server") -> list[str]:
    """How people know the server's own certificate authority, if it has one."""
    from samsesh import stranger

    if server.access.certificates != "internal" or not (root := stranger.root_fingerprint(server)):
        return []
    return [f"The SHA-256 fingerprint of its root, to compare: {root}"]


def _firewall(server: "Server") -> str:
    found = (
        "Behind a router, lead these ports to this machine"
        if _behind_nat(server)
        else "Open these ports in the firewall"
    )
    return f"{found}: samsesh ports"


def _behind_nat(server: "Server") -> bool:
    from samsesh.facts import own_address

    return any(not own_address(address) for address in server.facts.addresses)
