"""Element Call's page made ours: its name, its configuration, and headers under which it works.

Upstream's page stays as it is built; a script and a style of ours are loaded beside it.
"""

import base64
import hashlib
import html
import re
from dataclasses import dataclass
from typing import Any

from samsesh import pages
from samsesh.errors import SettingsError
from samsesh.pages import looks, upstream
from samsesh.pages.colours import compound_style

_TITLE = re.compile(r"<title>.*?</title>", re.DOTALL)
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@dataclass(frozen=True)
class CallFacts:
    """What the page and its configuration say. URLs have a scheme and no slash at the end."""

    brand: str
    theme: str  # "dark", "light", or "auto", the browser's
    server_name: str
    homeserver_url: str
    rtc_url: str
    livekit_url: str
    call_url: str
    web_url: str
    registration: str  # "closed", "token" or "open"
    logo: bytes | None = None  # None: our own
    logo_type: str = "image/svg+xml"
    accent: str = ""  # "#rrggbb"; empty: our own colours
    background: tuple[bytes, str] | None = None  # the operator's picture, and its type

    @property
    def register_url(self) -> str:
        """Where people get an account, or read how."""
        return f"{self.web_url}/register"


def page(index: str, facts: CallFacts) -> tuple[bytes, tuple[str, ...]]:
    """(upstream's index.html with what is ours, hashes of its inline scripts for the content security policy)."""
    head, found = _TITLE.subn(lambda _: _head(facts), index, count=1)
    if not found:
        raise SettingsError(
            "the index.html of Element Call has no title, so it is another page",
            "correct artifacts.element_call, or leave it out",
        )
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in _INLINE.findall(index)
    ]
    return head.encode(), tuple(f"'sha256-{value}'" for value in hashes)


def template(facts: CallFacts) -> bytes:
    """As `page`, for one that only a container has. Our script does what upstream's inline one does."""
    return upstream.template("/", [(upstream.INLINE, ""), (_TITLE.pattern, _head(facts))])


def _head(facts: CallFacts) -> str:
    """In the place of upstream's title: ours, and our script, which has to run before upstream's."""
    urls, _ = _assets(facts)
    told = {
        "brand": facts.brand,
        "logo": urls["logo"],
        "theme": facts.theme,
        "homeserver": facts.homeserver_url,
        "registration": facts.registration,
        "register": facts.register_url,
    }
    data = " ".join(f'data-{name}="{html.escape(value)}"' for name, value in told.items())
    links = "".join(f'<link rel="stylesheet" href="{urls[name]}">' for name in ("call.css", "brand.css"))
    return (
        f"<title>{html.escape(facts.brand)}</title>"
        f'<link rel="icon" href="{urls["logo"]}">'
        f"{links}"
        f'<script src="{urls["call.js"]}" {data}></script>'
    )


def config(facts: CallFacts) -> dict[str, Any]:
    """config.json (upstream's docs: config.sample.json, ConfigOptions)."""
    return config_json(facts.homeserver_url, facts.server_name, facts.rtc_url)


def config_json(homeserver_url: str, server_name: str, rtc_url: str) -> dict[str, Any]:
    return {
        "default_server_config": {"m.homeserver": {"base_url": homeserver_url, "server_name": server_name}},
        "livekit": {"livekit_service_url": rtc_url},
    }


def assets(facts: CallFacts) -> dict[str, bytes]:
    """Path below the page's root -> content, of what is ours."""
    return _assets(facts)[1]


def _assets(facts: CallFacts) -> tuple[dict[str, str], dict[str, bytes]]:
    made: dict[str, bytes] = {}
    picture = ""
    if facts.background is not None:
        content, kind = facts.background
        picture = f"background.{pages.PICTURE_ENDINGS[kind]}"
        made[picture] = content
    made["brand.css"] = _brand(facts.accent, picture)
    return pages.assets(("call.css", "call.js"), facts.logo, facts.logo_type, made, folder="samsesh/assets")


def _brand(accent: str, picture: str) -> bytes:
    """Our colours, and our picture in the place of upstream's. Its own rules name the class of a theme twice."""
    lines = [compound_style(accent or looks.ACCENT)]
    for theme in looks.THEMES:
        behind = f"{3 * f'.cpd-theme-{theme}'}[data-element-call-root][data-background]::before"
        lines.append(f"{behind} {{ background: {looks.behind(theme, accent, picture)} }}")
    return "\n".join(lines).encode()


def headers(facts: CallFacts, scripts: tuple[str, ...]) -> dict[str, str]:
    """Headers of every answer at the call port: only this server is asked, and only this page is shown in frames."""
    homeserver, rtc, livekit = map(
        pages.origin, (facts.homeserver_url, facts.rtc_url, "http" + facts.livekit_url.removeprefix("ws"))
    )
    policy = {
        "default-src": "'self'",
        "script-src": " ".join(["'self'", "'wasm-unsafe-eval'", *scripts]),
        "worker-src": "'self' blob:",
        "style-src": "'self' 'unsafe-inline'",  # its components set styles of their own
        "img-src": f"'self' data: blob: {homeserver}",
        "media-src": "'self' data: blob:",
        "connect-src": " ".join(
            # LiveKit's address is asked by http before its socket is opened.
            ["'self'", "data:", "blob:", homeserver, rtc, livekit, "ws" + livekit.removeprefix("http")]
        ),
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": f"'self' {pages.origin(facts.web_url)}",  # the web client shows it as a widget
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Permissions-Policy": "geolocation=(), payment=(), usb=()",
        "Cache-Control": "no-cache",
    }
