"""coturn, the TURN server: one-to-one calls through firewalls, and LiveKit's relay.

Names and meanings: coturn's turnserver.conf. An option that it does not know is only logged, so the log is read too.
"""

from ipaddress import ip_network

from samsesh import names
from samsesh.access import LOCAL
from samsesh.formats import to_turnserver_conf
from samsesh.model import Context, Endpoint, File, Judge, Off, Offer, Probe, Turn, Unit
from samsesh.networks import SPECIAL_V4, SPECIAL_V6

CIPHERS = ":".join(  # of TLS 1.2: its own default has old ones, too; what is newer chooses by itself
    f"ECDHE-{key}-{cipher}"
    for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for key in ("ECDSA", "RSA")
)
BAD_WORDS = "Bad configuration format"
# With a certificate that it cannot use, it goes on: without TLS, or with TLS that works for nobody.
NO_TLS = ("cannot start TLS", "no certificate found", "invalid private key")
# Nobody reaches what is not the public internet through us: a relay would be a door into the network behind it.
IPV4_IN_V6 = (
    "::1-::ffff:ffff:ffff",  # coturn 4.6 takes `::` as the beginning of a range for every address there is
    "64:ff9b::-64:ff9b::ffff:ffff",
)
LOOPBACK = ("127.0.0.1", "::1")
ANY = "0.0.0.0"  # noqa: S104 - compared with, and never asked
# What each version knows, as Debian's 4.5.2, 4.6.1 and 4.18.0 were seen to take it; elsewhere an option is "bad".
HARDENED_SINCE = (4, 6)  # before it there are no switches against answers that help to flood others
CANONICAL_SINCE = (4, 13, 1)  # before it, IPv4 addresses within IPv6 ones pass the ranges above
DEFAULTS_SINCE = (4, 7)  # these switches, and those against old TLS, are gone: it is as they made it
CLOSED_SINCE = (4, 18)  # so are those against DTLS and the command line


def _turn(context: Context) -> Turn | None:
    settings, access, place = context.settings, context.access, context.place
    if not settings.turn.enabled or "turnserver" not in context.facts.programs:
        return None
    media = access.addresses
    loopback = all(address in LOOPBACK for address in media)
    host = media[0] if access.mode == "local" else access.host("api")  # which its certificate names
    if access.mode == "local" and loopback:
        host = LOCAL
    own = place.content("turn.certificate") is not None
    return Turn(
        host=names.in_url(settings.turn.host or host),
        port=settings.ports.of("turn"),
        tls_port=settings.ports.of("turns") if own or access.certificates else None,
        https_port=settings.ports.of("https") if context.splits_https else None,
        inner=Endpoint(_inner(context), settings.ports.of("turn")),
        secret=context.secrets.turn_shared_secret,
        relays_media=not loopback,  # LiveKit on loopback: relaying to it would open all of loopback
        certificate=None if access.mode == "local" else place.data("coturn") / "turns.pem",
        pidfile=place.data("coturn") / "turnserver.pid",
    )


def offer(context: Context) -> Offer:
    turn = _turn(context)
    if turn is not None and _only_ipv6(context) and _version(context) < CANONICAL_SINCE:
        version = context.facts.versions.get("turnserver") or "this version of it"
        oldest = ".".join(map(str, CANONICAL_SINCE))
        reason = f"others reach this server by IPv6 alone, which coturn {version} cannot relay safely"
        advice = (
            f"install coturn {oldest} or later and name it: samsesh config set artifacts.turnserver PATH, samsesh up; "
            "or give this machine a public IPv4 address; calls work without it where firewalls let UDP or LiveKit's TCP "
            "port through"
        )
        return Offer(off=(Off("turn", reason, advice),))
    if turn is not None:
        return Offer(turn=turn, addresses={"turn": f"turn:{turn.host}:{turn.port}"})
    if context.settings.turn.enabled:
        return Offer(off=(context.off("turn", "turnserver"),))
    return Offer()


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    turn = offer.turn
    if turn is None:
        return ()
    place = context.place
    config = File(
        place.config("coturn") / "turnserver.conf",
        to_turnserver_conf(turnserver_conf(context, turn)),
        secret=True,
    )
    listening = _listening(context)
    ports = [("turn", turn.port), *([("turns", turn.tls_port)] if turn.tls_port else [])]
    return (
        Unit(
            name="coturn",
            title="relay (coturn)",
            command=(place.program("turnserver"), "-c", str(config.path)),
            probe=Probe("stun", Endpoint(_probed(listening), turn.port, protocol="udp"), seconds=30),
            files=(config, *(context.named_files("turn.certificate") if turn.certificate is None else ())),
            folders=(place.data("coturn"),),
            # Without a certificate it would start without TLS; and the agent has it read a new one.
            needs=("agent",) if turn.tls_port and context.access.mode != "local" else (),
            env=context.facts.environments.get("turnserver", {}),
            binds=tuple(
                (name, Endpoint(host, port, protocol=protocol))
                for name, port in ports
                for host in listening
                for protocol in ("udp", "tcp")
            ),
            spare=True,
            image="coturn",
            stop_seconds=10,
            version=context.facts.versions.get("turnserver", ""),
            address=f"turn:{turn.host}:{turn.port}",
            bad_words=BAD_WORDS,
            judge=_judge(context, turn, config),
        ),
    )


def _judge(context: Context, turn: Turn, config: File) -> Judge:
    """It has no way to look at a configuration but to start with it: its log says what it does not take."""
    settings = context.settings.turn
    own = turn.certificate is None and turn.tls_port is not None
    named = {}
    if own:
        copy = context.place.operator_file("turn.certificate", settings.certificate)
        named = {str(copy): "turn.certificate", "": "turn.certificate"}
    elif context.settings.artifacts.turnserver:
        named[""] = "artifacts.turnserver"
    return Judge(
        # Its pid is not that of the one that runs.
        (context.place.program("turnserver"), "-c", str(config.path), "--pidfile=/dev/null"),
        (config, *(context.named_files("turn.certificate") if own else ())),
        keys=named,
        ports=(
            ("--listening-port", "--alt-listening-port"),
            ("--tls-listening-port", "--alt-tls-listening-port"),
        ),
        bad_words=(BAD_WORDS, *(NO_TLS if own else ())),
    )


def _listening(context: Context) -> list[str]:
    """Addresses of this machine that coturn listens on."""
    media = context.access.addresses
    if all(address in LOOPBACK for address in media):
        return list(context.facts.loopback)  # `localhost` may be either
    outer = tuple(address for address in media if not context.place.own(address))
    if outer:  # behind NAT: the address that people see is the router's
        return list(context.place.open_at(outer))
    return list(media)


def _inner(context: Context) -> str:
    """The address at which others of this server reach it. In containers it is the machine's: coturn alone is there."""
    listening = sorted(_listening(context), key=lambda address: ":" in address)
    outward = [address for address in context.facts.outward if ":" not in address]
    if context.place.apart and listening[0] == ANY and outward:
        return outward[0]
    return _probed(listening)


def _behind_nat(context: Context) -> dict[str, str]:
    """The router's IPv4 address, where people come by that -> this machine's own behind it; "" where none is known."""
    own = next((address for address in context.facts.outward if ":" not in address), "")
    media = context.access.addresses
    return {address: own for address in media if ":" not in address and not context.place.own(address)}


def _only_ipv6(context: Context) -> bool:
    """Whether there is no IPv4 address to relay from."""
    return all(":" in address for address in context.access.addresses)


def _probed(listening: list[str]) -> str:
    return "127.0.0.1" if listening[0] == ANY else listening[0]


def turnserver_conf(context: Context, turn: Turn) -> dict[str, str | int | bool | list[str]]:
    """The whole of turnserver.conf, for the version found."""
    place, settings = context.place, context.settings
    version = _version(context)
    low, high = settings.ports.relay()
    mapped = _behind_nat(context)
    relays = [address for address in context.access.addresses if place.own(address)]
    relays = [*mapped.values(), *relays] if all(mapped.values()) else []
    if version < CANONICAL_SINCE:
        relays = [address for address in relays if ":" not in address]
    hardened = HARDENED_SINCE <= version < DEFAULTS_SINCE
    conf: dict[str, str | int | bool | list[str]] = {
        "listening-ip": _listening(context),
        "listening-port": turn.port,
        "relay-ip": relays,
        "external-ip": [f"{public}/{own}" if own else public for public, own in mapped.items()],
        # Who asks for no family gets IPv4 (RFC 8656, 7.2), which without an IPv4 relay would be 440 for everybody.
        "allocation-default-address-family": "keep"
        if _only_ipv6(context) and version >= CANONICAL_SINCE
        else False,
        "min-port": low,
        "max-port": high,
        "realm": settings.server.name,
        "use-auth-secret": True,
        "static-auth-secret": turn.secret.reveal(),
        "fingerprint": True,
        "stale-nonce": 600,
        "user-quota": 12,
        "total-quota": 1200,
        "max-bps": 0,
        "no-cli": version < CLOSED_SINCE,
        "no-tcp-relay": True,
        "no-multicast-peers": True,
        "no-rfc5780": hardened,
        "no-stun-backward-compatibility": hardened,
        "response-origin-only-with-rfc5780": hardened,
        # Else it listens beside it, too, for RFC 5780.
        "alt-listening-port": turn.port if version < HARDENED_SINCE else False,
        "no-software-attribute": True,
        "log-file": "stdout",
        "simple-log": True,
        "new-log-timestamp": True,
        "new-log-timestamp-format": "%Y-%m-%d %H:%M:%S",
        "pidfile": str(turn.pidfile),
        "userdb": str(place.data("coturn") / "turndb"),
        "denied-peer-ip": [*map(_range, SPECIAL_V4), *IPV4_IN_V6, *map(_range, SPECIAL_V6)],
        # To ourselves: LiveKit, and the relays of two who both need one. What is sent to the router's address it sends to
        # ours, so that no router has to lead it back.
        "allowed-peer-ip": [address for address in relays if address not in LOOPBACK],
        **_tls_conf(context, turn, version),
    }
    return conf


def _range(network: str) -> str:
    """`10.0.0.0/8` as coturn writes it: its first and its last address."""
    found = ip_network(network)
    return f"{found[0]}-{found[-1]}"


def _tls_conf(
    context: Context, turn: Turn, version: tuple[int, ...]
) -> dict[str, str | int | bool | list[str]]:
    if turn.tls_port is None:
        return {"no-tls": True, "no-dtls": version < CLOSED_SINCE}
    old = version < DEFAULTS_SINCE
    own = context.place.operator_file("turn.certificate", context.settings.turn.certificate)
    both = str(turn.certificate or own)
    return {
        "tls-listening-port": turn.tls_port,
        "alt-tls-listening-port": turn.tls_port if version < HARDENED_SINCE else False,
        "cert": both,
        "pkey": both,
        "cipher-list": CIPHERS,
        "no-tlsv1": old,
        "no-tlsv1_1": old,
    }


def _version(context: Context) -> tuple[int, ...]:
    """The version found; what cannot be read is taken for an old one."""
    try:
        return names.version(context.facts.versions.get("turnserver", ""))
    except ValueError:
        return (0,)
