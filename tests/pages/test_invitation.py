"""From `samsesh invite create` to an account, in Chromium, on the server that `samsesh up` makes."""

import json
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from conftest import Stack
from pages.server import ask

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PASSWORD = "three words and 1 digit"
SIZES = {"phone": (390, 844), "desktop": (1280, 800)}


def nothing_serious(page: Page) -> None:
    found: list[Any] = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("size", list(SIZES))
def test_an_invitation_link_becomes_an_account(chromium: Browser, stack: Stack, size: str) -> None:
    """The link of an invitation opens a page; name and password there are all that an account needs."""
    width, height = SIZES[size]
    made = json.loads(stack.cli("invite", "create", "--uses", "1", "--json").stdout)
    context = chromium.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    refused: list[str] = []
    page.on("pageerror", lambda error: refused.append(str(error)))
    page.on("console", lambda said: refused.append(said.text) if "Content Security" in said.text else None)

    page.goto(made["link"])
    expect(page.get_by_role("heading", name="You are invited")).to_be_visible()
    nothing_serious(page)
    page.get_by_label("Name").fill(f"guest.{size}")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.locator("#done-id")).to_have_text(f"@guest.{size}:localhost")
    nothing_serious(page)
    context.close()

    assert refused == []
    body = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": f"guest.{size}"},
        "password": PASSWORD,
    }
    assert ask(f"{stack.url('homeserver')}/_matrix/client/v3/login", body)["home_server"] == "localhost"
    names = [user["name"] for user in json.loads(stack.cli("user", "list", "--json").stdout)]
    assert f"@guest.{size}:localhost" in names


@pytest.mark.parametrize("size", list(SIZES))
def test_the_pages_of_a_running_server(chromium: Browser, stack: Stack, size: str) -> None:
    """Welcome and admin pages load without an error, know that the server runs, and pass axe."""
    width, height = SIZES[size]
    context = chromium.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    page = context.new_page()
    failed: list[str] = []
    page.on("console", lambda said: failed.append(said.text) if said.type == "error" else None)
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.goto(stack.url("web"))
    expect(page.get_by_role("status")).to_have_text("Everything is running")
    nothing_serious(page)
    page.goto(stack.url("admin"))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    nothing_serious(page)
    context.close()
    assert failed == []
