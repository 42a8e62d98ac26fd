"""Chromium that trusts one more authority, as a person makes it: by certutil, in a home of its own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from programs import need

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--host-resolver-rules=MAP * 127.0.0.1"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@contextmanager
def chromium(home: Path, root: Path | None, *arguments: str) -> Iterator[Browser]:
    """Every name leads to this machine; only what `root` signed is trusted."""
    path, certutil = need("chromium"), need("certutil")
    database = home / ".pki/nssdb"
    database.mkdir(parents=True)
    store = (certutil, "-d", f"sql:{database}")
    subprocess.run([*store, "-N", "--empty-password"], check=True, timeout=30)
    if root:
        subprocess.run([*store, "-A", "-t", "C,,", "-n", "samsesh", "-i", str(root)], check=True, timeout=30)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[*ARGUMENTS, *arguments],
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
        )
        yield browser
        browser.close()


def protocol_if_asked_for_http3(home: Path, root: Path, host: str) -> str:
    """What a browser that is told to use HTTP/3 at HOST:PORT gets its page over: "h3", "h2"."""
    forced = ("--enable-quic", f"--origin-to-force-quic-on={host}")
    with chromium(home, root, *forced) as browser:
        page = browser.new_page()
        answer = page.goto(f"https://{host}/")
        assert answer and answer.status == 200
        used: str = page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
        return used
