"""Element Web made ours: its configuration, its page's name and icon, our welcome within it, headers it works under.

Keys and their meanings: Element Web's docs/config.md, theming.md and labs.md, as of 1.12. Everything that its own
defaults lead elsewhere (integration manager, Jitsi, maps, bug reports) is said here, since what is left out is theirs.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from samsesh import names, pages
from samsesh.pages import looks, upstream
from samsesh.pages.colours import GROUNDS, compound, readable

LONG = "public, max-age=31536000, immutable"  # for names that have a hash of the content
NOWHERE = "jitsi.invalid"  # without one it takes meet.element.io; this name is nobody's (RFC 2606)
CALL = "widgets/element-call/index.html"  # the Element Call that it brings and shows in rooms
_ICONS = re.compile(r'<link rel="(?:apple-touch-)?icon"[^>]*>\s*')
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@dataclass(frozen=True)
class WebFacts:
    """What Element Web says and does. URLs have a scheme and no slash at the end."""

    brand: str
    theme: str  # "dark", "light", or "auto", the browser's
    themes: tuple[str, ...]
    server_name: str
    homeserver_url: str
    web_url: str
    registration: str  # "closed", "token" or "open"
    footer_links: tuple[tuple[str, str], ...]
    any_homeserver: bool = False
    federates: bool = False
    # Element Call: the authorization service, LiveKit (ws), and our page where there is one. Empty: no calls of ours.
    rtc_url: str = ""
    livekit_url: str = ""
    call_url: str = ""
    jitsi_domain: str = ""
    help_url: str = ""
    accent: str = ""
    logo: bytes | None = None
    logo_type: str = "image/svg+xml"
    background: tuple[bytes, str] | None = None
    reach: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def calls(self) -> bool:
        return bool(self.rtc_url)


def render(facts: WebFacts, index: str) -> dict[str, bytes]:
    """Path below the folder of what is ours -> content. `index`: Element Web's own index.html."""
    urls, files = _assets(facts)
    return {
        "index.html": page(index, facts, urls["logo"]).encode(),
        "config.json": _json(config(facts)),
        "manifest.json": _json(manifest(facts, urls["logo"])),
        "samsesh/welcome.html": _welcome(facts),
        **files,
    }


def _welcome(facts: WebFacts) -> bytes:
    """Element Web replaces `$names` and `_t('texts')` in what it embeds before it reads it as HTML (EmbeddedPage.tsx)."""
    from markupsafe import Markup

    brand = html.escape(facts.brand).replace("$", "&#36;").replace("_t(", "&#95;t(")
    template = pages.named_template("element_welcome.html.j2")
    return template.render(facts=facts, brand=Markup(brand)).encode()  # noqa: S704 - escaped above


def config(facts: WebFacts) -> dict[str, Any]:
    """The whole of config.json, the operator's own keys over ours."""
    urls, _ = _assets(facts)
    ours = {
        "default_server_config": {
            "m.homeserver": {"base_url": facts.homeserver_url, "server_name": facts.server_name}
        },
        "disable_custom_urls": not facts.any_homeserver,
        "disable_guests": True,
        "disable_3pid_login": True,
        "brand": facts.brand,
        "branding": {
            # Below its own address, whichever people opened it by.
            "auth_header_logo_url": urls["logo"],
            "welcome_background_url": urls["background"],
            "auth_footer_links": [{"text": text, "url": url} for text, url in _foot(facts)],
            "logo_link_url": facts.web_url,
        },
        "embedded_pages": {"welcome_url": "/samsesh/welcome.html", "login_for_welcome": False},
        "permalink_prefix": facts.web_url,
        **({} if facts.theme == "auto" else {"default_theme": _theme_id(facts, facts.theme)}),
        "show_labs_settings": False,
        "mobile_guide_toast": True,
        "mobile_guide_app_variant": "element",  # Element X, whose calls are ours
        "desktop_builds": {"available": False, "logo": urls["logo"], "url": facts.web_url},
        **({"help_url": facts.help_url} if facts.help_url else {}),
        **_calls(facts),
        "integrations_ui_url": None,
        "integrations_rest_url": None,
        "integrations_widgets_urls": [],
        "setting_defaults": _setting_defaults(facts),
    }
    return names.merge_deeply(ours, dict(facts.extra))


def _foot(facts: WebFacts) -> Iterator[tuple[str, str]]:
    """Below log-in and welcome: the operator's links, and ours to what Element Web does not show."""
    pages.check_links(facts.footer_links)
    yield from facts.footer_links
    if facts.registration == "token":
        yield "I have an invitation", f"{facts.web_url}/register"
    yield "Other apps", f"{facts.web_url}/connect"


def _calls(facts: WebFacts) -> dict[str, Any]:
    """Element Call alone, or Jitsi, or one-to-one calls alone."""
    group = ("feature_group_calls", "feature_video_rooms", "feature_element_call_video_rooms")
    element_call: dict[str, Any] = {"use_exclusively": facts.calls, "disable": not facts.calls}
    if facts.call_url and facts.registration == "open":
        element_call["guest_spa_url"] = facts.call_url  # links of calls for people without an account
    return {
        "features": dict.fromkeys(group, facts.calls),
        "element_call": element_call,
        "jitsi": {"preferred_domain": facts.jitsi_domain or NOWHERE},
    }


def _setting_defaults(facts: WebFacts) -> dict[str, Any]:
    themes = [_theme(facts, theme) for theme in facts.themes] if facts.accent else []
    return {
        "UIFeature.registration": facts.registration == "open",  # else by our own page, with an invitation
        "UIFeature.passwordReset": False,  # it takes e-mail
        "UIFeature.identityServer": False,
        "UIFeature.thirdPartyId": False,
        "UIFeature.feedback": False,  # to Element's makers
        "UIFeature.shareSocial": False,
        "UIFeature.locationSharing": "map_style_url" in facts.extra,
        "UIFeature.widgets": bool(facts.jitsi_domain or facts.calls or facts.reach),
        "MessageComposerInput.showStickersButton": bool(facts.extra.get("integrations_ui_url")),
        **({"custom_themes": themes} if themes else {}),
    }


def _theme_id(facts: WebFacts, theme: str) -> str:
    return f"custom-{_theme_name(facts, theme)}" if facts.accent else theme


def _theme_name(facts: WebFacts, theme: str) -> str:
    return f"{facts.brand} {theme}"


def _theme(facts: WebFacts, theme: str) -> dict[str, Any]:
    """One of Element's themes with the operator's colour (theming.md)."""
    words = readable(facts.accent, GROUNDS[theme])
    return {
        "name": _theme_name(facts, theme),
        "is_dark": theme == "dark",
        "colors": {"accent-color": words, "primary-color": words},
        "compound": compound(facts.accent, theme),
    }


def page(index: str, facts: WebFacts, logo: str) -> str:
    """Element Web's index.html with our name and icon, and without the picture of its makers' server."""
    name = html.escape(facts.brand)
    found = re.sub(
        r"<title>.*?</title>", lambda _: f'<title>{name}</title><link rel="icon" href="{logo}">', index
    )
    found = re.sub(r'<meta property="og:image"[^>]*>\s*', "", found)
    for told in ("apple-mobile-web-app-title", "application-name"):
        found = re.sub(rf'(<meta name="{told}" content=)"[^"]*"', lambda match: f'{match[1]}"{name}"', found)
    head, icon, rest = found.partition(f'<link rel="icon" href="{logo}">')
    return head + icon + _ICONS.sub("", rest)


def templates(facts: WebFacts) -> dict[str, bytes]:
    """As `render`, where only a container has Element Web: index.html and call.html are the gateway's templates."""
    urls, _ = _assets(facts)
    name = html.escape(facts.brand)
    changes = [
        (_ICONS.pattern, ""),
        (r'<meta property="og:image"[^>]*>', ""),
        (r"<title>.*?</title>", f'<title>{name}</title><link rel="icon" href="{urls["logo"]}">'),
    ]
    changes += [
        (f'<meta name="{told}"[^>]*>', f'<meta name="{told}" content="{name}">')
        for told in ("apple-mobile-web-app-title", "application-name")
    ]
    script = '<script src="/samsesh/global.js"></script>'
    return {
        **render(facts, ""),
        "index.html": upstream.template("/", changes),
        "call.html": upstream.template(f"/{CALL}", [(upstream.INLINE, script)]),
        "samsesh/global.js": upstream.GLOBAL_JS,
    }


def manifest(facts: WebFacts, logo: str) -> dict[str, Any]:
    """What a browser calls it that installs it (W3C: Web Application Manifest)."""
    ground = GROUNDS.get(facts.theme, GROUNDS["light"])  # there is one for both themes
    return {
        "name": facts.brand,
        "short_name": facts.brand[:12],
        "display": "standalone",
        "start_url": "/",
        "background_color": ground,
        "theme_color": ground,
        "icons": [{"src": logo, "sizes": "any", "type": facts.logo_type if facts.logo else "image/svg+xml"}],
    }


def headers(facts: WebFacts) -> dict[str, str]:
    """Headers of every answer of Element Web. Its index.html has a wider policy of its own; a browser keeps both."""
    return _headers(facts, ())


def call_headers(facts: WebFacts, index: str) -> dict[str, str]:
    """The same for the Element Call in it, whose inline scripts are known by their hashes. `index`: its index.html."""
    found = (
        base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in _INLINE.findall(index)
    )
    return _headers(facts, tuple(f"'sha256-{value}'" for value in found))


def _headers(facts: WebFacts, scripts: tuple[str, ...]) -> dict[str, str]:
    known = sorted({*map(pages.origin, facts.reach), *_named(facts.extra)})
    homeserver = pages.origin(facts.homeserver_url)
    pictures, asked = [homeserver, *known], [homeserver, *known, *_call_origins(facts)]
    if facts.any_homeserver:
        pictures.append("https:")
    if facts.any_homeserver or (facts.calls and facts.federates):
        asked += ["https:", "wss:"]  # calls of other servers' people are on those servers
    shown = [*known, *([pages.origin(facts.call_url)] if facts.call_url else [])]
    if facts.jitsi_domain:
        shown.append(f"https://{facts.jitsi_domain}")
    policy = {
        "default-src": "'none'",
        "script-src": " ".join(["'self'", "'wasm-unsafe-eval'", *scripts]),
        "style-src": "'self' 'unsafe-inline'",  # its components set styles of their own
        "img-src": " ".join(["'self'", "data:", "blob:", *pictures]),
        "media-src": " ".join(["'self'", "data:", "blob:", *pictures]),
        "font-src": "'self' data:",
        "connect-src": " ".join(dict.fromkeys(["'self'", "data:", "blob:", *asked])),
        "frame-src": " ".join(["'self'", "data:", "blob:", *shown]),
        "child-src": "'self' data: blob:",
        "worker-src": "'self' blob:",
        "manifest-src": "'self'",
        "form-action": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'self'",  # it shows parts of itself in frames
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "SAMEORIGIN",
        "Permissions-Policy": f"geolocation=({'self' if 'map_style_url' in facts.extra else ''}), payment=(), usb=()",
        "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
        "Cache-Control": "no-cache",  # asked for each time: after an update everybody sees the new one
    }


def _call_origins(facts: WebFacts) -> list[str]:
    if not facts.calls:
        return []
    livekit = pages.origin("http" + facts.livekit_url.removeprefix("ws"))
    return [pages.origin(facts.rtc_url), livekit, "ws" + livekit.removeprefix("http")]


def _named(value: Any) -> Iterator[str]:
    """Origins of all addresses in the operator's own keys."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _named(part)
    elif isinstance(value, str) and value.startswith(("https://", "http://")):
        yield pages.origin(value)


def _assets(facts: WebFacts) -> tuple[dict[str, str], dict[str, bytes]]:
    name = "background.svg"
    made = {name: looks.backdrop(facts.theme, facts.accent)}
    if facts.background is not None:
        content, kind = facts.background
        name = f"background.{pages.PICTURE_ENDINGS[kind]}"
        made = {name: content}
    urls, files = pages.assets((), facts.logo, facts.logo_type, made, folder="samsesh/assets")
    return {"logo": urls["logo"], "background": urls[name]}, files


def _json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()
