"""The MatrixRTC authorization service (ours, `samsesh rtc-auth`): who may join which call. Its variables: rtc/config."""

from typing import Any

from samsesh import __version__
from samsesh.model import Context, File, Judge, Offer, Probe, Route, Unit

MEMBERS_KEY = "members_key"
PATHS = ("/sfu/get", "/get_token", "/delegate_delayed_leave", "/healthz")


def offer(context: Context) -> Offer:
    if not context.calls:
        return Offer()
    url = context.access.url("rtc_auth")
    focus = {"type": "livekit", "livekit_service_url": url}
    headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "application/json"}
    return Offer(
        rtc_service=url,
        routes=(
            Route("rtc_auth", PATHS, upstream=context.place.reach("rtc-auth"), order=20),
            Route(
                "rtc_auth",
                answer=(404, '{"errcode":"M_NOT_FOUND","error":"Not found"}'),
                headers=headers,
                order=90,
            ),
        ),
        well_known_client={"org.matrix.msc4143.rtc_foci": [focus]},
        addresses={"rtc": url},
    )


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    if not context.calls:
        return ()
    assert offer.admin_api is not None  # synapse.py always offers one,
    assert offer.members is not None  # and this where there are calls
    place, webhook = context.place, context.place.listen("rtc-webhook")
    own = place.listen("rtc-auth")
    sockets = (own.socket, offer.admin_api.socket, offer.members.socket)
    # Not the secrets folder's own files: a value from .env counts over them.
    pair = f"{context.secrets.livekit_key.reveal()}:{context.secrets.livekit_secret.reveal()}\n"
    keys = File(place.config("rtc-auth") / "keys", pair.encode(), secret=True)
    authorities = _authorities(context)
    command = (place.program("python"), "-I", "-m", "samsesh", "rtc-auth")
    files = (keys, *([authorities] if authorities else []))
    return (
        Unit(
            name="rtc-auth",
            title="call authorization",
            command=command,
            probe=Probe("http", own, "/healthz", seconds=60),
            files=files,
            folders=(place.data("rtc-auth"),),
            env={
                **_environment(context, offer, str(keys.path)),
                **_others(context),
                **({"SAMSESH_RTC_CA": str(authorities.path)} if authorities else {}),
            },
            binds=(("rtc_auth_inner", webhook),) if not place.apart else (),
            sockets=tuple(socket for socket in sockets if socket),
            secrets=(MEMBERS_KEY,),
            outward=True,
            spare=True,
            stop_seconds=15,
            version=__version__,
            address=context.access.url("rtc_auth"),
            judge=Judge((*command, "--check"), files, keys={"SAMSESH_RTC_CA": "federation.ca"}),
        ),
    )


def _environment(context: Context, offer: Offer, keys: str) -> dict[str, str]:
    place, settings = context.place, context.settings
    return {
        "LIVEKIT_URL": context.access.url("livekit", "ws"),
        "LIVEKIT_KEY_FILE": keys,
        "LIVEKIT_FULL_ACCESS_HOMESERVERS": ",".join([settings.server.name, *settings.calls.full_access]),
        "LIVEKIT_JWT_BIND": str(place.listen("rtc-auth")),
        "SAMSESH_RTC_WEBHOOK_BIND": str(place.listen("rtc-webhook")),
        "SAMSESH_RTC_STRICT": "yes",
        "SAMSESH_RTC_HOMESERVER": settings.server.name,
        "SAMSESH_RTC_HOMESERVER_URL": str(offer.admin_api),
        "SAMSESH_RTC_MEMBERS": str(offer.members),
        "SAMSESH_RTC_MEMBERS_KEY_FILE": str(place.secret(MEMBERS_KEY)),
        "SAMSESH_RTC_LIVEKIT_API_URL": f"http://{place.reach('livekit')}",
        "SAMSESH_RTC_STATE": str(place.data("rtc-auth") / "leaves.sqlite"),
        "SAMSESH_RTC_UPDATE_OWN_METADATA": _word(settings.calls.update_own_metadata),
        "SAMSESH_RTC_ONLY_FULL_ACCESS_PUBLISH": _word(not settings.calls.guests_publish),
    }


def _others(context: Context) -> dict[str, str]:
    """Of which other servers people may come to calls, as the homeserver has it, and where these may be."""
    settings, wanted = context.settings, context.settings.federation
    allowed = wanted.allow if context.access.federates else []
    found = {
        "SAMSESH_RTC_DENY_HOMESERVERS": wanted.deny,
        "SAMSESH_RTC_ALLOW_PRIVATE": wanted.networks,
    }
    if allowed is not None:
        ours = [settings.server.name, *settings.calls.full_access]
        found["SAMSESH_RTC_ALLOW_HOMESERVERS"] = list(dict.fromkeys([*ours, *allowed]))
    return {name: ",".join(values) for name, values in found.items() if values}


def _authorities(context: Context) -> File | None:
    both = context.place.authorities() if context.access.federates else None
    if both is None:
        return None
    own, _ = both
    return File(context.place.config("rtc-auth") / "authorities.pem", own)


def _word(value: Any) -> str:
    return "yes" if value else "no"
