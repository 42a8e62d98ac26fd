"""Element Web made ours: its configuration, its page's name and icon, our welcome within it, headers it works under.

Keys and their meanings: Element Web's docs/config.md, theming.md and labs.md, as of 1.12. Everything that its own
defaults lead elsewhere (integration manager, Jitsi, maps, bug reports) is said here, since what is left out is theirs.
"""

import html
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from samsesh import names, pages
from samsesh.pages import looks, upstream
from samsesh.pages.colours import GROUNDS, compound_style

KEY = "samsesh"  # of our texts among Element Web's
WELCOME = {
    "lead": ("A private place to talk, on {server}.", "گفتگوی خصوصی روی {server}"),
    "invited": ("I have an invitation", "دعوت‌نامه دارم"),
    "closed": (
        "Whoever runs this server makes the accounts.",
        "حساب‌ها را گردانندهٔ این سرور می‌سازد.",  # noqa: RUF001 - Persian
    ),
    "apps": ("Use another app, or a phone", "استفاده با برنامه‌ای دیگر یا با گوشی"),
}
NOWHERE = "jitsi.invalid"  # without one it takes meet.element.io; this name is nobody's (RFC 2606)
# There is none to manage, and the switch for it goes with widgets alone, which calls need.
NO_INTEGRATIONS = ".mx_SetIntegrationManager { display: none; }"
CALL = "widgets/element-call/index.html"  # the Element Call that it brings and shows in rooms


@dataclass(frozen=True)
class WebFacts:
    """What Element Web says and does. URLs have a scheme and no slash at the end."""

    brand: str
    theme: str  # "dark", "light", or "auto", the browser's
    server_name: str
    homeserver_url: str
    web_url: str
    registration: str  # "closed", "token" or "open"
    footer_links: tuple[tuple[str, str], ...]
    any_homeserver: bool = False
    federates: bool = False
    url_previews: bool = False
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
        "index.html": page(index, facts).encode(),
        "config.json": _json(config(facts)),
        "manifest.json": _json(manifest(facts, urls["logo"])),
        "samsesh/welcome.html": _welcome(facts),
        "samsesh/translations.json": _json(translations(facts)),
        **files,
    }


def _welcome(facts: WebFacts) -> bytes:
    """Element Web replaces `$names` and `_t('texts')` in what it embeds before it reads it as HTML (EmbeddedPage.tsx)."""
    from markupsafe import Markup

    brand = html.escape(facts.brand).replace("$", "&#36;").replace("_t(", "&#95;t(")
    template = pages.named_template("element_welcome.html.j2")
    words = {name: Markup(f"_t('{KEY}|{name}')") for name in WELCOME}  # noqa: S704 - names of ours
    if "custom_translations_url" in facts.extra:  # the operator's own, and there is one such file only
        words = {name: Markup(_filled(english, facts)) for name, (english, _) in WELCOME.items()}  # noqa: S704 - escaped
    return template.render(facts=facts, words=words, brand=Markup(brand)).encode()  # noqa: S704 - escaped above


def translations(facts: WebFacts) -> dict[str, dict[str, str]]:
    """Our texts for Element Web's dictionaries: key -> language -> HTML. It falls back to English."""
    return {
        f"{KEY}|{name}": {"en": _filled(english, facts), "fa": _filled(persian, facts)}
        for name, (english, persian) in WELCOME.items()
    }


def _filled(text: str, facts: WebFacts) -> str:
    return text.format(server=f"<b>{html.escape(facts.server_name)}</b>")


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
        "custom_translations_url": "/samsesh/translations.json",
        "embedded_pages": {"welcome_url": "/samsesh/welcome.html", "login_for_welcome": False},
        "permalink_prefix": facts.web_url,
        **({} if facts.theme == "auto" else {"default_theme": facts.theme}),
        "show_labs_settings": False,
        "mobile_guide_toast": True,
        "mobile_guide_app_variant": "element",  # Element X, whose calls are ours
        # Not offered; one text in its settings has a link to it all the same.
        "desktop_builds": {"available": False, "logo": urls["logo"], "url": f"{facts.web_url}/connect"},
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
        "UIFeature.urlPreviews": facts.url_previews,
    }


def page(index: str, facts: WebFacts) -> str:
    """Element Web's index.html with our name, icon and style, and without the picture of its makers' server."""
    for pattern, new in _changes(facts):
        index = re.sub(pattern, lambda _, new=new: new, index, flags=re.DOTALL)  # type: ignore[misc]
    return index


def _changes(facts: WebFacts) -> list[tuple[str, str]]:
    """(regular expression that is the same to Go, what is in its place), in this order."""
    urls, _ = _assets(facts)
    name = html.escape(facts.brand)
    head = f'<title>{name}</title><link rel="icon" href="{urls["logo"]}">'
    head += f'<link rel="stylesheet" href="{urls["element.css"]}">'
    if facts.theme != "auto":
        head += f'<script src="{urls["element.js"]}"></script>'
    return [
        (r'<link rel="(?:apple-touch-)?icon"[^>]*>\s*', ""),
        (r'<meta property="og:image"[^>]*>\s*', ""),
        *(
            (f'<meta name="{of}"[^>]*>', f'<meta name="{of}" content="{name}">')
            for of in ("apple-mobile-web-app-title", "application-name")
        ),
        (r"<title>.*?</title>", head),
    ]


def templates(facts: WebFacts) -> dict[str, bytes]:
    """As `render`, where only a container has Element Web: index.html and call.html are the gateway's templates."""
    script = '<script src="/samsesh/global.js"></script>'
    return {
        **render(facts, ""),
        "index.html": upstream.template("/", _changes(facts)),
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


def _assets(facts: WebFacts) -> tuple[dict[str, str], dict[str, bytes]]:
    style = [(pages.HERE / "assets" / "element.css").read_text()]
    if not facts.extra.get("integrations_ui_url"):
        style.append(NO_INTEGRATIONS)
    if facts.accent:
        style.append(compound_style(facts.accent))
    made = {"element.css": "\n".join(style).encode()}
    if facts.background is None:
        picture = "background.svg"
        made[picture] = looks.backdrop(facts.theme, facts.accent)
    else:
        content, kind = facts.background
        picture = f"background.{pages.PICTURE_ENDINGS[kind]}"
        made[picture] = content
    urls, files = pages.assets(("element.js",), facts.logo, facts.logo_type, made, folder="samsesh/assets")
    return {**urls, "background": urls[picture]}, files


def _json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()
