"""Our pages at the web port, beside Element Web or instead of it: how to connect, and sign-up. The admin port's page.
The pages for what went wrong, anywhere.
"""

from pathlib import Path

from samsesh import __version__, pages
from samsesh.model import Context, ErrorPages, File, Offer, Route, Unit
from samsesh.pages import ERRORS, PageFacts
from samsesh.pages.words import LANGUAGES

PAGES = {"/register": "/register.html", "/connect": "/index.html"}
BESIDE = ("/register", "/connect", "/assets/*")  # what stays ours where Element Web has the rest


def offer(context: Context) -> Offer:
    facts = _facts(context)
    web, admin, errors = map(context.place.config, ("web", "admin", "errors"))
    url, languages = context.access.url, tuple(LANGUAGES)
    return Offer(
        routes=(
            Route(
                "web",
                BESIDE if context.web_client else (),
                root=web,
                rewrite=PAGES if context.web_client else {"/": "/index.html", **PAGES},
                languages=languages,
                headers=pages.web_headers(facts),
                order=10 if context.web_client else 50,
            ),
            Route(
                "admin",
                root=admin,
                rewrite={"/": "/admin.html"},
                languages=languages,
                headers=pages.admin_headers(facts),
            ),
            *(_trust(web, facts) if facts.own_ca else ()),
        ),
        error_pages=ErrorPages(errors, languages, ERRORS, pages.error_headers()),
        files=(
            *_files(web, pages.render_web(facts)),
            *_files(admin, pages.render_admin(facts)),
            *_files(errors, pages.render_errors(facts)),
        ),
        addresses={"web": url("web"), "admin": url("admin")},
    )


def units(context: Context, offer: Offer) -> tuple[Unit, ...]:
    return ()


def _trust(web: Path, facts: PageFacts) -> tuple[Route, ...]:
    """How to trust the gateway's own authority, whatever else is at the web port; it serves the root itself."""
    return (
        Route(
            "web",
            ("/trust",),
            root=web,
            rewrite={"/trust": "/trust.html"},
            languages=tuple(LANGUAGES),
            headers=pages.web_headers(facts),
            order=8,
        ),
    )


def _files(folder: Path, rendered: dict[str, bytes]) -> tuple[File, ...]:
    return tuple(File(folder / name, content, live=True) for name, content in sorted(rendered.items()))


def _facts(context: Context) -> PageFacts:
    settings, url = context.settings, context.access.url
    logo, logo_type = context.logo
    return PageFacts(
        brand=settings.brand.name,
        theme=settings.brand.opening_theme,
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
        call_url=url("call") if context.calls and context.has("element-call") else "",
        media_urls=tuple(map(url, ("rtc_auth", "livekit", "livekit_tcp"))) if context.calls else (),
        accent=settings.brand.accent,
        background=context.background,
        one_theme=len(settings.brand.themes) == 1,
        client=context.web_client,
        no_client=_no_client(context),
        no_calls=_no_calls(context),
    )


def _no_client(context: Context) -> str:
    """Why Element Web is not here where it should be."""
    if context.settings.web.client == "none" or context.web_client:
        return ""
    return context.off("web-client", "element-web").reason


def _no_calls(context: Context) -> str:
    """Why there are no calls where there should be."""
    if context.settings.calls.provider != "element-call" or context.calls:
        return ""
    return context.off("calls", "livekit-server").reason
