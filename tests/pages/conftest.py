"""A site for all tests of the pages, and Chromium."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from pages.server import Site, serving
from programs import need

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Where an account takes an invitation."""
    with serving(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="session")
def terms_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Where an account takes an invitation and the consent to a privacy policy."""
    folder = tmp_path_factory.mktemp("terms")
    texts = folder / "consent" / "en"
    texts.mkdir(parents=True)
    (texts / "1.0.html").write_text("<p>Be kind.</p>")
    (texts / "success.html").write_text("<p>Thank you.</p>")
    consent = {
        "template_dir": str(folder / "consent"),
        "version": "1.0",
        "require_at_registration": True,
        "policy_name": "Our rules",
    }
    with serving(folder, user_consent=consent, public_baseurl="http://localhost/") as running:
        yield running


@pytest.fixture(
    scope="module"
)  # Playwright keeps an event loop in this thread, and other tests need their own
def chromium() -> Iterator[Browser]:
    path = need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A phone's page, on which every error of a script or of the content security policy fails the test."""
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, reduced_motion="reduce", color_scheme="dark"
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda said: errors.append(said.text) if "Content Security" in said.text else None)
    yield page
    context.close()
    assert not errors
