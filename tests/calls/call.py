"""People in a call: browsers with false cameras on the real Element Call page. Also for scripts/bench_call.py."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from playwright.sync_api import Browser, Locator, Page, Playwright, expect

PASSWORD = "three words and 1 digit"
ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream=fps=5",
    ),  # frames cost most of a call
]
SECONDS = 30  # for whatever the page does, on a busy machine
KEEP_CONNECTIONS = """
window.connections = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
  constructor(...given) { super(...given); window.connections.push(this); }
};
"""
# Numbers of all connections that are there, added up; `ways`: "host udp", "host tcp", "relay udp over tcp" ...
COUNT = """async () => {
  const found = { frames: 0, bytes: 0, samples: 0, ways: [] };
  for (const connection of window.connections) {
    if (connection.connectionState === "closed") continue;
    const stats = await connection.getStats();
    for (const one of stats.values()) {
      if (one.type === "inbound-rtp") {
        found.bytes += one.bytesReceived;
        if (one.kind === "video") found.frames += one.framesDecoded;
        else found.samples += one.totalSamplesReceived;
      }
      if (one.type !== "transport" || !one.selectedCandidatePairId) continue;
      const pair = stats.get(one.selectedCandidatePairId);
      const local = stats.get(pair.localCandidateId);
      const over = local.relayProtocol ? ` over ${local.relayProtocol}` : "";
      found.ways.push(`${local.candidateType} ${local.protocol}${over}`);
    }
  }
  return found;
}"""


@dataclass(frozen=True)
class Received:
    """What a caller's browser has got so far."""

    frames: int  # of video, decoded
    bytes: int
    samples: int  # of sound
    ways: tuple[str, ...]  # how it comes: "host udp", "relay udp over tcp"


class Caller:
    """Somebody with one tab on Element Call."""

    def __init__(self, browser: Browser, url: str, *, width: int = 1280, height: int = 800) -> None:
        self.url = url
        self.context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB")
        self.context.add_init_script(KEEP_CONNECTIONS)
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(SECONDS * 1000)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self._heard(said.text))

    def _heard(self, text: str) -> None:
        if "Content Security" in text:
            self.errors.append(text)

    def close(self) -> None:
        if self.context.browser and self.context.browser.is_connected():
            self.context.close()

    def log_in(self, name: str, password: str = PASSWORD) -> Self:
        """At the log-in, which opens it unless it is open."""
        if not self.page.url.endswith("/login"):
            self.page.goto(f"{self.url}/login")
        self.page.get_by_placeholder("Username").fill(name)
        self.page.get_by_placeholder("Password").fill(password)
        self.page.get_by_role("button", name="Login").click()
        self.page.wait_for_url(re.compile(r"/(room/.*)?$"))
        return self

    def start(self, name: str) -> str:
        """A new call from the home page; the link to share. Ends in its lobby."""
        self.page.get_by_label("Name of call").fill(name)
        self.page.get_by_role("button", name="Go", exact=True).click()
        expect(self.join_button).to_be_visible(timeout=SECONDS * 1000)
        return self.page.url

    def open(self, link: str) -> None:
        """The lobby of a shared call."""
        self.page.goto(link)
        expect(self.join_button).to_be_visible(timeout=SECONDS * 1000)

    @property
    def join_button(self) -> Locator:
        return self.page.get_by_role("button", name="Join call")

    def join(self, link: str = "") -> Self:
        """From the lobby, or by a link, into the call."""
        if link:
            self.open(link)
        self.join_button.click()
        expect(self.tiles.first).to_be_visible(timeout=SECONDS * 1000)
        return self

    def leave(self) -> None:
        """Out of the call; ends on the home page."""
        self.page.get_by_test_id("incall_leave").click()
        self.page.wait_for_url(f"{self.url}/")

    def mute(self) -> None:
        self.page.get_by_role("switch", name="Mute microphone").click()

    def unmute(self) -> None:
        self.page.get_by_role("switch", name="Unmute microphone").click()

    @property
    def tiles(self) -> Locator:
        return self.page.get_by_test_id("videoTile")

    def received(self) -> Received:
        found: dict[str, Any] = self.page.evaluate(COUNT)
        return Received(found["frames"], found["bytes"], found["samples"], tuple(sorted(found["ways"])))

    def sees(self, frames: int = 20, seconds: float = SECONDS) -> Received:
        """Wait until so many more frames of somebody were decoded; new connections count from nothing."""
        last, seen, deadline = self.received(), 0, time.monotonic() + seconds
        while time.monotonic() < deadline:
            now = self.received()
            seen += now.frames - last.frames if now.frames >= last.frames else now.frames
            if seen >= frames:
                return now
            last = now
            self.page.wait_for_timeout(50)
        raise AssertionError(f"only {seen} frames in {seconds} s; now {last}\n{self.text()}")

    def text(self) -> str:
        """What is to be read on the page."""
        return self.page.inner_text("body")


@contextmanager
def chromium(playwright: Playwright, path: str, *more: str) -> Iterator[Browser]:
    """A browser of its own, with false cameras and nobody to ask for leave."""
    browser = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, *more])
    try:
        yield browser
    finally:
        browser.close()


def process_of(browser: Browser) -> int:
    """The browser's own process; the others of it end with it."""
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    return next(int(process["id"]) for process in found if process["type"] == "browser")
