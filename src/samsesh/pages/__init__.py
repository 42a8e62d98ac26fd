"""The static pages: welcome, sign-up by invitation, errors, and what the admin port shows until the panel is there.

Everything is rendered when the server is configured, once in each language: the gateway knows which one a visitor
reads. A browser then talks to the homeserver alone. Names of assets have a hash of the content, so that no page meets an
old one.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from samsesh.errors import SettingsError
from samsesh.pages.links import APPS, CLIENTS, element_x_link, invite_link, ssh_line
from samsesh.pages.looks import MEDIA, brand_css, light_css
from samsesh.pages.qr import qr_svg, qr_terminal
from samsesh.pages.words import LANGUAGES, Words

if TYPE_CHECKING:
    from jinja2 import Environment, Template

__all__ = [
    "ERRORS",
    "PageFacts",
    "admin_headers",
    "assets",
    "brand",
    "check_links",
    "element_x_link",
    "error_headers",
    "invite_link",
    "named_template",
    "origin",
    "qr_svg",
    "qr_terminal",
    "render_admin",
    "render_errors",
    "render_web",
    "web_headers",
]

HERE = Path(__file__).parent
LOGO_ENDINGS = {"image/svg+xml": "svg", "image/png": "png"}
PICTURE_ENDINGS = {**LOGO_ENDINGS, "image/jpeg": "jpg", "image/webp": "webp"}
SHARED = ("style.css", "theme.js", "words.js", "page.js")  # loaded by every page; each after what it imports
WEB = ("matrix.js", "names.js", "welcome.js", "register.js")
ERRORS = ("403", "404", "4xx", "5xx")  # a page for each; the last two for every other status of their kind
LARGEST_INLINE = 64 * 1024  # bytes of a logo within an error page


@dataclass(frozen=True)
class PageFacts:
    """What the pages say. URLs have a scheme and no slash at the end."""

    brand: str
    theme: str  # "dark", "light", or "auto", the browser's: what a page opens with; visitors can switch
    server_name: str
    homeserver_url: str
    web_url: str
    admin_url: str
    registration: str  # "closed", "token" or "open"
    footer_links: tuple[tuple[str, str], ...]  # (text, URL)
    logo: bytes | None  # None: our own
    logo_type: str  # "image/svg+xml" or "image/png"
    password_min_length: int
    local_only: bool
    version: str
    command: str  # how the operator calls the program
    call_url: str = ""  # where video calls are; empty: nowhere
    media_urls: tuple[str, ...] = ()  # what a call needs besides, for a tunnel
    accent: str = ""  # "#rrggbb"; empty: our own colours
    background: tuple[bytes, str] | None = None  # a picture behind the pages, and its type
    one_theme: bool = False  # visitors cannot switch
    client: bool = False  # whether Element Web is at the web port's "/", and these pages beside it
    no_client: str = ""  # why it is not, where it should be
    no_calls: str = ""  # why there are no calls, where there should be
    own_ca: bool = False  # its certificates are of its own authority, which devices must be told to trust

    @property
    def account_provider(self) -> str:
        """What an app asks first: the name where it is published on port 443, else the homeserver itself."""
        return self.homeserver_url if self.local_only else self.server_name


def render_web(facts: PageFacts) -> dict[str, bytes]:
    """Path below the web root -> content: welcome and sign-up in a folder of each language, and their assets.

    The welcome page, index.html, is also at `/connect`: it says how to connect with any client.
    """
    app_link = element_x_link(facts.account_provider)
    more = {
        "app_link": app_link,
        "apps": APPS,
        "clients": CLIENTS,
        "ssh": ssh_line(
            (facts.web_url, facts.homeserver_url, facts.admin_url, facts.call_url, *facts.media_urls)
        ),
    }
    qr = {} if facts.local_only else {"element-x.svg": qr_svg(app_link)}  # no phone reaches a trial
    names = ("index", "register", *(("trust",) if facts.own_ca else ()))
    return _render(facts, names, WEB, qr, **more)


def render_admin(facts: PageFacts) -> dict[str, bytes]:
    """Path below the admin root -> content."""
    return _render(facts, ("admin",), ())


def _render(
    facts: PageFacts,
    names: tuple[str, ...],
    scripts: tuple[str, ...],
    made: Mapping[str, bytes] = MappingProxyType({}),
    **more: object,
) -> dict[str, bytes]:
    """The pages in each language, as `en/NAME.html`, and their assets."""
    urls, files = assets((*SHARED, *scripts), facts.logo, facts.logo_type, {**made, **brand(facts)})
    pages = {
        f"{language}/{name}.html": _page(name, facts, Words(language), asset=urls, **more)
        for language in LANGUAGES
        for name in names
    }
    return {**pages, **files}


def render_errors(facts: PageFacts) -> dict[str, bytes]:
    """Path -> content of the pages for what went wrong: `en/404.html`. Each is whole, and can be shown at any address."""
    return {
        f"{language}/{kind}.html": _page("error", facts, Words(language), inline=_inline(facts), kind=kind)
        for language in LANGUAGES
        for kind in ERRORS
    }


def _inline(facts: PageFacts) -> dict[str, str]:
    """What other pages load from files."""
    logo = facts.logo if facts.logo and len(facts.logo) <= LARGEST_INLINE else None
    kind = facts.logo_type if logo else "image/svg+xml"
    picture = base64.b64encode(logo or _asset("logo.svg")).decode()
    inline = {
        "style.css": _asset("style.css").decode() + brand_css(facts),
        "light.css": light_css(_asset("light.css").decode(), facts.accent),
        "theme.js": _asset("theme.js").decode(),
    }
    policy = {
        "default-src": "'none'",
        "script-src": _digest(inline["theme.js"]),
        "style-src": f"{_digest(inline['style.css'])} {_digest(inline['light.css'])}",
        "img-src": "data:",
    }
    return {**inline, "logo": f"data:{kind};base64,{picture}", "policy": _policy(policy)}


def brand(facts: PageFacts) -> dict[str, bytes]:
    """The operator's picture and colours: file names -> contents, in the order in which they name each other."""
    picture = f"background.{PICTURE_ENDINGS[facts.background[1]]}" if facts.background else ""
    made = {picture: facts.background[0]} if facts.background else {}
    if css := brand_css(facts, picture):
        made["brand.css"] = css.encode()
    return {**made, "light.css": light_css(_asset("light.css").decode(), facts.accent).encode()}


def web_headers(facts: PageFacts) -> dict[str, str]:
    """Headers of every answer at the web port: only our files load, and only the homeserver is asked."""
    return _headers(origin(facts.homeserver_url))


def admin_headers(facts: PageFacts) -> dict[str, str]:
    """Headers of every answer at the admin port."""
    return _headers("'none'")


def error_headers() -> dict[str, str]:
    """Headers of every error page. A proxy or browser keeps none; what may run in it the page says itself.

    They are in the gateway's configuration, so they do not change with the operator's colours.
    """
    policy = {
        "frame-ancestors": "'none'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return {
        **_headers("'none'"),
        "Content-Security-Policy": _policy(policy),
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
    }


def _digest(text: str) -> str:
    """As a content security policy names what is within a page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _policy(directives: Mapping[str, str]) -> str:
    return "; ".join(f"{name} {value}" for name, value in directives.items())


def _headers(connect: str) -> dict[str, str]:
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "connect-src": connect,
        "form-action": "'none'",  # scripts send the form: without them no password ends in a URL
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "require-trusted-types-for": "'script'",
    }
    return {
        "Content-Security-Policy": _policy(policy),
        "Referrer-Policy": "no-referrer",  # an invitation's link is as good as a key
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-cache",  # kept, but asked for each time: after `up` everybody sees the new page
    }


def origin(url: str) -> str:
    """Scheme, host and port of an http(s) URL, as a content security policy names it."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not set(url).isdisjoint(" ;,'\"\n"):
        raise SettingsError(f"{url!r} is no http(s) address", "correct the server's address in the settings")
    return f"{parts.scheme}://{parts.netloc}"


def _page(name: str, facts: PageFacts, words: Words, **more: object) -> bytes:
    check_links(facts.footer_links)
    known = {"asset": {}, "inline": None, "media": MEDIA, "languages": LANGUAGES}
    script = json.dumps(words.section("script"), ensure_ascii=False)
    template = named_template(f"{name}.html.j2")
    page: str = template.render({**known, "facts": facts, "words": words, "script_words": script, **more})
    return page.encode()


def check_links(links: tuple[tuple[str, str], ...]) -> None:
    for text, url in links:
        if urlsplit(url.strip()).scheme.lower() not in ("http", "https", "mailto"):
            raise SettingsError(
                f"brand.footer_links: {text!r} leads to {url!r}", "use a link that begins with https://"
            )


def named_template(name: str) -> "Template":
    return _templates().get_template(name)


@cache
def _templates() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def assets(
    sources: tuple[str, ...],
    logo: bytes | None,
    logo_type: str,
    made: Mapping[str, bytes] = MappingProxyType({}),
    folder: str = "assets",
) -> tuple[dict[str, str], dict[str, bytes]]:
    """(asset name -> URL path, path below the root -> content); imports in scripts follow the names."""
    contents = {name: _asset(name) for name in sources}
    contents |= made
    if logo_type not in LOGO_ENDINGS:
        raise SettingsError(f"the logo is of type {logo_type}", "use an svg or png file")
    contents["logo"] = logo or _asset("logo.svg")
    ending = LOGO_ENDINGS[logo_type] if logo else "svg"
    urls: dict[str, str] = {}
    files: dict[str, bytes] = {}
    for name, content in contents.items():
        for known, url in urls.items():
            content = content.replace(f'"./{known}"'.encode(), f'"{url}"'.encode())  # noqa: PLW2901 - each name in turn
        stem, _, suffix = name.partition(".")
        path = f"{folder}/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix or ending}"
        urls[name], files[path] = f"/{path}", content
    return urls, files


def _asset(name: str) -> bytes:
    return (HERE / "assets" / name).read_bytes()
