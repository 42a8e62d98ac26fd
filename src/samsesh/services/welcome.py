"""The pages at the web and admin ports until the web client and the admin panel are there; the sign-up page."""

from pathlib import Path

from samsesh import __version__, pages
from samsesh.model import Context, File, Offer, Route, Unit
from samsesh.pages import PageFacts


def offer(context: Context) -> Offer:
    facts = _facts(context)
    web, admin = context.place.config("web"), context.place.config("admin")
    url = context.access.url
    return Offer(
        routes=(
            Route("web", root=web, rewrite={"/register": "/register.html"}, headers=pages.web_headers(facts)),
            Route("admin", root=admin, headers=pages.admin_headers(facts)),
            *(_trust(web, facts) if facts.own_ca else ()),
        ),
        files=(*_files(web, pages.render_web(facts)), *_files(admin, pages.render_admin(facts))),
        addresses={"web": url("web"), "admin": url("admin")},
    )


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    return ()


def _trust(web: Path, facts: PageFacts) -> tuple[Route, ...]:
    """How to trust the gateway's own authority, whatever else is at the web port; it serves the root itself."""
    page = {"/trust": "/trust.html"}
    return (Route("web", ("/trust",), root=web, rewrite=page, headers=pages.web_headers(facts), order=8),)


def _files(folder: Path, rendered: dict[str, bytes]) -> tuple[File, ...]:
    return tuple(File(folder / name, content, live=True) for name, content in sorted(rendered.items()))


def _facts(context: Context) -> PageFacts:
    settings, url = context.settings, context.access.url
    logo, logo_type = context.logo
    return PageFacts(
        brand=settings.brand.name,
        theme=settings.brand.theme,
        server_name=settings.server.name,
        homeserver_url=url("api"),
        web_url=url("web"),
        admin_url=url("admin"),
        registration=settings.registration.mode,
        footer_links=tuple((link.text, link.url) for link in settings.brand.footer_links),
        logo=logo,
        logo_type=logo_type,
        password_min_length=settings.registration.password_min_length,
        local_only=settings.server.access == "local",
        own_ca=context.access.certificates == "internal",
        version=__version__,
        command=context.facts.command,
        call_url=url("call") if context.calls and context.place.bundle("element-call") else "",
        media_urls=tuple(map(url, ("rtc_auth", "livekit", "livekit_tcp"))) if context.calls else (),
    )
