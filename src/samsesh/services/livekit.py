"""LiveKit, the SFU of group calls: its unit, its signalling behind the gateway, its media ports.

Names and meanings: LiveKit's config-sample.yaml and its config package; an unknown key ends its start.
"""

from typing import Any

from samsesh import names
from samsesh.formats import to_yaml
from samsesh.model import Context, Endpoint, File, Judge, Offer, Probe, Route, Turn, Unit

FOLDER = "SAMSESH_LIVEKIT"  # variable with the folder of its files


def offer(context: Context) -> Offer:
    if context.settings.calls.provider != "element-call":
        return Offer()
    if not context.calls:
        return Offer(off=(context.off("calls", "livekit-server"),))
    return Offer(
        routes=(
            # Rooms are lost when LiveKit is started anew, and who comes back to none is not let in: it is made before.
            Route(
                "livekit",
                ("/rtc", "/rtc/*"),
                upstream=context.place.reach("livekit"),
                before=(context.place.reach("rtc-auth"), "/rejoin"),
                order=20,
            ),
            Route("livekit", upstream=context.place.reach("livekit")),
        ),
        addresses={"livekit": context.access.url("livekit", "ws")},
    )


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    if not context.calls:
        return ()
    place = context.place
    key = context.secrets.livekit_key.reveal()
    keys = File(
        place.config("livekit") / "keys.yaml",
        to_yaml({key: context.secrets.livekit_secret.reveal()}),
        secret=True,
    )
    relay = offer.turn if offer.turn is not None and offer.turn.relays_media else None
    secret = (
        File(place.config("livekit") / "turn_secret", relay.secret.reveal().encode(), secret=True)
        if relay
        else None
    )
    config = File(
        place.config("livekit") / "livekit.yaml", to_yaml(livekit_yaml(context, offer, key, keys, secret))
    )
    command = (place.program("livekit-server"), "--config", str(config.path))
    files = (config, keys, *([secret] if secret else []))
    return (
        Unit(
            name="livekit",
            title="call server (LiveKit)",
            command=command,
            probe=Probe("http", place.listen("livekit"), "/", seconds=60),
            files=files,
            folders=(place.data("livekit"),),
            env={FOLDER: str(keys.path.parent)},
            binds=_binds(context),
            spare=True,
            image="livekit",
            stop_seconds=3,  # on TERM it would wait until every call has ended; clients reconnect by themselves
            version=context.facts.versions.get("livekit-server", ""),
            address=context.access.url("livekit", "ws"),
            # Which reads all of it and prints what would be open; its exit code is always 0.
            judge=Judge(
                (*command, "ports"),
                files,
                keys={"": "artifacts.livekit"} if context.settings.artifacts.livekit else {},
                prints="TCP Ports",
            ),
        ),
    )


def livekit_yaml(
    context: Context, offer: Offer, key: str, keys: File, relay_secret: File | None
) -> dict[str, Any]:
    """The whole of livekit.yaml."""
    place = context.place
    inner = place.listen("livekit")
    webhook = place.reach("rtc-webhook")
    return {
        "port": inner.port,
        "bind_addresses": [inner.host],
        "key_file": f"${{{FOLDER}}}/{keys.path.name}",  # it expands variables there: a home may have a $
        "rtc": _rtc(context, offer.turn, relay_secret),
        "room": {"auto_create": False},  # rooms are made by the authorization service alone
        "webhook": {"api_key": key, "urls": [f"http://{webhook}/sfu_webhook"]},
        "logging": {"level": "info", "json": False},
    }


def _rtc(context: Context, turn: Turn | None, relay_secret: File | None) -> dict[str, Any]:
    calls, ports, media = context.settings.calls, context.settings.ports, context.access.addresses
    rtc: dict[str, Any] = {
        "tcp_port": ports.of("livekit_tcp"),
        "udp_port": ports.of("livekit_udp"),
        "node_ip": ",".join(media),
        "use_external_ip": False,  # it would ask public STUN servers, and not start without their answer
    }
    apart = context.place.apart  # then it listens on the one address that it has, and offers the machine's
    if not apart and all(map(context.place.own, media)):  # else we are behind NAT, and listen on all
        rtc["ips"] = {"includes": [f"{address}/{128 if ':' in address else 32}" for address in media]}
    if not apart and media[0] in ("127.0.0.1", "::1"):
        rtc["enable_loopback_candidate"] = True
    if turn is not None and relay_secret is not None:
        rtc["turn_servers"] = _turn_servers(turn, str(relay_secret.path))
    if not calls.public_stun:
        # With neither TURN nor STUN servers named, it sends clients to Google's and Twilio's.
        host = turn.host if turn else names.in_url(media[0])
        rtc["stun_servers"] = [f"{host}:{ports.of('turn')}"]
    return rtc


def _turn_servers(turn: Turn, secret_file: str) -> list[dict[str, Any]]:
    ways = [(turn.port, "udp"), (turn.port, "tcp"), *([(turn.tls_port, "tls")] if turn.tls_port else [])]
    if turn.https_port:
        ways.append((turn.https_port, "tcp"))
    return [
        {"host": turn.host, "port": port, "protocol": protocol, "secret_file": secret_file, "ttl": 14_400}
        for port, protocol in ways
    ]


def _binds(context: Context) -> tuple[tuple[str, Endpoint], ...]:
    ports = context.settings.ports
    place, inner = context.place, context.place.listen("livekit")
    media = place.open_at(context.access.addresses)
    udp = [("livekit_udp", Endpoint(host, ports.of("livekit_udp"), protocol="udp")) for host in media]
    # LiveKit takes no address for its TCP port: it listens on all. Nobody gets past its ICE without a call's own secret.
    if place.apart:  # in a container, which is open where it is told to be
        return (*(("livekit_tcp", Endpoint(host, ports.of("livekit_tcp"))) for host in media), *udp)
    tcp = ("livekit_tcp", Endpoint("0.0.0.0", ports.of("livekit_tcp")))  # noqa: S104 - said above
    return (("livekit_inner", inner), tcp, *udp)
