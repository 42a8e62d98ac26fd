"""Element Call at its own port: the page, its configuration, and what makes it ours."""

from samsesh.formats import to_json
from samsesh.model import Context, File, Off, Offer, Probe, Route, Unit
from samsesh.pages import call, upstream

LONG = {"Cache-Control": "public, max-age=31536000, immutable"}  # names of assets have a hash of the content


def offer(context: Context) -> Offer:
    if not context.calls:
        return Offer()
    place = context.place
    bundle, container = place.bundle("element-call"), place.web("element-call")
    if bundle is None and container is None:
        return Offer(off=(_off(context),))
    folder, facts = place.config("call"), _facts(context)
    scripts: tuple[str, ...] = ()
    if container:
        page = call.template(facts)
    else:
        page, scripts = call.page(place.bundle_page("element-call"), facts)
    headers = call.headers(facts, scripts)
    files = {"index.html": page, "config.json": to_json(call.config(facts)), **call.assets(facts)}
    return Offer(
        routes=(
            Route(
                "call",
                ("/assets/*",),
                root=bundle,
                upstream=container,
                headers={**headers, **LONG},
                order=20,
            ),
            # The form of a shared link, /room/#..., loads what it needs from beside itself.
            Route(
                "call",
                ("/room/assets/*",),
                root=bundle,
                upstream=container,
                strip="/room",
                headers={**headers, **LONG},
                order=20,
            ),
            *(
                (Route("call", (f"{upstream.PATH}/*",), upstream=container, strip=upstream.PATH, order=10),)
                if container
                else ()
            ),
            Route("call", ("/samsesh/*",), root=folder, headers={**headers, **LONG}, order=20),
            Route("call", ("/config.json",), root=folder, headers=headers, order=20),
            *_sign_up(facts, headers),
            Route(
                "call",
                root=folder,
                rewrite={"*": "/index.html"},
                template=container is not None,
                headers=headers,
                order=90,
            ),
        ),
        files=tuple(File(folder / name, content, live=True) for name, content in sorted(files.items())),
        addresses={"call": context.access.url("call")},
    )


def _sign_up(facts: call.CallFacts, headers: dict[str, str]) -> tuple[Route, ...]:
    """Where not everybody may register, our sign-up page in the place of upstream's form."""
    if facts.registration == "open":
        return ()
    away = {**headers, "Location": facts.register_url}
    return (Route("call", ("/register",), answer=(302, ""), headers=away, order=20),)


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    """A container with upstream's page; natively the gateway serves it."""
    container = context.place.web("element-call")
    if not context.calls or container is None:
        return ()
    config = File(context.place.config("element-call") / "config.json", to_json(call.config(_facts(context))))
    return (
        Unit(
            name="element-call",
            title="calls page (Element Call)",
            command=(),
            probe=Probe("http", container, "/config.json", seconds=60),
            files=(config,),
            spare=True,
            image="element-call",
            version=context.facts.versions.get("element-call", ""),
            address=context.access.url("call"),
        ),
    )


def _off(context: Context) -> Off:
    off = context.off("call-page", "element-call")
    return Off(off.name, off.reason, f"{off.advice}; apps such as Element X make calls without it")


def _facts(context: Context) -> call.CallFacts:
    settings, url = context.settings, context.access.url
    logo, logo_type = context.logo
    return call.CallFacts(
        brand=settings.brand.name,
        theme=settings.brand.opening_theme,
        server_name=settings.server.name,
        homeserver_url=url("api"),
        rtc_url=url("rtc_auth"),
        livekit_url=url("livekit", "ws"),
        call_url=url("call"),
        web_url=url("web"),
        registration=settings.registration.mode,
        logo=logo,
        logo_type=logo_type,
        accent=settings.brand.accent,
        background=context.background,
    )
