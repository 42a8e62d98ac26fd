"""Element Call's page as we serve it, without a browser."""

import base64
import hashlib
import re
from dataclasses import replace

import pytest

from pages.test_render import NASTY, Names
from samsesh.errors import SettingsError
from samsesh.pages import call, looks
from samsesh.pages.colours import compound

FACTS = call.CallFacts(
    brand="SamSesh Chat",
    theme="dark",
    server_name="example.org",
    homeserver_url="http://localhost:8008",
    rtc_url="http://localhost:8083",
    livekit_url="ws://localhost:7880",
    call_url="http://localhost:8082",
    web_url="http://localhost:8080",
    registration="token",
)
INLINE = "window.global = window;"
UPSTREAM = (
    f"<!doctype html><html><head><title>Element Call</title><script>{INLINE}</script>"
    '<script type="module" crossorigin src="./assets/index-1.js"></script></head><body></body></html>'
)


def test_upstreams_page_is_kept() -> None:
    """Ours is added in the place of the title, before any script of upstream's; the rest is as it was built."""
    page, _ = call.page(UPSTREAM, FACTS)
    before, after = UPSTREAM.split("<title>Element Call</title>")
    assert page.decode().startswith(before) and page.decode().endswith(after)
    ours = page.decode()[len(before) : -len(after)]
    assert ours.startswith("<title>SamSesh Chat</title>") and "<script src=" in ours
    files = call.assets(FACTS)
    loaded = [found.get("href") or found.get("src") for tag, found in Names(ours.encode()).tags]
    assert {f"/{name}" for name in files} == {path for path in loaded if path}


def test_a_nasty_brand_stays_a_word() -> None:
    """Whatever the brand is, the page has the same tags, and the script gets it as it is."""
    nasty, _ = call.page(UPSTREAM, replace(FACTS, brand=NASTY))
    clean, _ = call.page(UPSTREAM, FACTS)
    assert [tag for tag, _ in Names(nasty).tags] == [tag for tag, _ in Names(clean).tags]
    assert Names(nasty).values("data-brand") == [NASTY]
    assert b"<script>alert" not in nasty


def test_another_page_is_refused() -> None:
    """A folder that is no Element Call is told with the setting that names it."""
    with pytest.raises(SettingsError, match="Element Call") as raised:
        call.page("<html>Welcome to nginx</html>", FACTS)
    assert "artifacts.element_call" in (raised.value.hint or "")


def test_names_of_assets_follow_their_content() -> None:
    """Another logo gives another name; the operator's own is served as what it is."""
    ours, theirs = call.assets(FACTS), call.assets(replace(FACTS, logo=b"\x89PNG", logo_type="image/png"))
    assert [name for name in theirs if name not in ours] == [name for name in theirs if name.endswith(".png")]
    assert len(theirs) == len(ours) == 4


def test_the_policy() -> None:
    """Scripts: files, and upstream's own inline ones by hash. Asked: our parts alone. Frames: in the web client."""
    _, scripts = call.page(UPSTREAM, FACTS)
    headers = call.headers(FACTS, scripts)
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    digest = base64.b64encode(hashlib.sha256(INLINE.encode()).digest()).decode()
    assert policy["script-src"] == f"'self' 'wasm-unsafe-eval' 'sha256-{digest}'"
    assert "*" not in headers["Content-Security-Policy"] and "unsafe-eval" not in policy["default-src"]
    asked = {part for part in policy["connect-src"].split() if "localhost" in part}
    assert asked == {FACTS.homeserver_url, FACTS.rtc_url, FACTS.livekit_url, "http://localhost:7880"}
    assert policy["frame-ancestors"] == f"'self' {FACTS.web_url}"
    assert policy["object-src"] == policy["base-uri"] == "'none'"


def test_one_look() -> None:
    """Our colours and picture in both themes, or the operator's; each theme's light goes with its own ground."""
    for facts in (
        FACTS,
        replace(FACTS, accent="#0a7d5a"),
        replace(FACTS, background=(b"\x89PNG", "image/png")),
    ):
        files = call.assets(facts)
        style = next(content.decode() for name, content in files.items() if "/brand." in name)
        for theme in ("dark", "light"):
            assert (
                f".cpd-theme-{theme}[data-element-call-root][data-background]::before {{ background:" in style
            )
        for theme in ("dark", "light"):
            accent = compound(facts.accent or looks.ACCENT, theme)["--cpd-color-bg-accent-rest"]
            assert f"--cpd-color-bg-accent-rest: {accent}" in style
        for url in re.findall(r'url\("/([^"]+)"\)', style):
            assert url in files
        assert bool(facts.background) is ("url(" in style)
