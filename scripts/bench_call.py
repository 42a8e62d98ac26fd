#!/usr/bin/env python3
"""Measures how long it takes from pressing "Join call" to the first frame of the other side, in real browsers.

    python scripts/bench_call.py HOME [--times 5]

HOME is the home of a running server; python is that of the tests' environment. It makes two accounts and closes them
afterwards. Prints JSON: {"median, s", "all, s"}.
"""

import argparse
import json
import secrets
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from calls.call import PASSWORD, Caller, chromium


def samsesh(home: Path, *args: str, stdin: str = "") -> str:
    """The output of a command."""
    command = [sys.executable, "-I", "-m", "samsesh", "--home", str(home), *args]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode != 0:
        raise SystemExit(f"samsesh {args[0]}: {done.stderr}")
    return done.stdout


def found(home: Path) -> tuple[str, str]:
    """Where the server's calls are, and Chromium."""
    url = json.loads(samsesh(home, "status", "--json"))["addresses"].get("call")
    path = shutil.which("chromium")
    if not url or not path:
        raise SystemExit("this needs a running server with calls, and Chromium")
    return str(url), path


@contextmanager
def people(home: Path, *names: str) -> Iterator[list[str]]:
    """New accounts, which are closed afterwards."""
    made = [f"{name}-{secrets.token_hex(4)}" for name in names]
    for account, name in zip(made, names, strict=True):
        shown = ("--display-name", name.capitalize())
        samsesh(home, "user", "add", account, "--password-stdin", *shown, stdin=f"{PASSWORD}\n")
    try:
        yield made
    finally:
        for account in made:
            samsesh(home, "user", "deactivate", account, "--yes")


def measure(browser: Browser, url: str, names: list[str], times: int) -> list[float]:
    host, guest = (Caller(browser, url).log_in(name) for name in names)
    link = host.start("Tea time")
    host.join()
    taken = []
    for _ in range(times):
        guest.open(link)
        guest.page.wait_for_timeout(1000)  # somebody looks at themselves before they press
        began = time.monotonic()
        guest.join()
        guest.sees(1)
        taken.append(time.monotonic() - began)
        guest.leave()
    for one in (host, guest):
        one.close()
    return taken


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("--times", type=int, default=5)
    wanted = parser.parse_args()
    url, path = found(wanted.home)
    with (
        people(wanted.home, "ada", "ben") as names,
        sync_playwright() as playwright,
        chromium(playwright, path) as browser,
    ):
        taken = measure(browser, url, names, wanted.times)
    rounded = [round(one, 2) for one in taken]
    print(json.dumps({"median, s": round(statistics.median(taken), 2), "all, s": rounded}))


if __name__ == "__main__":
    main()
