#!/usr/bin/env python3
"""Takes the picture of a call in the README, docs/images/call.png, with two drawn people before the cameras.

    python scripts/picture_call.py HOME FILE

HOME is the home of a running server; python is that of the tests' environment.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Playwright, sync_playwright

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1] / "tests")]
from bench_call import found, people  # noqa: E402 - found by the line above

from calls.call import Caller, chromium  # noqa: E402 - found by the line above

FRAMES = 30  # of a film that Chromium repeats
PERSON = """
<body style="margin:0"><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1280 720" width="1280" height="720">
<rect width="1280" height="720" fill="{wall}"/>
<circle cx="{lamp}" cy="150" r="90" fill="#fff3dc"/>
<path fill="{dusk}" opacity=".55" d="M70 420h250v14H70zM90 320h34v100H90zM130 300h26v120h-26zM162 335h40v85h-40zM231 386
a34 34 0 0 1 68 0a34 34 0 0 1-68 0z"/>
<path d="M330 720C345 545 470 500 640 500s295 45 310 220z" fill="{shirt}"/>
<rect x="585" y="420" width="110" height="120" rx="50" fill="{shade}"/>
<path d="{hair}" fill="{hair_color}"/>
<ellipse cx="640" cy="325" rx="118" ry="142" fill="{skin}"/>
<path d="{fringe}" fill="{hair_color}"/>
<g fill="#2b2230"><circle cx="596" cy="322" r="10"/><circle cx="684" cy="322" r="10"/></g>
<path d="M592 385q48 46 96 0" fill="none" stroke="#8c3b3b" stroke-width="9" stroke-linecap="round"/>
</svg>
"""
ADA = {
    "wall": "#e9a182",
    "dusk": "#8a4a6b",
    "lamp": "1010",
    "shirt": "#2f5d7c",
    "skin": "#f0c3a0",
    "shade": "#d9a783",
    "hair_color": "#4b2a20",
    "hair": "M470 560C440 300 500 150 640 150s200 150 170 410c-40 20-300 20-340 0z",
    "fringe": "M516 320c0-130 60-150 124-150s124 20 124 150c-50-20-80-60-100-100-40 60-90 90-148 100z",
}
BEN = {
    "wall": "#86aecd",
    "dusk": "#31476b",
    "lamp": "250",
    "shirt": "#c9683f",
    "skin": "#9a6648",
    "shade": "#7f5138",
    "hair_color": "#1c1614",
    "hair": "M512 330c-20-170 60-200 128-200s148 30 128 200z",
    "fringe": "M520 290c0-110 60-130 120-130s120 20 120 130c-60-40-180-40-240 0z",
}


def film(browser: Browser, looks: dict[str, str], file: Path) -> Path:
    """A film (Motion JPEG) in which somebody looks at us."""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.set_content(PERSON.format(**looks))
    file.write_bytes(page.screenshot(type="jpeg", quality=90) * FRAMES)
    page.close()
    return file


def take(playwright: Playwright, home: Path, folder: Path, picture: Path) -> None:
    url, path = found(home)
    with chromium(playwright, path) as browser:
        films = [film(browser, looks, folder / f"{number}.mjpeg") for number, looks in enumerate((ADA, BEN))]
    option = "--use-file-for-fake-video-capture="
    with (
        people(home, "ada", "ben") as (ada, ben),
        chromium(playwright, path, f"{option}{films[0]}") as first,
        chromium(playwright, path, f"{option}{films[1]}") as second,
    ):
        host, guest = Caller(first, url).log_in(ada), Caller(second, url).log_in(ben)
        link = host.start("Tea time")
        host.join()
        guest.join(link)
        sharp = (
            "Math.min(...Array.from(document.querySelectorAll('video'), video => video.videoWidth)) >= 1280"
        )
        guest.page.wait_for_function(sharp, timeout=60_000)
        guest.sees(100)
        guest.page.mouse.move(5, 5)
        guest.page.screenshot(path=picture)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("file", type=Path)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        take(playwright, wanted.home, Path(folder), wanted.file)


if __name__ == "__main__":
    main()
