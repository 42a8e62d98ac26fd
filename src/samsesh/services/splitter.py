"""The splitter: has the port of https in the gateway's place where TURN is offered there, too (samsesh/splitter)."""

from samsesh import __version__
from samsesh.formats import to_json
from samsesh.model import Context, Endpoint, File, Offer, Probe, Unit


def offer(context: Context) -> Offer:
    return Offer()


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    turn = offer.turn
    if turn is None or turn.https_port is None:
        return ()
    place, number = context.place, turn.https_port
    own, gateway = place.listen("splitter"), place.reach("gateway-https")
    addresses = context.access.bound("web", context.facts.loopback)
    config = File(
        place.config("splitter") / "splitter.json",
        to_json(
            {
                "socket": str(own.socket),
                "listen": [[open_.host, open_.port] for open_ in place.public(addresses, number)],
                "gateway": str(gateway.socket),
                "turn": [turn.inner.host, turn.inner.port],
            }
        ),
    )
    return (
        Unit(
            name="splitter",
            title="https and TURN at one port (splitter)",
            command=(
                place.program("python"),
                "-I",
                "-m",
                "samsesh",
                "splitter",
                "--config",
                str(config.path),
            ),
            probe=Probe("http", own, "/ready", seconds=90),
            files=(config,),
            needs=("gateway",),  # what is not there yet cannot be handed to, and it had the port before
            binds=tuple(("https", Endpoint(address, number)) for address in addresses),
            sockets=tuple(end.socket for end in (own, gateway) if end.socket),
            stop_seconds=10,
            version=__version__,
            address=f"{addresses[0]}:{number}",
        ),
    )
