"""Element Web on a running server, in Chromium: a stand-in of its shape, named in the settings."""

import json
import os
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from conftest import Stack, give_to_service_user
from element_web import FILE, HASH, PIXEL, release, write
from programs import element_call_pages, livekit_server
from samsesh.artifacts.element_web import VERSION
from samsesh.pages import colours
from system.trouble import fine, refused

pytestmark = [pytest.mark.native, pytest.mark.browser, pytest.mark.slow]
BUNDLE = f"/bundles/{HASH}/bundle.js"


def get(url: str) -> tuple[int, dict[str, str], bytes]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), b""


def processes(own: Stack) -> dict[str, int]:
    """Each service's process: another one after a restart."""
    return {one["name"]: one["pid"] for one in own.status()["services"]}


def set_up(own: Stack, folder: Path) -> None:
    """A home whose settings name a release's tarball. Its cache is its own: no stand-in goes into the machine's."""
    folder.mkdir(mode=0o755, exist_ok=True)
    (folder / FILE).write_bytes(release())
    own.web = ""
    own.environ = {"SAMSESH_CACHE": str(own.path / "cache")}
    own.set(
        {
            "artifacts.element_web": str(folder / FILE),
            "artifacts.livekit": str(livekit_server()),
            "artifacts.element_call": str(element_call_pages()),
            "brand.footer_links": '[{"text": "Donate", "url": "https://donate.samsesh.net"}]',
        }
    )


@pytest.fixture(scope="module")
def branded(session_home: Callable[[str], Stack], homes: Path) -> Stack:
    own = session_home("branded")
    set_up(own, homes / "element-web")
    own.up()
    return own


def test_it_is_shown_with_our_name(chromium: Browser, branded: Stack) -> None:
    """Brand, theme, logo, background, links, our welcome with the invitation; no error of a script, policy or file."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    wrong: list[str] = []
    unanswered = (
        "https://localhost/.well-known/matrix/client"  # it is let ask, and nobody is there in a trial
    )
    page.on("pageerror", lambda error: wrong.append(str(error)))
    refused_ = "the server responded with a status of 400"  # by our service, whose answer was read: no token came along
    page.on(
        "console",
        lambda said: (
            wrong.append(said.text)
            if said.type in ("error", "warning")
            and refused_ not in said.text
            and "ERR_CONNECTION" not in said.text
            else None
        ),
    )
    page.on("requestfailed", lambda request: wrong.append(request.url) if request.url != unanswered else None)
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(request.url.split("/")[2]))
    page.goto(branded.url("web"))
    expect(page.locator("#ready")).to_have_text("true jitsi.invalid")
    expect(page).to_have_title("SamSesh Chat")
    assert page.evaluate("document.body.dataset.theme") == "dark"
    expect(page.locator("#server")).to_have_text("localhost")
    assert page.evaluate("document.getElementById('logo').naturalWidth") > 0
    expect(page.get_by_role("link", name="Donate")).to_have_attribute("href", "https://donate.samsesh.net")
    expect(page.locator("#register")).to_have_count(0)
    frame = page.frame_locator("iframe").locator(
        "#root"
    )  # the Element Call in it: inline script, our service
    expect(frame).to_have_text(f"object {branded.url('rtc')}")
    assert {host.split(":")[0] for host in asked} <= {"localhost", ""}
    page.locator("#welcome").get_by_role("link", name="I have an invitation").click()
    expect(page).to_have_url(f"{branded.url('web')}/register")
    page.get_by_role("link", name="Sign in").click()
    expect(page.locator("#ready")).to_be_visible()
    page.goto(f"{branded.url('web')}/connect")
    expect(page.get_by_role("heading", level=1)).to_have_text("Connect with any app.")
    context.close()
    assert wrong == []


@pytest.mark.parametrize(
    ("language", "texts"),
    [("en-GB", ("A private place", "invitation")), ("fa-IR", ("گفتگوی خصوصی", "دعوت‌نامه"))],
)
def test_the_welcome_speaks_the_browsers_language(
    chromium: Browser, branded: Stack, language: str, texts: tuple[str, str]
) -> None:
    """Our card in Element Web, by its own dictionaries; the server's name stands in it."""
    context = chromium.new_context(locale=language)
    page = context.new_page()
    page.goto(branded.url("web"))
    card = page.locator("#welcome")
    expect(card.locator("p").first).to_contain_text(texts[0])
    expect(card.locator("b")).to_have_text("localhost")
    expect(card.get_by_role("link", name=texts[1])).to_be_visible()
    assert "samsesh|" not in card.inner_text()
    context.close()


def test_a_phone_is_led_to_our_page(chromium: Browser, branded: Stack) -> None:
    """Element Web sends phones to its makers' guide; here they find this server's apps, and may stay in the browser."""
    web = branded.url("web")
    context = chromium.new_context(
        viewport={"width": 390, "height": 844},
        user_agent="Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/140.0.0.0 Mobile Safari/537.36",
    )
    page = context.new_page()
    page.goto(web)
    page.wait_for_url(f"{web}/connect")
    page.goto(web)
    expect(page.locator("#ready")).to_be_attached()
    assert page.url.rstrip("/") == web
    context.close()


@pytest.mark.parametrize("phone", [False, True])
def test_who_signs_up_is_in(chromium: Browser, branded: Stack, phone: bool) -> None:
    """After /register no password is asked for again, and one session is there: Element Web's own."""
    web, api, name = branded.url("web"), branded.url("homeserver"), "phoned" if phone else "typed"
    token = json.loads(fine(branded.cli("invite", "create", "--json")).stdout)["token"]
    agent = {"user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X)"} if phone else {}
    context = chromium.new_context(**agent)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(f"{web}/register?token={token}")
    page.locator("#name").fill(name)
    page.locator("#password").fill("a long enough one")
    page.locator("#submit").click()
    with page.expect_response(
        lambda answer: "m.login.token" in (answer.request.post_data or "")
    ) as logged_in:
        page.locator("#done-web").click()
    expect(page.locator("#me")).to_have_text(f"@{name}:localhost")
    assert page.url == f"{web}/#/home"
    access = logged_in.value.json()["access_token"]
    request = urllib.request.Request(
        f"{api}/_matrix/client/v3/devices", headers={"Authorization": f"Bearer {access}"}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert len(json.load(answer)["devices"]) == 1
    context.close()


def test_what_is_kept_and_what_is_asked_for(branded: Stack) -> None:
    """Files named after their content are kept for a year, everything else is asked for each time; headers everywhere."""
    web = branded.url("web")
    year = {BUNDLE, "/widgets/element-call/assets/index-Bz16m3ir.js"}
    asked = {
        "/",
        "/index.html",
        "/config.json",
        "/config.localhost.json",
        "/version",
        "/sw.js",
        "/manifest.json",
    }
    asked |= {
        "/samsesh/translations.json",
        "/i18n/languages.json",
        "/samsesh/welcome.html",
        "/widgets/element-call/index.html",
    }
    for path in year | asked:
        status, headers, _ = get(web + path)
        assert status == 200, path
        assert ("immutable" in headers["Cache-Control"]) is (path in year), path
        assert (headers["Cache-Control"] == "no-cache") is (path in asked), path
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "SAMEORIGIN"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
    large = urllib.request.Request(web + BUNDLE, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(large, timeout=20) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
    assert get(web + "/version")[2].decode().strip() == VERSION
    assert get(web + "/config.localhost.json")[2] == get(web + "/config.json")[2]
    assert get(web + "/nothing")[0] == get(web + BUNDLE + ".map")[0] == 404
    assert get(web + "/.well-known/matrix/client")[0] == 200
    assert b"You are invited" in get(web + "/register?token=x")[2]


def test_a_change_of_looks_rewrites_files_alone(branded: Stack) -> None:
    """Name, colour, logo and picture: `up` writes files, restarts nothing, and the next load has them."""
    before = processes(branded)
    (branded.path / "mine.png").write_bytes(PIXEL)
    give_to_service_user(branded.path / "mine.png")
    changes = {
        "name": "Our Chat",
        "accent": "#0A7D5A",
        "logo": "mine.png",
        "background": "mine.png",
        "theme": "light",
    }
    for key, value in changes.items():
        fine(branded.cli("config", "set", f"brand.{key}", value))
    branded.up()
    assert processes(branded) == before
    web = branded.url("web")
    config = json.loads(get(web + "/config.json")[2])
    assert config["brand"] == "Our Chat" and config["default_theme"] == "light"
    for name in ("auth_header_logo_url", "welcome_background_url"):
        assert get(web + config["branding"][name])[2] == PIXEL
    index = get(web)[2].decode()
    assert "<title>Our Chat</title>" in index
    style = re.search(r'href="(/samsesh/assets/element\.[^"]+\.css)"', index)
    accent = colours.compound("#0a7d5a", "light")["--cpd-color-text-action-accent"]
    assert style and accent in get(web + style[1])[2].decode()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("accent", "blue", "a colour is written as # and six digits"),
        ("accent", "#12345", "a colour is written as # and six digits"),
    ],
)
def test_a_bad_colour_is_refused(branded: Stack, key: str, value: str, words: str) -> None:
    """At once, with what a colour looks like; nothing is changed."""
    refused(branded.cli("config", "set", f"brand.{key}", value), 2, f"brand.{key}", words)


@pytest.mark.parametrize(
    ("setting", "content", "words"),
    [
        ("logo", b"GIF89a", "is none of png, svg"),
        ("logo", PIXEL[:40], "is none of png, svg"),
        ("logo", b"", "is none of png, svg"),
        ("logo", b"<svg" + b" " * 2_000_000 + b"/>", "make it smaller"),
        ("background", b"%PDF-1.7", "is none of jpeg, png, webp, svg"),
        ("background", None, "is not there"),
    ],
    ids=["gif", "cut-off", "empty", "large", "pdf", "gone"],
)
def test_a_bad_picture_is_refused(branded: Stack, setting: str, content: bytes | None, words: str) -> None:
    """With the setting and the file; the server goes on as it was."""
    bad = branded.path / "bad.png"
    if content is not None:
        bad.write_bytes(content)
        give_to_service_user(bad)
    before, homeserver = (
        fine(branded.cli("config", "get", f"brand.{setting}")).stdout.strip(),
        branded.url("homeserver"),
    )
    try:
        fine(branded.cli("config", "set", f"brand.{setting}", "bad.png"))
        refused(branded.cli("up", "--yes"), 2, words, "bad.png")
        assert get(homeserver + "/_matrix/client/versions")[0] == 200
    finally:
        fine(branded.cli("config", "set", f"brand.{setting}", before or ""))
        bad.unlink(missing_ok=True)


def test_a_bad_release_does_not_take_the_good_one_away(branded: Stack, homes: Path) -> None:
    """A tarball that was cut off, then one of a wrong version: told each time, and the one that was good goes on."""
    path, good = homes / "element-web" / FILE, release()
    for archive, words in (
        (good[:-300], "cannot be unpacked"),
        (release(version="3.0.0"), "it is Element Web 3.0.0"),
    ):
        path.write_bytes(archive)
        done = fine(branded.cli("up", "--yes"))
        assert words in done.stderr and "artifacts.element_web cannot be used" in done.stderr
        assert get(branded.url("web") + "/version")[2].decode().strip() == VERSION
    path.write_bytes(good)
    assert "cannot be used" not in fine(branded.cli("up", "--yes")).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's folders are closed to the server's user")
def test_a_folder_of_ones_own(branded: Stack, homes: Path) -> None:
    """What the server's user cannot read is refused when it is named; what is closed later goes on from the cache."""
    tarball = str(homes / "element-web" / FILE)
    folder = homes / "own-element-web"
    write(folder)
    (folder / "version").write_text("1.12.21")
    folder.chmod(0o700)
    refused(
        branded.cli("config", "set", "artifacts.element_web", str(folder)), 2, str(folder), "cannot read it"
    )
    assert fine(branded.cli("config", "get", "artifacts.element_web")).stdout.strip() == tarball
    folder.chmod(0o755)
    try:
        done = subprocess.run(
            branded.argv("config", "set", "artifacts.element_web", folder.name),
            env=branded.env("config"),
            cwd=homes,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert f"1.12.21 is older than {VERSION}" in fine(done).stderr
        assert fine(branded.cli("config", "get", "artifacts.element_web")).stdout.strip() == str(folder)
        branded.up()
        folder.chmod(0o700)
        assert branded.status()["ok"] and get(branded.url("web") + "/version")[2] == b"1.12.21"
        checks = json.loads(branded.cli("doctor", "versions", "--json").stdout)["checks"]
        assert checks[0]["status"] == "warning" and "1.12.21 is older" in checks[0]["summary"]
        done = branded.up()
        assert "artifacts.element_web cannot be used" in done.stderr
        assert get(branded.url("web") + "/version")[0] == 200
    finally:
        fine(branded.cli("config", "set", "artifacts.element_web", tarball))
        branded.up()


def test_where_it_cannot_be_had(new_home: Callable[[str], Stack]) -> None:
    """The chat starts; the page at 8080 says why Element Web is not there and how to connect; so does `status`.

    Once a release can be had, the next `up` serves it.
    """
    own = new_home("webless")
    own.web = ""
    own.environ = {"SAMSESH_CACHE": str(own.path / "cache")}
    own.set({"artifacts.offline": "yes", "calls.provider": "off", "turn.enabled": "no"})
    done = own.up()
    assert "is ready" in done.stdout and "Element Web" in done.stderr
    off = own.status()["off"]
    assert [one["name"] for one in off] == ["web-client"] and "any other client" in off[0]["advice"]
    own.up()
    page = get(own.url("web"))[2].decode()
    assert "Element Web" in page and off[0]["reason"] in page and "An app on this computer" in page
    folder = own.path.with_name("late")
    folder.mkdir(mode=0o755)
    (folder / FILE).write_bytes(release())
    fine(own.cli("config", "set", "artifacts.element_web", str(folder / FILE)))
    own.up()
    assert own.status()["off"] == [] and get(own.url("web") + "/version")[0] == 200
    fine(own.cli("config", "set", "web.client", "none"))
    own.up()
    assert own.status()["off"] == [] and "Your own place" in get(own.url("web"))[2].decode()
    shutil.rmtree(folder)
