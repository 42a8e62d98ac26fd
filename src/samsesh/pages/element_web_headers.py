"""Headers that Element Web works under: nothing but this server is asked, unless the settings open it further."""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from samsesh import pages
from samsesh.pages.element_web import WebFacts

LONG = "public, max-age=31536000, immutable"  # for names that have a hash of the content
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


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
    # Both are asked for discovery documents: the server's name, and a Jitsi for how it wants to be used.
    asked.append(pages.origin(f"https://{facts.server_name}"))
    if facts.jitsi_domain:
        asked.append(f"https://{facts.jitsi_domain}")
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
