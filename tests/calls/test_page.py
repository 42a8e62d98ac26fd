"""Element Call's page made ours: who gets in, what it says, what it looks like."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from calls.call import PASSWORD, Caller
from calls.conftest import add_people, calls_of
from conftest import Stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BRAND = "<b>Ours</b> & {{count}} $t(log_in)"
UPSTREAM = re.compile(r"Element|SSLA|Licen[cs]e|Google|ReCAPTCHA|M_FORBIDDEN", re.IGNORECASE)
NEEDED = "You need an account on"
SIZES = {"desktop": (1280, 800), "phone": (390, 844), "narrow": (320, 640)}

Visit = Callable[..., Caller]


@pytest.fixture(scope="module")
def entry(session_home: Callable[[str], Stack]) -> Stack:
    """A server of its own with an odd name and the light theme; tests change who may register."""
    made = session_home("entry")
    made.set({"brand.name": BRAND, "brand.theme": "light"})
    made.up()
    calls_of(made)
    add_people(made, "ada")
    return made


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Somebody's new browser, at a page."""
    made: list[Caller] = []

    def go(stack: Stack, path: str = "/", **size: int) -> Caller:
        one = Caller(browser, calls_of(stack), **size)
        made.append(one)
        one.page.goto(one.url + path)
        return one

    yield go
    for one in made:
        one.close()
    assert [error for one in made for error in one.errors] == []


def registration(stack: Stack, mode: str) -> None:
    done = stack.cli("config", "set", "registration.mode", mode)
    assert done.returncode == 0, done.stderr
    stack.up()


def serious(page: Page) -> list[Any]:
    """What axe finds in what is ours."""
    found = Axe().run(page).response["violations"]
    nodes = [
        (one["id"], node["html"])
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
    return [(name, html) for name, html in nodes if "samsesh" in html]


def shows_log_in(one: Caller) -> None:
    expect(one.page).to_have_url(f"{one.url}/login")
    expect(one.page.get_by_role("heading", name="Log in")).to_be_visible()
    expect(one.page.get_by_text(NEEDED)).to_be_visible()
    assert "guest" not in one.text() and not UPSTREAM.search(one.text())


SHARED = "/room/#/tea-time?password=abcdefghijklmnop&roomId=!unknown:localhost"


@pytest.mark.parametrize(
    ("mode", "advice", "links"),
    [("token", "It takes an invitation", 1), ("closed", "Ask whoever runs this server", 0)],
)
def test_who_needs_an_account(entry: Stack, visit: Visit, mode: str, advice: str, links: int) -> None:
    """Where not everybody may register, everybody sees the log-in, and reads how to get an account.

    After it they are where they wanted to go. No form of upstream's leads to a refusal; links go to our sign-up page.
    """
    registration(entry, mode)
    web = entry.url("web")
    ada = visit(entry)
    shows_log_in(ada)
    expect(ada.page.get_by_text(advice)).to_be_visible()
    expect(ada.page.get_by_role("link")).to_have_count(links)
    if links:
        ada.page.get_by_role("link").click()
        expect(ada.page).to_have_url(f"{web}/register")
    ada.page.goto(f"{ada.url}/register")
    expect(ada.page).to_have_url(f"{web}/register")

    ada.page.goto(ada.url + SHARED)
    shows_log_in(ada)
    ada.page.reload()
    shows_log_in(ada)
    ada.log_in("ada")
    expect(ada.page).to_have_url(ada.url + SHARED)
    ada.page.goto(f"{ada.url}/login")
    expect(ada.page).to_have_url(f"{ada.url}/")
    link = ada.start("Tea time")
    ada.page.reload()
    expect(ada.join_button).to_be_visible()

    ada.page.goto(ada.url)
    ada.page.get_by_role("button", name="Profile").click()
    ada.page.get_by_role("menuitem", name="Sign out").click()
    shows_log_in(ada)
    ada.page.goto(link)
    shows_log_in(ada)
    ada.log_in("ada")
    expect(ada.join_button).to_be_visible()


def test_a_session_that_ended_elsewhere(entry: Stack, visit: Visit) -> None:
    """Who was logged out by the server logs in again, and is where they wanted to go."""
    registration(entry, "token")
    ada = visit(entry)
    ada.log_in("ada")
    link = ada.start("Tea time")
    store = json.loads(ada.page.evaluate("localStorage.getItem('matrix-auth-store')"))
    ada.page.evaluate(
        "store => localStorage.setItem('matrix-auth-store', store)",
        json.dumps({**store, "access_token": "syt_gone"}),
    )
    ada.page.reload()
    shows_log_in(ada)
    ada.log_in("ada")
    expect(ada.page).to_have_url(link)
    expect(ada.join_button).to_be_visible()


def test_everybody_may_register(entry: Stack, visit: Visit) -> None:
    """With open registration guests and new accounts work as upstream means them, without terms that are not ours."""
    registration(entry, "open")
    guest = visit(entry)
    expect(guest.page.get_by_role("heading", name="Start new call")).to_be_visible()
    assert not UPSTREAM.search(guest.text())
    guest.page.get_by_placeholder("Display name").fill("A guest")
    link = guest.start("Tea time")
    other = visit(entry, link.removeprefix(guest.url))
    expect(other.page.get_by_role("heading", name="Join as guest")).to_be_visible()
    assert not UPSTREAM.search(other.text())
    other.page.get_by_placeholder("Display name").fill("Another guest")
    other.page.get_by_role("button", name="Continue").click()
    expect(other.join_button).to_be_visible(timeout=30_000)

    new = visit(entry, "/login")
    assert NEEDED not in new.text() and not UPSTREAM.search(new.text())
    new.page.get_by_role("link", name="Create an account").click()
    expect(new.page.get_by_role("heading", name="Create your account")).to_be_visible()
    assert not UPSTREAM.search(new.text())
    new.page.get_by_placeholder("Username").fill("newcomer")
    new.page.get_by_placeholder("Password", exact=True).fill(PASSWORD)
    new.page.get_by_placeholder("Confirm password").fill(PASSWORD)
    new.page.get_by_role("button", name="Register").click()
    expect(new.page.get_by_role("heading", name="Start new call")).to_be_visible(timeout=30_000)


@pytest.mark.parametrize("size", list(SIZES))
def test_our_name_our_look(entry: Stack, visit: Visit, size: str) -> None:
    """Name, logo and theme are the operator's on every page and at every width; nothing has to be scrolled sideways."""
    registration(entry, "token")
    width, height = SIZES[size]
    ada = visit(entry, width=width, height=height)

    def looks_right(title: str) -> None:
        expect(ada.page).to_have_title(title)
        expect(ada.page.locator("body")).to_have_class(re.compile("cpd-theme-light"))
        assert ada.page.locator("desc", has_text="Element").locator("visible=true").count() == 0
        assert ada.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert serious(ada.page) == []

    shows_log_in(ada)
    assert f"To continue to {BRAND}" in ada.text().replace("\u2060", "")
    looks_right(f"Login · {BRAND}")
    logo = ada.page.locator(".samsesh-brand img")
    assert ada.page.evaluate("image => image.naturalWidth > 0", logo.element_handle())
    icon = ada.page.locator("link[rel=icon]").get_attribute("href")
    assert icon and ada.page.request.get(ada.url + icon).headers["content-type"] == "image/svg+xml"
    ada.log_in("ada")
    expect(ada.page.get_by_text(BRAND).locator("visible=true")).to_have_count(1)
    looks_right(BRAND)
    ada.start("Tea time")
    looks_right(f"Tea time · {BRAND}")
    ada.join()
    looks_right(f"Tea time · {BRAND}")
    expect(ada.page.get_by_test_id("incall_leave")).to_be_in_viewport(ratio=1)


def test_other_languages(entry: Stack, browser: Browser) -> None:
    """The words are ours in any language, too."""
    registration(entry, "token")
    context = browser.new_context(locale="de-DE")
    page = context.new_page()
    page.goto(calls_of(entry))
    expect(page.get_by_text(NEEDED)).to_be_visible()
    expect(page.get_by_text("Weiter zu")).to_be_visible()
    assert not UPSTREAM.search(page.inner_text("body"))
    context.close()


def test_a_frame_of_the_web_client(entry: Stack, visit: Visit) -> None:
    """The web client may show the page in a frame, where it logs in for it; nobody else may."""
    one = visit(entry, "/login")
    web, frame = entry.url("web"), one.page.request.get(one.url).headers["content-security-policy"]
    assert f"frame-ancestors 'self' {web}" in frame
    widget = "/?widgetId=w&parentUrl=" + web + "#?roomId=!a:localhost&userId=@ada:localhost&deviceId=D"
    one.page.goto(one.url + widget)
    one.page.wait_for_load_state("networkidle")
    assert urlsplit(one.page.url).path == "/"
