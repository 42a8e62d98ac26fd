"""Element Web at the web port: its files, its configuration, and what makes it ours. Without it, welcome.py's page."""

from samsesh.formats import to_json
from samsesh.model import Context, File, Off, Offer, Route, Unit
from samsesh.pages import call, element_web

LONG = {"Cache-Control": element_web.LONG}
DAY = {"Cache-Control": "public, max-age=86400"}  # names that keep for longer than content, now and then


def offer(context: Context) -> Offer:
    if context.settings.web.client != "element-web":
        return Offer()
    bundle = context.web_client
    if bundle is None:
        return Offer(off=(_off(context),))
    folder, facts, page = context.place.config("element-web"), _facts(context), context.place.bundle_page
    files = element_web.render(facts, page("element-web"))
    if facts.calls:
        files["call.json"] = to_json(_call_config(facts))
    headers = element_web.headers(facts)
    in_rooms = element_web.call_headers(facts, page("element-web", element_web.CALL))
    return Offer(
        routes=(
            Route("web", ("/samsesh/assets/*",), root=folder, headers={**headers, **LONG}, order=20),
            Route("web", ("/bundles/*",), root=bundle, headers={**headers, **LONG}, order=20),
            Route("web", ("/fonts/*", "/img/*"), root=bundle, headers={**headers, **DAY}, order=20),
            *_element_call(context, facts, in_rooms),
            # It asks for one that is named after the host first.
            Route(
                "web",
                ("/config.*.json",),
                root=folder,
                rewrite={"*": "/config.json"},
                headers=headers,
                order=20,
            ),
            Route("web", OURS, root=folder, headers=headers, order=20),
            Route("web", root=bundle, headers=headers, order=90),
        ),
        files=tuple(File(folder / name, content, live=True) for name, content in sorted(files.items())),
    )


OURS = ("/", "/index.html", "/config.json", "/manifest.json", "/samsesh/welcome.html")


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    return ()


def _element_call(
    context: Context, facts: element_web.WebFacts, headers: dict[str, str]
) -> tuple[Route, ...]:
    """The Element Call in it, which makes the calls of rooms, with this server's own service."""
    bundle, folder = context.web_client, context.place.config("element-web")
    below = "/widgets/element-call/"
    ours = Route(
        "web", (f"{below}config.json",), root=folder, rewrite={"*": "/call.json"}, headers=headers, order=20
    )
    return (
        *((ours,) if facts.calls else ()),
        Route("web", (f"{below}assets/*",), root=bundle, headers={**headers, **LONG}, order=20),
        Route("web", (f"{below}*",), root=bundle, headers=headers, order=30),
    )


def _call_config(facts: element_web.WebFacts) -> dict[str, object]:
    return call.config_json(facts.homeserver_url, facts.server_name, facts.rtc_url)


def _off(context: Context) -> Off:
    off = context.off("web-client", "element-web")
    where = f"{context.access.url('web')} says how to connect with any other client"
    return Off(off.name, off.reason, f"{off.advice}; meanwhile {where}")


def _facts(context: Context) -> element_web.WebFacts:
    settings, url = context.settings, context.access.url
    brand, provider = settings.brand, settings.calls.provider
    logo, logo_type = context.logo
    return element_web.WebFacts(
        brand=brand.name,
        theme=brand.opening_theme,
        themes=tuple(brand.themes) or (brand.theme,),
        server_name=settings.server.name,
        homeserver_url=url("api"),
        web_url=url("web"),
        registration=settings.registration.mode,
        footer_links=tuple((link.text, link.url) for link in brand.footer_links),
        any_homeserver=settings.web.any_homeserver,
        federates=context.access.federates,
        rtc_url=url("rtc_auth") if context.calls else "",
        livekit_url=url("livekit", "ws") if context.calls else "",
        call_url=url("call") if context.calls and context.place.bundle("element-call") else "",
        jitsi_domain=settings.calls.jitsi_domain if provider == "jitsi" else "",
        help_url=settings.support.page if settings.support.publish else "",
        accent=brand.accent,
        logo=logo,
        logo_type=logo_type,
        background=context.background,
        reach=tuple(settings.web.reach),
        extra=settings.extra.element_web,
    )
