"""Synapse, the Matrix homeserver: its unit, its routes, and its private socket for our own work."""

from samsesh import __version__, synapse_keys
from samsesh.formats import to_yaml
from samsesh.model import Context, Endpoint, File, Judge, Offer, Probe, Route, Unit
from samsesh.services.synapse.config import authorities, homeserver_yaml, log_config, turn_secret

CORS = {"Access-Control-Allow-Origin": "*"}
SECRETS = ("signing_key", "macaroon_key", "form_key", "registration_shared_secret")
UNRECOGNIZED = '{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}'


def offer(context: Context) -> Offer:
    access, synapse = context.access, context.place.reach("synapse")
    json_headers = {**CORS, "Content-Type": "application/json"}
    return Offer(
        routes=(
            # Synapse mounts its admin API beside the client API; it must not be reached from outside.
            # `synapse.admin_api` opens it on this machine, with the client API by which its tools log in.
            Route("admin_api", ("/_synapse/admin/*", "/_matrix/*"), upstream=synapse, order=20),
            Route("admin_api", answer=(404, UNRECOGNIZED), headers=json_headers, order=90),
            Route(
                "api",
                ("/_synapse/admin", "/_synapse/admin/*"),
                answer=(404, UNRECOGNIZED),
                headers=json_headers,
                order=10,
            ),
            Route("api", ("/_matrix/*", "/_synapse/client/*"), upstream=synapse, order=20),
            Route("api", ("/",), answer=(302, ""), headers={"Location": access.url("web")}, order=30),
            Route("api", answer=(404, UNRECOGNIZED), headers=json_headers, order=90),
            *(_federation(synapse, json_headers) if access.federates else ()),
        ),
        well_known_client={"m.homeserver": {"base_url": access.url("api")}},
        well_known_server={"m.server": access.federation_server} if access.federates else {},
        admin_api=context.place.reach("synapse-admin"),
        members=context.place.reach("synapse-members") if context.calls else None,
        addresses={
            "homeserver": access.url("api"),
            **({"admin_api": access.url("admin_api")} if context.settings.synapse.admin_api else {}),
        },
    )


def _federation(synapse: Endpoint, headers: dict[str, str]) -> tuple[Route, ...]:
    """What other servers ask (spec: Server-Server API), and nothing else, at the federation port."""
    asked = ("/_matrix/federation/*", "/_matrix/key/*")
    return (
        Route("federation", asked, upstream=synapse, order=20),
        Route("federation", answer=(404, UNRECOGNIZED), headers=headers, order=90),
    )


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    assert offer.database is not None  # postgres.py always offers one
    place = context.place
    sockets = [place.listen("synapse-admin").socket, offer.members and offer.members.socket]
    config = File(
        place.config("synapse") / "homeserver.yaml",
        to_yaml(homeserver_yaml(context, offer)),
    )
    log = File(place.config("synapse") / "log.yaml", to_yaml(log_config(context)))
    trusted = authorities(context)
    openssl = {"SSL_CERT_FILE": str(trusted.path)} if trusted else {}
    jemalloc = {"LD_PRELOAD": context.facts.jemalloc} if context.facts.jemalloc else {}
    files = (
        config,
        log,
        *context.named_files("synapse.appservices"),
        *context.named_files("database.url"),
        offer.database.passfile,
        *([turn_secret(context, offer.turn)] if offer.turn else []),
        *([trusted] if trusted else []),
    )
    return (
        Unit(
            name="synapse",
            title="homeserver (Synapse)",
            command=(
                place.program("python"),
                "-I",  # else the folder it is started in comes first where modules are looked for
                "-m",
                "synapse.app.homeserver",
                "--config-path",
                str(config.path),
            ),
            probe=Probe("http", place.listen("synapse-admin"), "/health", seconds=180),
            files=files,
            folders=(place.data("synapse") / "media", place.logs("synapse")),
            needs=(offer.database.unit,) if offer.database.unit else (),
            # Our module in it is of that version: a new one restarts it.
            env={**jemalloc, **openssl, "SAMSESH_VERSION": __version__},
            sockets=tuple(socket for socket in sockets if socket),
            secrets=(*SECRETS, *(["members_key"] if offer.members else [])),
            outward=True,
            image="synapse",
            stop_seconds=60,
            version=context.facts.versions.get("matrix-synapse", ""),
            address=context.access.url("api"),
            judge=Judge(
                (place.program("python"), "-I", "-m", "samsesh.synapse_module.judge", str(config.path)),
                files,
                keys=_settings_behind(context),
            ),
        ),
    )


def _settings_behind(context: Context) -> dict[str, str]:
    """What Synapse's loader names -> our setting: its keys, and registrations of bridges."""
    place, settings = context.place, context.settings
    bridges = {
        str(place.operator_file("synapse.appservices", path)): "synapse.appservices"
        for path in settings.synapse.appservices
    }
    rest = {"": "extra.synapse"} if settings.extra.synapse else {}
    return {**synapse_keys.behind(settings.extra.synapse), **bridges, **rest}
