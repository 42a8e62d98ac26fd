"""The pages in Chromium, against a real homeserver."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from pages.server import Site, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PASSWORD = "three words and 1 digit"
SIZES = {"phone": (390, 844), "desktop": (1280, 800), "narrow": (320, 640)}


def fill(page: Page, name: str, password: str = PASSWORD) -> None:
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password", exact=True).fill(password)


def create(page: Page) -> None:
    page.get_by_role("button", name="Create account").click()


def open_invitation(page: Page, site: Site, token: str) -> None:
    page.goto(f"{site.web_url}/register?token={token}")
    expect(page.get_by_label("Name")).to_be_visible()


def serious(page: Page) -> list[Any]:
    found = Axe().run(page).response["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")]


@pytest.mark.parametrize(
    ("size", "theme", "locale"),
    [
        *(("phone", "dark", "en-GB"), ("phone", "light", "fa-IR"), ("desktop", "light", "en-GB")),
        *(("desktop", "dark", "fa-IR"), ("narrow", "dark", "en-GB"), ("narrow", "light", "fa-IR")),
    ],
)
@pytest.mark.parametrize("path", ["/", "/register", "/register?token=none", "/trust", "/nothing", "admin"])
def test_everybody_can_use_it(
    chromium: Browser, site: Site, size: str, theme: str, locale: str, path: str
) -> None:
    """axe finds nothing serious at any size, in either theme and either language, and nothing is wider than the page.

    Theme and language are the browser's.
    """
    width, height = SIZES[size]
    context = chromium.new_context(
        viewport={"width": width, "height": height},
        reduced_motion="reduce",
        color_scheme="light" if theme == "light" else "dark",
        locale=locale,
    )
    page = context.new_page()
    page.goto(site.admin_url if path == "admin" else site.web_url + path)
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", theme)
    expect(root).to_have_attribute("dir", "rtl" if locale == "fa-IR" else "ltr")
    if "token" in path:
        expect(page.locator("#token-note")).to_have_attribute("data-kind", "wrong")
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    context.close()


def test_a_visitor_switches_the_language(chromium: Browser, site: Site) -> None:
    """The switch is there without scripts, holds on every page and the next time, and keeps an invitation."""
    context = chromium.new_context(locale="fa-IR", java_script_enabled=False)
    page = context.new_page()
    page.goto(site.web_url)
    expect(page.get_by_role("heading", level=1)).to_have_text("جای خودتان برای گفت‌وگو.")
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your own place to talk.")
    page.goto(f"{site.web_url}/trust")
    expect(page.locator("html")).to_have_attribute("lang", "en")
    context.close()
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    open_invitation(page, site, site.new_token())
    page.get_by_role("link", name="فارسی").click()
    expect(page.get_by_text("دعوت‌نامهٔ شما معتبر است.")).to_be_attached()
    expect(page.locator("#token-field")).to_be_hidden()
    assert "token" not in page.url
    page.locator("#name").fill("آرش")
    expect(page.locator("#name-note")).to_contain_text("نمی‌تواند در نام کاربری باشد")
    page.locator("#name").fill("arash")
    page.locator("#password").fill(PASSWORD)
    page.locator("#submit").click()
    expect(page.locator("#done-id")).to_have_text("@arash:localhost")
    context.close()


@pytest.mark.parametrize(
    ("path", "heading"), [("/nothing", "There is nothing here."), ("/_matrix/nothing", "There is")]
)
def test_a_wrong_path_is_a_page(page: Page, site: Site, path: str, heading: str) -> None:
    """At every port, Synapse's answers included: a page of ours with a way to the start, while programs get JSON."""
    for url in {site.homeserver_url, *((site.web_url, site.admin_url) if path == "/nothing" else ())}:
        answer = page.goto(url + path)
        assert answer and answer.status == 404
        expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
        page.get_by_role("button", name="Use the light theme").click()
        page.evaluate("localStorage.clear()")
        expect(page.get_by_role("link", name="Go to the start page")).to_have_attribute("href", site.web_url)
    if path.startswith("/_matrix"):
        assert page.request.get(site.homeserver_url + path).json()["errcode"] == "M_UNRECOGNIZED"


def test_the_welcome_page_knows_that_the_server_runs(page: Page, site: Site) -> None:
    """The page asks the homeserver, and says so when it stops answering."""
    page.goto(site.web_url)
    expect(page.get_by_role("status")).to_have_text("Everything is running")
    page.reload()
    page.context.set_offline(True)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("status")).to_contain_text("does not answer")
    page.context.set_offline(False)
    expect(page.get_by_role("status")).to_have_text("Everything is running")


def test_the_welcome_page_without_scripts(chromium: Browser, site: Site) -> None:
    """Everything is there to read, and no button does nothing."""
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(site.web_url)
    expect(page.get_by_role("status")).to_have_text("The server is up")
    expect(page.get_by_text(site.homeserver_url, exact=True)).to_be_visible()
    expect(page.get_by_role("button")).to_have_count(0)
    page.goto(f"{site.web_url}/register")
    expect(page.get_by_text("needs JavaScript")).to_be_visible()
    context.close()


def test_a_visitor_keeps_the_theme(page: Page, site: Site) -> None:
    """The theme that somebody chose holds on every page."""
    page.goto(site.web_url)
    page.get_by_role("button", name="Use the light theme").click()
    page.goto(f"{site.web_url}/register")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_copying_the_address(page: Page, site: Site) -> None:
    """The copy button copies the homeserver's address and says so."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(site.web_url)
    page.get_by_role("button", name="Copy the homeserver").click()
    expect(page.get_by_role("button", name="Copied the homeserver")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == site.homeserver_url


def test_an_invitation_becomes_an_account(page: Page, site: Site) -> None:
    """Link, name, password, done: the account is there, the next step too, and the token is in no address bar."""
    open_invitation(page, site, site.new_token())
    assert page.url == f"{site.web_url}/register"
    expect(page.get_by_label("Invitation code")).to_be_hidden()
    fill(page, "Grace.Hopper")
    expect(page.locator("#preview")).to_have_text("@grace.hopper:localhost")
    expect(page.get_by_text("This name is free.")).to_be_visible()
    create(page)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page.locator("#done-id")).to_have_text("@grace.hopper:localhost")
    link = page.get_by_role("link", name="Open Element X").get_attribute("href") or ""
    assert link.startswith("https://mobile.element.io/element/?account_provider=localhost")
    assert link.endswith("&login_hint=mxid:%40grace.hopper%3Alocalhost")
    assert serious(page) == []
    assert site.login("grace.hopper", PASSWORD) == "@grace.hopper:localhost"
    page.reload()
    assert page.get_by_label("Password", exact=True).input_value() == ""
    expect(page.get_by_label("Invitation code")).to_have_value("")


def test_sign_up_by_keyboard(page: Page, site: Site) -> None:
    """Tab and Enter are enough, and a reload keeps the invitation."""
    open_invitation(page, site, site.new_token())
    page.reload()
    page.get_by_label("Name").focus()
    page.keyboard.type("keyboard")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.get_by_label("Password", exact=True)).to_have_attribute("type", "text")
    page.get_by_label("Password", exact=True).press("Enter")
    expect(page.locator("#done-id")).to_have_text("@keyboard:localhost")


def test_an_invitation_code_by_hand(page: Page, site: Site) -> None:
    """Without a token in the link there is a field for it, and it is looked at while one types."""
    page.goto(f"{site.web_url}/register")
    fill(page, "byhand")
    code = page.get_by_label("Invitation code")
    create(page)
    expect(page.get_by_text("Please enter your invitation code.")).to_be_visible()
    expect(code).to_be_focused()
    code.fill("not a code")
    expect(page.get_by_text("does not look like an invitation code")).to_be_visible()
    code.fill(f" {site.new_token()} ")
    expect(page.get_by_text("Your invitation is good.")).to_be_visible()
    create(page)
    expect(page.locator("#done-id")).to_have_text("@byhand:localhost")


def test_a_used_up_or_expired_invitation(page: Page, site: Site) -> None:
    """It is said at once, before anybody thinks of a name, and another code can be entered."""
    used = site.new_token()
    open_invitation(page, site, used)
    fill(page, "first.one")
    create(page)
    expect(page.locator("#done-id")).to_be_visible()
    expires = int(time.time() * 1000) + 1000
    expired = site.new_token(expiry_time=expires)
    page.wait_for_function("until => Date.now() > until", arg=expires)
    for token in (used, expired):
        open_invitation(page, site, token)
        expect(page.get_by_text("used up or has expired")).to_be_visible()
        expect(page.get_by_label("Invitation code")).to_be_visible()
    fill(page, "second.one")
    create(page)
    expect(page.locator("#token-note")).to_contain_text("used up or has expired")
    expect(page.get_by_label("Invitation code")).to_be_focused()


def test_a_name_that_is_taken_costs_no_invitation(page: Page, site: Site) -> None:
    """After a name that is taken and a password that is too weak, the same single-use invitation still works."""
    open_invitation(page, site, site.new_token())
    fill(page, "operator")
    create(page)  # before the page has asked whether the name is free
    expect(page.get_by_text("This name is taken.")).to_be_visible()
    expect(page.get_by_label("Name")).to_be_focused()
    fill(page, "operator2", "no digit in this")
    expect(page.get_by_text("This name is free.")).to_be_visible()
    page.get_by_label("Name").fill("operator")
    expect(page.get_by_text("This name is taken.")).to_be_visible()
    page.get_by_label("Name").fill("operator2")
    create(page)
    expect(page.get_by_text("too easy to guess")).to_be_visible()
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
    fill(page, "operator2")
    create(page)
    expect(page.locator("#done-id")).to_have_text("@operator2:localhost")
    assert site.login("operator2", PASSWORD)


def test_terms_are_shown_and_the_last_password_counts(page: Page, terms_site: Site) -> None:
    """A server's terms are linked and agreed to by hand; a password changed meanwhile is the account's."""
    open_invitation(page, terms_site, terms_site.new_token())
    fill(page, "terms", "an earlier password 1")
    create(page)
    terms = page.get_by_role("link", name="Our rules")
    expect(terms).to_have_attribute("href", re.compile(r"/_matrix/consent\?v=1\.0$"))
    expect(page.get_by_label("I have read and accept these terms")).to_be_focused()
    assert serious(page) == []
    create(page)
    expect(page.get_by_role("alert")).to_contain_text("agree to the terms")
    page.get_by_label("I have read and accept these terms").check()
    fill(page, "terms")
    create(page)
    expect(page.locator("#done-id")).to_have_text("@terms:localhost")
    assert terms_site.login("terms", PASSWORD) == "@terms:localhost"


def test_open_registration_needs_no_invitation(page: Page, tmp_path: Path) -> None:
    """Where everybody may register, a name and a password are all."""
    opened = {"registration_requires_token": False, "enable_registration_without_verification": True}
    with serving(tmp_path, **opened) as site:
        page.goto(site.web_url)
        page.get_by_role("link", name="Create an account").click()
        expect(page.get_by_label("Invitation code")).to_be_hidden()
        fill(page, "everybody")
        create(page)
        expect(page.locator("#done-id")).to_have_text("@everybody:localhost")


@pytest.mark.parametrize("name", ["über", "a b", "_bridge", "1234", "n" * 250])
def test_names_that_matrix_does_not_know(page: Page, site: Site, name: str) -> None:
    """A wrong name is explained while one types it, and is not sent."""
    open_invitation(page, site, site.new_token())
    fill(page, name)
    expect(page.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    create(page)
    expect(page.get_by_label("Name")).to_be_focused()


def test_a_short_password(page: Page, site: Site) -> None:
    """What is too short is said in numbers, and nothing is sent."""
    open_invitation(page, site, site.new_token())
    fill(page, "shorty", "abc")
    expect(page.get_by_text("At least 8 characters, please: 5 more.")).to_be_visible()
    create(page)
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
    expect(page.get_by_label("Password", exact=True)).to_have_attribute("aria-invalid", "true")


def test_a_lost_connection(page: Page, site: Site) -> None:
    """Without a connection the page says so, and the next try succeeds with what was typed."""
    open_invitation(page, site, site.new_token())
    fill(page, "traveller")
    page.context.set_offline(True)
    create(page)
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    page.context.set_offline(False)
    create(page)
    expect(page.locator("#done-id")).to_have_text("@traveller:localhost")


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (429, "M_LIMIT_EXCEEDED", "wait 12 seconds"),
        (403, "M_FORBIDDEN", "takes no new accounts"),
        (502, "", "problem of its own"),
        (400, "M_UNHEARD_OF", "The server said no: because"),
    ],
)
def test_answers_in_plain_words(page: Page, site: Site, status: int, code: str, words: str) -> None:
    """Each kind of refusal that the specification knows is explained in words."""
    page.goto(f"{site.web_url}/register")
    source = page.locator("script[src*=register]").get_attribute("src")
    assert source
    script = page.request.get(site.web_url + source).text()
    found = dict(reversed(pair) for pair in re.findall(r'from "(/assets/(\w+)\.[^"]+)"', script))
    said = page.evaluate(
        """async ([matrix, names, status, body]) => {
            const { MatrixError } = await import(matrix);
            return (await import(names)).explain(new MatrixError(status, body))[1];
        }""",
        [
            found["matrix"],
            found["names"],
            status,
            {"errcode": code, "error": "because", "retry_after_ms": 11_200},
        ],
    )
    assert words in said
