"""The static pages: welcome, sign-up by invitation, and what the admin port shows until the panel is there.

Everything is rendered when the server is configured; a browser then talks to the homeserver alone.
Names of assets have a hash of the content, so that no page meets an old one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from samsesh.errors import SettingsError
from samsesh.pages.colours import SEEN, mixed, readable, words_on
from samsesh.pages.links import APPS, CLIENTS, element_x_link, invite_link, ssh_line
from samsesh.pages.qr import qr_svg, qr_terminal

if TYPE_CHECKING:
    from jinja2 import Environment, Template

__all__ = [
    "PageFacts",
    "admin_headers",
    "assets",
    "brand",
    "check_links",
    "element_x_link",
    "invite_link",
    "named_template",
    "origin",
    "qr_svg",
    "qr_terminal",
    "render_admin",
    "render_web",
    "web_headers",
]

HERE = Path(__file__).parent
CARDS = {"dark": "#131626", "light": "#ffffff"}  # as in style.css
LOGO_ENDINGS = {"image/svg+xml": "svg", "image/png": "png"}
PICTURE_ENDINGS = {**LOGO_ENDINGS, "image/jpeg": "jpg", "image/webp": "webp"}
SHARED = ("style.css", "theme.js", "page.js")  # loaded by every page; page.js is imported by the others
WEB = ("matrix.js", "names.js", "welcome.js", "register.js")  # each after what it imports


@dataclass(frozen=True)
class PageFacts:
    """What the pages say. URLs have a scheme and no slash at the end."""

    brand: str
    theme: str  # "dark" or "light": what a page opens with; visitors can switch
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
    """Path below the web root -> content: the welcome and the sign-up page with their assets.

    The welcome page, index.html, is also at `/connect`: it says how to connect with any client.
    """
    app_link = element_x_link(facts.account_provider)
    names, files = assets(
        (*SHARED, *WEB), facts.logo, facts.logo_type, {"element-x.svg": qr_svg(app_link), **brand(facts)}
    )
    more = {
        "app_link": app_link,
        "apps": APPS,
        "clients": CLIENTS,
        "ssh": ssh_line(
            (facts.web_url, facts.homeserver_url, facts.admin_url, facts.call_url, *facts.media_urls)
        ),
    }
    return {
        "index.html": _page("welcome.html.j2", facts, names, **more),
        "register.html": _page("register.html.j2", facts, names, **more),
        **({"trust.html": _page("trust.html.j2", facts, names)} if facts.own_ca else {}),
        **files,
    }


def render_admin(facts: PageFacts) -> dict[str, bytes]:
    """Path below the admin root -> content."""
    names, files = assets(SHARED, facts.logo, facts.logo_type, brand(facts))
    return {"index.html": _page("admin.html.j2", facts, names), **files}


def brand(facts: PageFacts) -> dict[str, bytes]:
    """The operator's picture and colour: file names -> contents, in the order in which they name each other."""
    made: dict[str, bytes] = {}
    lines = []
    if facts.accent:
        dark, light = readable(facts.accent, CARDS["dark"]), readable(facts.accent, CARDS["light"])
        shown = readable(facts.accent, CARDS["dark"], SEEN)  # bright ones stay, with dark words on them
        lines += [
            f":root {{ --link: {dark}; --glow: {mixed(facts.accent, '#0a0c16', 0.7)}; {_button(shown)} }}",
            f'[data-theme="light"] {{ --link: {light}; '
            f"--glow: {mixed(facts.accent, '#ffffff', 0.75)}; {_button(light)} }}",
        ]
    if facts.background:
        content, kind = facts.background
        name = f"background.{PICTURE_ENDINGS[kind]}"
        made[name] = content
        veil = "color-mix(in srgb, var(--ground) 72%, transparent)"
        picture = f'url("./{name}") center / cover fixed'
        lines.append(f"body {{ background: linear-gradient({veil} 0 0), {picture}, var(--ground); }}")
    return {**made, **({"brand.css": "\n".join(lines).encode()} if lines else {})}


def _button(colour: str) -> str:
    words = words_on(colour)
    over = mixed(colour, "#ffffff" if words == "#000000" else "#000000", 0.15)
    return f"--button: {colour}; --button-over: {over}; --on-button: {words};"


def web_headers(facts: PageFacts) -> dict[str, str]:
    """Headers of every answer at the web port: only our files load, and only the homeserver is asked."""
    return _headers(origin(facts.homeserver_url))


def admin_headers(facts: PageFacts) -> dict[str, str]:
    """Headers of every answer at the admin port."""
    return _headers("'none'")


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
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
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


def _page(template: str, facts: PageFacts, assets: dict[str, str], **more: object) -> bytes:
    check_links(facts.footer_links)
    page: str = named_template(template).render(facts=facts, asset=assets, **more)
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
    contents = {name: (HERE / "assets" / name).read_bytes() for name in sources}
    contents |= made
    if logo_type not in LOGO_ENDINGS:
        raise SettingsError(f"the logo is of type {logo_type}", "use an svg or png file")
    contents["logo"] = logo or (HERE / "assets" / "logo.svg").read_bytes()
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
