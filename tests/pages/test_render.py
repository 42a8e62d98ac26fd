"""What is rendered, without a browser."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pages.server import FACTS
from samsesh import pages
from samsesh.errors import SettingsError
from samsesh.pages import looks
from samsesh.pages.words import LANGUAGES, catalogue
from samsesh.settings import Settings

NASTY = """<script>alert("1")</script> & 'quoted' {{ 7*7 }}"""


class Names(HTMLParser):
    """Tags, attributes and addresses of a page."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def values(self, *attributes: str) -> list[str]:
        return [found[name] or "" for _, found in self.tags for name in attributes if name in found]


def all_pages(facts: pages.PageFacts) -> list[bytes]:
    rendered = [
        *pages.render_web(facts).items(),
        *pages.render_admin(facts).items(),
        *pages.render_errors(facts).items(),
    ]
    return [content for name, content in rendered if name.endswith(".html")]


@pytest.mark.parametrize("mode", ["closed", "token", "open"])
def test_nasty_words_stay_words(mode: str) -> None:
    """A brand or a link's text is text, whatever it looks like: no page gets a tag or a value from it."""
    facts = replace(FACTS, registration=mode, own_ca=True)
    nasty = replace(facts, brand=NASTY, footer_links=((NASTY, 'https://example.org/"onclick=1'),))
    clean = replace(facts, footer_links=(("Blog", "https://example.org/"),))
    for mine, theirs in zip(all_pages(nasty), all_pages(clean), strict=True):
        assert [tag for tag, _ in Names(mine).tags] == [tag for tag, _ in Names(theirs).tags]
        assert "onclick" not in {name for _, found in Names(mine).tags for name in found}
        assert b"&lt;script&gt;" in mine
        assert b"{{ 7*7 }}" in mine


@pytest.mark.parametrize(
    "url",
    ["javascript:alert(1)", " JavaScript:alert(1)", "data:text/html,x", "vbscript:x", "//example.org", ""],
)
def test_links_that_run_scripts_are_refused(url: str) -> None:
    """A footer link leads somewhere; everything else is an error that names the setting."""
    with pytest.raises(SettingsError, match=r"brand\.footer_links"):
        pages.render_web(replace(FACTS, footer_links=(("Click", url),)))
    with pytest.raises(SettingsError, match=r"brand\.footer_links"):
        pages.render_admin(replace(FACTS, footer_links=(("Click", url),)))


def test_the_policy_lets_only_our_files_run() -> None:
    """No unsafe-anything, no wildcard, no third party: everything off, then our files and the homeserver."""
    for headers, connect in (
        (pages.web_headers(FACTS), FACTS.homeserver_url),
        (pages.admin_headers(FACTS), "'none'"),
    ):
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["connect-src"] == connect
        for name in ("script-src", "style-src", "img-src"):
            assert policy[name] == "'self'"
        for name in ("frame-ancestors", "base-uri", "form-action"):
            assert policy[name] == "'none'"
        assert not re.search(r"unsafe|\*|data:|blob:", headers["Content-Security-Policy"])
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Permissions-Policy" in headers
        assert "Cache-Control" in headers


@pytest.mark.parametrize(
    "url", ["http://localhost:8008; script-src *", "ftp://localhost", "localhost:8008", ""]
)
def test_an_address_cannot_widen_the_policy(url: str) -> None:
    """What is no plain http(s) address never reaches the header."""
    with pytest.raises(SettingsError):
        pages.web_headers(replace(FACTS, homeserver_url=url))


@pytest.mark.parametrize("mode", ["closed", "token", "open"])
def test_pages_load_only_what_is_rendered(mode: str) -> None:
    """Each script, style and image is a file of ours that is there; nothing is inline."""
    facts = replace(FACTS, registration=mode)
    for rendered in (pages.render_web(facts), pages.render_admin(facts)):
        for name, content in rendered.items():
            if name.endswith(".html"):
                found = Names(content)
                loaded = [attributes["href"] or "" for tag, attributes in found.tags if tag == "link"]
                assert {path.removeprefix("/") for path in [*found.values("src"), *loaded]} <= rendered.keys()
                assert not [tag for tag, _ in found.tags if tag == "style"]
                assert not [
                    key for _, attributes in found.tags for key in attributes if re.match("on|style", key)
                ]
                assert all("src" in attributes for tag, attributes in found.tags if tag == "script")
            for imported in re.findall(rb'from "([^"]+)"', content) if name.endswith(".js") else ():
                assert imported.decode().removeprefix("/") in rendered


def test_names_of_assets_follow_their_content() -> None:
    """The same facts give the same bytes; another logo gives another name, and all other assets keep theirs."""
    before = pages.render_web(FACTS)
    assert pages.render_web(FACTS) == before
    after = pages.render_web(replace(FACTS, logo=b"\x89PNG another", logo_type="image/png"))
    logo = {name for name in after if name not in before}
    assert len(logo) == 1
    assert re.fullmatch(r"assets/logo\.[0-9a-f]{12}\.png", logo.pop())


def test_the_welcome_page_says_how_to_connect() -> None:
    """Address, deep link, and the apps of the project's documentation."""
    links = set(Names(pages.render_web(FACTS)["en/index.html"]).values("href"))
    assert {
        "https://apps.apple.com/us/app/element-messenger/id1083446067",
        "https://play.google.com/store/apps/details?id=im.vector.app&hl=en&gl=US",
        "https://cafebazaar.ir/app/im.vector.app",
        "https://apps.apple.com/app/element-x-secure-chat-call/id1631335820",
        "https://play.google.com/store/apps/details?id=io.element.android.x",
        "https://samsesh.net",
        pages.element_x_link("localhost"),
    } <= links


def test_a_trial_offers_nothing_that_cannot_connect() -> None:
    """No QR code of localhost and no app for phones, before and after sign-up; but administration, and the ssh line."""
    files = pages.render_web(replace(FACTS, local_only=True))
    for name, content in files.items():
        assert not name.startswith("assets/element-x")
        if name.endswith(".html"):
            assert not re.search(rb"Element X|mobile\.element\.io|apps\.apple|play\.google", content), name
    text = without_spans(files["en/index.html"])
    assert "http://localhost:8081" in Names(files["en/index.html"]).values("href")
    assert "ssh -L 8080:localhost:8080 -L 8008:localhost:8008 -L 8081:localhost:8081 " in text
    assert "ssh -L" not in pages.render_web(FACTS)["en/index.html"].decode()


def without_spans(page: bytes) -> str:
    """Each word of a command is in one."""
    return re.sub("</?span>", "", page.decode())


def test_every_word_is_there_in_every_language() -> None:
    """One catalogue: each text in each language, with the same things filled in, and the same tags but for `bdi`."""
    for section, texts in catalogue().items():
        for key, by_language in texts.items():
            assert by_language.keys() == LANGUAGES.keys(), f"{section}.{key}"
            first, *others = by_language.values()
            for other in others:
                assert filled(first) == filled(other), f"{section}.{key}"
                assert tags(first) == tags(other), f"{section}.{key}"


def filled(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


def tags(text: str) -> list[str]:
    return sorted(tag for tag, _ in Names(text.encode()).tags if tag != "bdi")


def test_no_words_stand_in_templates_or_scripts() -> None:
    """Every text of the catalogue is used, and pages in another language have none of English's whole sentences."""
    folder = Path(pages.__file__).parent
    sources = "".join(path.read_text() for path in [*folder.glob("templates/*"), *folder.glob("assets/*.js")])
    sources += (folder / "links.py").read_text()
    for key in catalogue()["script"]:
        assert re.search(rf'[."]{key}\b', sources), key
    sentence = re.compile(r">[^<>]*\b[A-Za-z]+ [a-z]+ [a-z]+ [a-z]+[^<>]*<")
    web = pages.render_web(replace(FACTS, own_ca=True, call_url="http://localhost:8082"))
    for name, content in {**web, **pages.render_admin(FACTS), **pages.render_errors(FACTS)}.items():
        if name.startswith("fa/"):
            text = re.sub(
                r"<(code|em|style|script)[^>]*>.*?</\1>|<meta[^>]*>", "", content.decode(), flags=re.DOTALL
            )
            assert sentence.findall(text) == [], name
            assert '<html lang="fa" dir="rtl"' in text


@pytest.mark.parametrize(
    ("theme", "media"), [("dark", "not all"), ("light", "all"), ("auto", "(prefers-color-scheme: light)")]
)
def test_the_theme(theme: str, media: str) -> None:
    """A page opens with the theme that is set, or the browser's, also without scripts."""
    for page in all_pages(replace(FACTS, theme=theme)):
        found = next(attributes for _, attributes in Names(page).tags if attributes.get("id") == "light")
        assert found["media"] == media


def test_footer_links_follow_the_brand() -> None:
    """Under a name of the operator's own nobody is led to Samsesh's sites, unless the operator says so."""
    link = {"text": "Blog", "url": "https://example.org/"}
    assert len(Settings().brand.footer_links) == 3
    assert Settings.model_validate({"brand": {"name": "Garden"}}).brand.footer_links == []
    assert (
        len(Settings.model_validate({"brand": {"name": "Garden", "footer_links": [link]}}).brand.footer_links)
        == 1
    )


@pytest.mark.parametrize(
    ("theme", "themes", "opening"),
    [
        *(("auto", ["light", "dark"], "auto"), ("auto", ["dark"], "dark"), ("auto", [], "auto")),
        *(("dark", ["light"], "light"), ("light", ["light", "dark"], "light")),
    ],
)
def test_the_opening_theme(theme: str, themes: list[str], opening: str) -> None:
    """The browser's counts only where there are both."""
    brand = {"theme": theme, "themes": themes}
    assert Settings.model_validate({"brand": brand}).brand.opening_theme == opening


@pytest.mark.parametrize("accent", ["", "#0a7d5a"])
def test_the_picture_for_other_pages(accent: str) -> None:
    """The same light as behind our own pages, of the theme or of both by the browser's choice."""
    dark, light, auto = (looks.backdrop(theme, accent).decode() for theme in ("dark", "light", "auto"))
    for theme, picture in (("dark", dark), ("light", light)):
        for colour in (looks.GROUNDS[theme], *looks.glows(theme, accent)):
            assert colour in picture and colour in auto
    assert "prefers-color-scheme" in auto and "prefers-color-scheme" not in dark + light


def test_error_pages_are_whole() -> None:
    """They load nothing, so that they can be shown at any address of any host; their policy knows what is in them."""
    for facts in (FACTS, replace(FACTS, accent="#0a7d5a", logo=b"\x89PNG", logo_type="image/png")):
        for name, content in pages.render_errors(facts).items():
            found = Names(content)
            loaded = [*found.values("src"), *(one["href"] or "" for tag, one in found.tags if tag == "link")]
            assert all(url.startswith("data:image/") for url in loaded), name
            policy = next(one["content"] or "" for _, one in found.tags if "http-equiv" in one)
            assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
            inline = re.findall(
                r"<(?:style|script)[^>]*>(.*?)</(?:style|script)>", content.decode(), re.DOTALL
            )
            assert len(inline) == 3
            for text in inline:
                assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy


@pytest.mark.parametrize(
    ("mode", "welcome", "form"),
    [
        ("closed", "ask them for one", False),
        ("token", "invitation", True),
        ("open", "No invitation is needed", True),
    ],
)
def test_pages_say_who_may_register(mode: str, welcome: str, form: bool) -> None:
    """The welcome page and the sign-up page say the same: whether one can register, and what it takes."""
    rendered = pages.render_web(replace(FACTS, registration=mode))
    assert welcome in rendered["en/index.html"].decode()
    assert ("form" in [tag for tag, _ in Names(rendered["en/register.html"]).tags]) is form
    assert (
        "register.js" in str([*Names(rendered["en/register.html"]).values("src")]).replace(".", " ")
    ) is False
    assert any("register." in src for src in Names(rendered["en/register.html"]).values("src")) is form


def test_the_admin_page_shows_the_commands() -> None:
    """Until the panel is there, the page names the commands, with the name that the operator calls."""
    text = without_spans(pages.render_admin(replace(FACTS, command="./samsesh"))["en/admin.html"])
    for command in (
        "user add NAME --admin",
        "invite create",
        "status",
        "logs -f",
        "backup create",
        "config set",
    ):
        assert f"./samsesh {command}" in text
    assert "register_new_matrix_user" in text


def test_links() -> None:
    """Links in the exact form that Element X's resolver and our sign-up page read."""
    assert pages.invite_link("http://localhost:8080/", "a~b") == "http://localhost:8080/register?token=a~b"
    assert pages.invite_link("https://chat.example", "a b&c").endswith("?token=a%20b%26c")
    link = (
        "https://mobile.element.io/element/?account_provider=example.org&login_hint=mxid:@alice:example.org"
    )
    assert pages.element_x_link("example.org", "@alice:example.org") == link
    assert pages.element_x_link("example.org", "@a+b:example.org").endswith("mxid:@a%2Bb:example.org")
    assert 'account_provider=example.org"' in str(
        Names(
            pages.render_web(replace(FACTS, server_name="example.org", local_only=False))["en/index.html"]
        ).values("href")
    ).replace("'", '"')


def test_qr_codes() -> None:
    """An SVG that needs nothing else, and a terminal's square in characters alone: no colours, no control codes."""
    svg = pages.qr_svg("https://example.org/")
    assert svg.startswith(b"<svg")
    assert b"style" not in svg and b"script" not in svg
    lines = pages.qr_terminal("https://example.org/").splitlines()
    assert len({len(line) for line in lines}) == 1
    assert set("".join(lines)) <= set(" █▀▄")
