"""Element Web at the web port: its files, its configuration, and what makes it ours. Without it, welcome.py's page."""

from pathlib import Path

from samsesh.formats import to_json
from samsesh.model import Context, Endpoint, File, Off, Offer, Probe, Route, Unit
from samsesh.pages import call, element_web, upstream

LONG = {"Cache-Control": element_web.LONG}
DAY = {"Cache-Control": "public, max-age=86400"}  # names that keep for longer than content, now and then


def offer(context: Context) -> Offer:
    if context.settings.web.client != "element-web":
        return Offer()
    if not context.web_client:
        return Offer(off=(_off(context),))
    place, facts = context.place, _facts(context)
    bundle, container = place.bundle("element-web"), place.web("element-web")
    folder, page = place.config("element-web"), "" if container else place.bundle_page("element-web")
    files = element_web.templates(facts) if container else element_web.render(facts, page)
    if facts.calls:
        files["call.json"] = to_json(_call_config(facts))
    headers = element_web.headers(facts)
    its_call = "" if container else place.bundle_page("element-web", element_web.CALL)
    in_rooms = element_web.call_headers(facts, its_call)
    return Offer(
        routes=(
            Route("web", ("/samsesh/assets/*",), root=folder, headers={**headers, **LONG}, order=20),
            Route(
                "web", ("/bundles/*",), root=bundle, upstream=container, headers={**headers, **LONG}, order=20
            ),
            Route(
                "web",
                ("/fonts/*", "/img/*"),
                root=bundle,
                upstream=container,
                headers={**headers, **DAY},
                order=20,
            ),
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
            *_pages(folder, headers, container),
            Route("web", root=bundle, upstream=container, headers=headers, order=90),
        ),
        files=tuple(File(folder / name, content, live=True) for name, content in sorted(files.items())),
    )


PAGES = ("/", "/index.html")
OURS = ("/config.json", "/manifest.json", "/samsesh/welcome.html", "/samsesh/global.js")


def _pages(folder: Path, headers: dict[str, str], container: Endpoint | None) -> tuple[Route, ...]:
    """What is ours instead of upstream's; of a container's page the gateway makes ours."""
    if container is None:
        return (Route("web", (*PAGES, *OURS[:3]), root=folder, headers=headers, order=20),)
    return (
        Route("web", OURS, root=folder, headers=headers, order=20),
        Route("web", PAGES, root=folder, template=True, headers=headers, order=20),
        Route("web", (f"{upstream.PATH}/*",), upstream=container, strip=upstream.PATH, order=10),
    )


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    """A container with Element Web; natively the gateway serves it."""
    container = context.place.web("element-web")
    if not context.web_client or container is None:
        return ()
    config = File(
        context.place.config("element") / "config.json", to_json(element_web.config(_facts(context)))
    )
    return (
        Unit(
            name="element",
            title="web client (Element Web)",
            command=(),
            probe=Probe("http", container, "/config.json", seconds=60),
            files=(config,),
            spare=True,
            image="element-web",
            version=context.facts.versions.get("element-web", ""),
            address=context.access.url("web"),
        ),
    )


def _element_call(
    context: Context, facts: element_web.WebFacts, headers: dict[str, str]
) -> tuple[Route, ...]:
    """The Element Call in it, which makes the calls of rooms, with this server's own service."""
    place, folder = context.place, context.place.config("element-web")
    bundle, container = place.bundle("element-web"), place.web("element-web")
    below = "/widgets/element-call/"
    ours = Route(
        "web", (f"{below}config.json",), root=folder, rewrite={"*": "/call.json"}, headers=headers, order=20
    )
    page = Route(
        "web",
        (below, f"{below}index.html"),
        root=folder,
        rewrite={"*": "/call.html"},
        template=True,
        headers=headers,
        order=20,
    )
    return (
        *((ours,) if facts.calls else ()),
        *((page,) if container else ()),
        Route(
            "web",
            (f"{below}assets/*",),
            root=bundle,
            upstream=container,
            headers={**headers, **LONG},
            order=20,
        ),
        Route("web", (f"{below}*",), root=bundle, upstream=container, headers=headers, order=30),
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
        themes=tuple(brand.themes) or ("light", "dark"),
        server_name=settings.server.name,
        homeserver_url=url("api"),
        web_url=url("web"),
        registration=settings.registration.mode,
        footer_links=tuple((link.text, link.url) for link in brand.footer_links),
        any_homeserver=settings.web.any_homeserver,
        federates=context.access.federates,
        rtc_url=url("rtc_auth") if context.calls else "",
        livekit_url=url("livekit", "ws") if context.calls else "",
        call_url=url("call") if context.calls and context.has("element-call") else "",
        jitsi_domain=settings.calls.jitsi_domain if provider == "jitsi" else "",
        help_url=settings.support.page if settings.support.publish else "",
        accent=brand.accent,
        logo=logo,
        logo_type=logo_type,
        background=context.background,
        reach=tuple(settings.web.reach),
        extra=settings.extra.element_web,
    )
