"""What is made for Element Web: keys that it documents, nobody else's servers, a page and headers of ours."""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from element_web import CALL_INDEX, HASH, INDEX
from pages.test_render import NASTY, Names
from samsesh import pages
from samsesh.errors import SettingsError
from samsesh.pages import colours, element_web, element_web_headers
from samsesh.pages.element_web import WebFacts

FACTS = WebFacts(
    brand="SamSesh Chat",
    theme="dark",
    server_name="example.org",
    homeserver_url="https://matrix.example.org",
    web_url="https://chat.example.org",
    registration="token",
    footer_links=(("SamSesh", "https://samsesh.net"), ("Donate", "https://donate.samsesh.net")),
    rtc_url="https://rtc.example.org/livekit/jwt",
    livekit_url="wss://rtc.example.org/livekit/sfu",
    call_url="https://call.example.org",
)
# Every way to call, register and look.
ALL = (
    FACTS,
    replace(FACTS, registration="open", any_homeserver=True, federates=True, accent="#ffcc00", theme="light"),
    replace(
        FACTS, registration="closed", rtc_url="", livekit_url="", call_url="", jitsi_domain="meet.example.org"
    ),
    replace(
        FACTS,
        rtc_url="",
        livekit_url="",
        call_url="",
        footer_links=(),
        background=(b"\xff\xd8\xff", "image/jpeg"),
    ),
)
# Element Web 1.12: docs/config.md, docs/theming.md and what its own defaults and sample configuration have.
DOCUMENTED = {
    "": {
        *("default_server_config", "disable_custom_urls", "disable_guests", "disable_3pid_login", "brand"),
        *(
            "branding",
            "embedded_pages",
            "permalink_prefix",
            "custom_translations_url",
            "default_theme",
            "show_labs_settings",
            "help_url",
        ),
        *(
            "mobile_guide_toast",
            "mobile_guide_app_variant",
            "desktop_builds",
            "features",
            "element_call",
            "jitsi",
        ),
        *("integrations_ui_url", "integrations_rest_url", "integrations_widgets_urls", "setting_defaults"),
    },
    "default_server_config": {"m.homeserver"},
    "branding": {"auth_header_logo_url", "welcome_background_url", "auth_footer_links", "logo_link_url"},
    "embedded_pages": {"welcome_url", "home_url", "login_for_welcome"},
    "desktop_builds": {"available", "logo", "url"},
    "features": {"feature_group_calls", "feature_video_rooms", "feature_element_call_video_rooms"},
    "element_call": {"guest_spa_url", "use_exclusively", "disable", "brand"},
    "jitsi": {"preferred_domain"},
    "setting_defaults": {
        *(
            "UIFeature.registration",
            "UIFeature.passwordReset",
            "UIFeature.identityServer",
            "UIFeature.thirdPartyId",
        ),
        *("UIFeature.feedback", "UIFeature.shareSocial", "UIFeature.locationSharing", "UIFeature.widgets"),
        *("MessageComposerInput.showStickersButton", "UIFeature.urlPreviews"),
    },
}


def policy(headers: dict[str, str]) -> dict[str, str]:
    return dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))


def addresses(value: Any) -> set[str]:
    """Hosts of all addresses in a configuration."""
    return set(re.findall(r"(?:https?|wss?)://([^/\" ]+)", json.dumps(value)))


@pytest.mark.parametrize("facts", ALL)
def test_keys_are_documented_ones(facts: WebFacts) -> None:
    """What Element Web does not know it passes over in silence: no key of ours is such a one."""
    config = element_web.config(facts)
    for place, known in DOCUMENTED.items():
        assert (config[place] if place else config).keys() <= known, place


@pytest.mark.parametrize("facts", ALL)
def test_nobody_else_is_asked(facts: WebFacts) -> None:
    """No identity server, integration manager, Jitsi, map, analytics or bug reports of others, also not by default."""
    config = element_web.config(facts)
    ours = {"matrix.example.org", "chat.example.org", "call.example.org"}
    links = {url.split("/")[2] for _, url in facts.footer_links}
    assert addresses(config) <= ours | links
    assert config["default_server_config"].keys() == {"m.homeserver"}
    assert (
        config["integrations_ui_url"] is None and config["integrations_rest_url"] is None
    )  # else scalar.vector.im
    assert config["jitsi"]["preferred_domain"] == (
        facts.jitsi_domain or "jitsi.invalid"
    )  # else meet.element.io
    assert config.keys().isdisjoint({"posthog", "sentry", "bug_report_endpoint_url", "map_style_url"})
    for name in ("connect-src", "frame-src", "img-src", "script-src"):
        found = addresses(policy(element_web_headers.headers(facts))[name])
        assert found <= ours | {"rtc.example.org", facts.server_name, facts.jitsi_domain}


def test_calls_are_ours_or_jitsi_or_none() -> None:
    """Element Call alone where it runs; Jitsi with its domain; else one-to-one calls."""
    with_calls, opened, jitsi, none = map(element_web.config, ALL)
    assert with_calls["element_call"] == {"use_exclusively": True, "disable": False}
    assert opened["element_call"]["guest_spa_url"] == FACTS.call_url  # guests can make an account there
    assert all(with_calls["features"].values()) and not any(jitsi["features"].values())
    assert jitsi["element_call"]["disable"] and none["element_call"]["disable"]
    assert "https://meet.example.org" in policy(element_web_headers.headers(ALL[2]))["frame-src"]


def test_homeserver_registration_and_links() -> None:
    """Fixed or open; sign-up as set, with invitations by our own page; share links open here."""
    token, opened, closed, _ = map(element_web.config, ALL)
    assert token["disable_custom_urls"] and not opened["disable_custom_urls"]
    shown = [config["setting_defaults"]["UIFeature.registration"] for config in (token, opened, closed)]
    assert shown == [False, True, False]
    feet = [
        {link["url"] for link in config["branding"]["auth_footer_links"]}
        for config in (token, opened, closed)
    ]
    assert [FACTS.web_url + "/register" in foot for foot in feet] == [True, False, False]
    assert all({FACTS.web_url + "/connect", "https://donate.samsesh.net"} <= foot for foot in feet)
    assert token["permalink_prefix"] == FACTS.web_url
    pages_ = [element_web.render(facts, INDEX)["samsesh/welcome.html"].decode() for facts in ALL[:3]]
    assert ["/register" in page for page in pages_] == [True, True, False]
    assert "samsesh|invited" in pages_[0] and "#/register" in pages_[1] and "samsesh|closed" in pages_[2]


def test_the_operators_keys_count() -> None:
    """What extra.element_web says is merged deeply over ours, and its addresses may be reached."""
    extra = {
        "posthog": {"api_host": "https://posthog.example.net/x", "project_api_key": "k"},
        "element_call": {"brand": "Talk"},
        "map_style_url": "https://maps.example.net/style.json?key=k",
    }
    facts = replace(FACTS, extra=extra, reach=("https://widgets.example.net",))
    config = element_web.config(facts)
    assert config["element_call"] == {"use_exclusively": True, "disable": False, "brand": "Talk"}
    assert config["posthog"] == extra["posthog"] and config["setting_defaults"]["UIFeature.locationSharing"]
    asked = policy(element_web_headers.headers(facts))["connect-src"].split()
    assert {"https://posthog.example.net", "https://maps.example.net", "https://widgets.example.net"} <= set(
        asked
    )
    assert "https://widgets.example.net" in policy(element_web_headers.headers(facts))["frame-src"]
    assert "geolocation=(self)" in element_web_headers.headers(facts)["Permissions-Policy"]


@pytest.mark.parametrize(
    "colour", ["#000000", "#ffffff", "#808080", "#ff0000", "#00ff00", "#0000ff", "#0a7d5a"]
)
@pytest.mark.parametrize("ground", ["#101317", "#131626", "#ffffff"])
def test_every_colour_becomes_readable(colour: str, ground: str) -> None:
    """Whatever the colour, words in it can be read; one that can be read already stays."""
    found = colours.readable(colour, ground)
    assert colours.contrast(found, ground) >= colours.LEAST
    assert colours.readable(found, ground) == found


def test_its_page_is_ours() -> None:
    """Name, icon and no picture of its makers' server; everything else is as it was built."""
    files = element_web.render(replace(FACTS, brand=NASTY), INDEX)
    page = Names(files["index.html"])
    told = {found.get("name"): found.get("content") for tag, found in page.tags if tag == "meta"}
    assert told["application-name"] == told["apple-mobile-web-app-title"] == NASTY
    assert b"element.io" not in files["index.html"] and b"<script>alert" not in files["index.html"]
    icons = [found["href"] for tag, found in page.tags if "icon" in (found.get("rel") or "")]
    assert len(icons) == 1 and str(icons[0]).lstrip("/") in files
    assert json.loads(files["manifest.json"])["name"] == NASTY
    scripts = [src for src in page.values("src") if src.endswith(".js")]
    assert scripts[1:] == Names(INDEX.encode()).values("src")
    styles = [found["href"] for tag, found in page.tags if found.get("rel") == "stylesheet"]
    assert {scripts[0].lstrip("/"), str(styles[0]).lstrip("/")} <= files.keys()
    assert styles[1:] == [f"bundles/{HASH}/bundle.css"]


def test_no_word_becomes_a_tag_in_the_welcome() -> None:
    """Element Web puts our welcome into its page as it is."""
    nasty = Names(element_web.render(replace(FACTS, brand=NASTY), INDEX)["samsesh/welcome.html"])
    clean = Names(element_web.render(FACTS, INDEX)["samsesh/welcome.html"])
    assert [tag for tag, _ in nasty.tags] == [tag for tag, _ in clean.tags]


def test_every_text_of_the_welcome_is_translated() -> None:
    """English and Persian of every key that the page asks for; an operator's own dictionary leaves no key in sight."""
    for facts in ALL:
        files = element_web.render(facts, INDEX)
        asked = set(re.findall(r"_t\('(samsesh[^']+)'\)", files["samsesh/welcome.html"].decode()))
        texts = json.loads(files[element_web.config(facts)["custom_translations_url"].lstrip("/")])
        assert asked and all(texts[key].keys() == {"en", "fa"} for key in asked)
        assert all("{" not in text for key in asked for text in texts[key].values())
    lead = texts["samsesh|lead"]
    assert "<b>example.org</b>" in lead["fa"] and "private place" in lead["en"]
    own = replace(FACTS, extra={"custom_translations_url": "https://example.net/texts.json"})
    page = element_web.render(own, INDEX)["samsesh/welcome.html"].decode()
    assert "samsesh|" not in page and "I have an invitation" in page and "<b>example.org</b>" in page


def test_what_leads_nowhere_is_off() -> None:
    """URL previews where the server makes none, the switch of an integration manager, links to desktop programs."""
    off, on = element_web.config(FACTS), element_web.config(replace(FACTS, url_previews=True))
    assert [each["setting_defaults"]["UIFeature.urlPreviews"] for each in (off, on)] == [False, True]
    assert off["desktop_builds"]["available"] is False
    assert off["desktop_builds"]["url"] == "https://chat.example.org/connect"
    own = replace(FACTS, extra={"integrations_ui_url": "https://dimension.example.net"})
    styles = [
        next(content for path, content in element_web.render(facts, INDEX).items() if path.endswith(".css"))
        for facts in (FACTS, own)
    ]
    assert [b"mx_SetIntegrationManager" in style for style in styles] == [True, False]


def test_the_theme_that_it_opens_with() -> None:
    """The server's, which its script makes count before the browser's; with `auto`, the browser's."""
    files = element_web.render(FACTS, INDEX)
    assert json.loads(files["config.json"])["default_theme"] == "dark"
    assert b"/samsesh/assets/element." in files["index.html"] and b"<script src" in files["index.html"]
    auto = element_web.render(replace(FACTS, theme="auto"), INDEX)
    assert "default_theme" not in json.loads(auto["config.json"])
    assert len(Names(auto["index.html"]).values("src")) == 1 and json.loads(auto["manifest.json"])


def test_the_policy() -> None:
    """Scripts are files, in calls the inline ones that are known; this server alone is asked unless it is to be more."""
    found = policy(element_web_headers.headers(FACTS))
    assert found["script-src"] == "'self' 'wasm-unsafe-eval'" and found["default-src"] == "'none'"
    assert "*" not in str(found) and "unsafe-eval" not in found["style-src"]
    asked = set(found["connect-src"].split())
    assert {"https://matrix.example.org", "https://rtc.example.org", "wss://rtc.example.org"} <= asked
    assert (
        "https://example.org" in asked
    )  # its discovery document, which Element Web asks for without federation, too
    jitsi = policy(element_web_headers.headers(ALL[2]))
    assert "https://meet.example.org" in jitsi["connect-src"].split()  # and a Jitsi's, at the same place
    assert "https:" not in asked and "https:" not in found["img-src"].split()
    assert found["frame-ancestors"] == "'self'"
    in_calls = policy(element_web_headers.call_headers(FACTS, CALL_INDEX))
    assert in_calls["script-src"].count("'sha256-") == 1 and "unsafe-inline" not in in_calls["script-src"]
    wide = policy(element_web_headers.headers(replace(FACTS, any_homeserver=True)))
    assert {"https:", "wss:"} <= set(wide["connect-src"].split()) and "https:" in wide["img-src"].split()
    federated = policy(element_web_headers.headers(replace(FACTS, federates=True)))
    assert {"https:", "wss:"} <= set(federated["connect-src"].split())  # LiveKit of another server's people
    assert "https:" not in federated["img-src"].split()


def test_bad_links_are_refused() -> None:
    """As on our own pages."""
    with pytest.raises(SettingsError, match=r"brand\.footer_links"):
        element_web.config(replace(FACTS, footer_links=(("Click", "javascript:alert(1)"),)))


def test_our_pages_beside_it() -> None:
    """Sign-up leads to its log-in; the page for any other client says so, and why it is missing where it is."""
    from pages.server import FACTS as PAGE

    beside = pages.render_web(replace(PAGE, client=True))
    assert (
        b'href="/#/login"' in beside["en/register.html"]
        and b"Connect with any app" in beside["en/index.html"]
    )
    missing = pages.render_web(replace(PAGE, no_client="the answer was 404"))["en/index.html"].decode()
    assert "the answer was 404" in missing and "Any other Matrix app" in missing
    assert "Element Web" not in pages.render_web(PAGE)["en/index.html"].decode()
    without = replace(PAGE, no_calls="LiveKit could not be got")
    for page in (pages.render_web(without)["en/index.html"], pages.render_admin(without)["en/admin.html"]):
        assert "There are no calls yet: " in page.decode() and "LiveKit could not be got" in page.decode()


def test_our_pages_take_colour_and_picture() -> None:
    """The same accent, readable in both themes, and the same picture; without them nothing of it is loaded."""
    from pages.server import FACTS as PAGE

    assert not any(name.startswith("assets/brand") for name in pages.render_web(PAGE))
    files = pages.render_web(replace(PAGE, accent="#0a7d5a", background=(b"\x89PNG", "image/png")))
    style = next(content.decode() for name, content in files.items() if name.startswith("assets/brand"))
    picture = next(name for name in files if name.startswith("assets/background"))
    assert f'url("/{picture}")' in style and "--button: #0a7d5a" in style
    assert "brand" in str(Names(files["en/index.html"]).values("href"))
    one = pages.render_web(replace(PAGE, one_theme=True))["en/index.html"]
    assert b'data-only="yes"' in one
