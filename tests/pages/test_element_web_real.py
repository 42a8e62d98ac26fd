"""The real Element Web, where SAMSESH_TEST_ELEMENT_WEB names its folder: what a stand-in can only promise.

It is not part of what runs everywhere: no test needs it, and nothing of it is in this repository.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from conftest import Stack
from pages import contrast
from pages.server import ask
from programs import element_call_pages, livekit_server
from system.trouble import fine

REAL = os.environ.get("SAMSESH_TEST_ELEMENT_WEB", "")
SHOTS = os.environ.get("SAMSESH_TEST_SCREENSHOTS", "")  # a folder, for people to look at
pytestmark = [
    pytest.mark.native,
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not REAL, reason="SAMSESH_TEST_ELEMENT_WEB names no folder of a real Element Web"),
]
PASSWORD = "a long enough one"
ACCENTS = ("", "#0a7d5a", "#ffee00", "#101010")
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
TABS = (
    "Account",
    "Sessions",
    "Appearance",
    "Notifications",
    "Preferences",
    "Security & Privacy",
    "Encryption",
)
# What upstream draws in colours of its own, whatever the accent is: part of the report -> what it is.
UPSTREAM = {"#808080": "numbers of lines in code"}


@pytest.fixture(scope="module")
def real(session_home: Callable[[str], Stack]) -> Stack:
    """A server with it, and a room in which somebody said something of every kind."""
    own = session_home("real-element-web")
    own.web = ""
    own.environ = {"SAMSESH_CACHE": str(own.path / "cache")}
    own.set(
        {
            "artifacts.element_web": REAL,
            "artifacts.livekit": str(livekit_server()),
            "artifacts.element_call": str(element_call_pages()),
            "turn.enabled": "no",
        }
    )
    own.up()
    talk(own)
    return own


def talk(own: Stack) -> None:
    fine(own.cli("user", "add", "bert", "--password-stdin", stdin=PASSWORD + "\n"))
    base = own.url("homeserver") + "/_matrix/client/v3"
    proof = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "bert"},
        "password": PASSWORD,
    }
    headers = {"Authorization": f"Bearer {ask(f'{base}/login', proof)['access_token']}"}
    room = {"name": "Garden", "preset": "public_chat", "room_alias_name": "garden", "topic": "What grows"}
    room_id = ask(f"{base}/createRoom", room, headers)["room_id"]
    for said in (
        'Look at <a href="https://example.org">this</a> and at <code>this</code>',
        '<a href="https://matrix.to/#/@anna:localhost">Anna</a>, are you there?',
        "<blockquote>yes</blockquote><pre><code>print(1)</code></pre>",
    ):
        text = {"msgtype": "m.text", "body": said, "format": "org.matrix.custom.html", "formatted_body": said}
        ask(f"{base}/rooms/{room_id}/send/m.room.message", text, headers)


@pytest.fixture(scope="module")
def anna(chromium: Browser, real: Stack) -> Iterator[BrowserContext]:
    """A browser in which somebody signed up by an invitation, and was led into the chat."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(json.loads(fine(real.cli("invite", "create", "--json")).stdout)["link"])
    page.locator("#name").fill("anna")
    page.locator("#password").fill(PASSWORD)
    page.locator("#submit").click()
    page.locator("#done-web").click()
    expect(page.locator(".mx_HomePage_default")).to_be_visible(timeout=120_000)
    page.goto(f"{real.url('web')}/#/room/#garden:localhost")
    page.get_by_role("button", name="Join", exact=False).first.click()
    expect(page.get_by_text("are you there?")).to_be_visible()
    page.close()
    yield context
    context.close()


def measure(page: Page, name: str) -> list[str]:
    """What is hard to read now, by the name of what is shown."""
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png".replace("#", ""))
    return [f"{name}: {text}" for text in contrast.poor(page) if not any(known in text for known in UPSTREAM)]


def in_theme(page: Page, web: str, theme: str) -> None:
    """As somebody chose it in the settings."""
    page.goto(f"{web}/version")
    chosen = json.dumps({"use_system_theme": False, "theme": theme})
    page.evaluate("chosen => localStorage.setItem('mx_local_settings', chosen)", chosen)


@pytest.mark.parametrize("accent", ACCENTS)
def test_every_text_can_be_read(chromium: Browser, real: Stack, anna: BrowserContext, accent: str) -> None:
    """Start, log-in, room and settings, in both themes and on a phone, and in the font that it has without an accent."""
    fine(real.cli("config", "set", "brand.accent", accent))
    real.up()
    web, poor = real.url("web"), []
    for theme in ("dark", "light"):
        outside = chromium.new_context(viewport={"width": 1280, "height": 800})
        page = outside.new_page()
        page.set_default_timeout(60_000)
        in_theme(page, web, theme)
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            name = f"{accent or 'none'}-{theme}-{size}"
            page.goto(f"{web}/#/welcome")
            expect(page.locator(".samsesh a").first).to_be_visible()
            poor += measure(page, f"{name}-start")
            page.goto(f"{web}/#/login")
            expect(page.locator("#mx_LoginForm_username")).to_be_visible()
            poor += measure(page, f"{name}-login")
        outside.close()
        page = anna.new_page()
        page.set_default_timeout(60_000)
        in_theme(page, web, theme)
        poor += inside(page, web, f"{accent or 'none'}-{theme}")
        page.close()
    assert poor == []


def inside(page: Page, web: str, name: str) -> list[str]:
    page.goto(f"{web}/#/home")
    expect(page.locator(".mx_HomePage_default")).to_be_visible()
    poor = measure(page, f"{name}-home")
    assert "Inter" in page.evaluate("getComputedStyle(document.body).fontFamily")
    page.goto(f"{web}/#/room/#garden:localhost")
    expect(page.get_by_text("are you there?")).to_be_visible()
    poor += measure(page, f"{name}-room")
    page.get_by_role("button", name="User menu").click()
    page.get_by_role("menuitem", name="All settings").click()
    for tab in TABS:
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        poor += measure(page, f"{name}-{tab.split()[0].lower()}")
    expect(page.locator(".mx_SetIntegrationManager:visible")).to_have_count(0)
    return poor


def test_it_opens_with_the_servers_theme_in_the_browsers_language(chromium: Browser, real: Stack) -> None:
    """brand.theme before what the browser prefers; our card in Persian, within Element Web's own."""
    context = chromium.new_context(locale="fa-IR", color_scheme="light")
    page = context.new_page()
    page.goto(real.url("web"))
    expect(page.locator(".samsesh p").first).to_contain_text("گفتگوی خصوصی", timeout=60_000)
    assert "cpd-theme-dark" in page.evaluate("document.body.className")
    context.close()


def test_a_phone_is_led_to_our_page(chromium: Browser, real: Stack) -> None:
    """And stays in the browser when it says so."""
    web = real.url("web")
    agent = (
        "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36"
    )
    context = chromium.new_context(viewport={"width": 390, "height": 844}, user_agent=agent)
    page = context.new_page()
    page.goto(web)
    page.wait_for_url(f"{web}/connect", timeout=60_000)
    page.goto(web)
    expect(page.locator(".samsesh a").first).to_be_visible(timeout=60_000)
    context.close()
