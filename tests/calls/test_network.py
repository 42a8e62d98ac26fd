"""Calls through firewalls: a server and two browsers in a network namespace, where packets of browsers are dropped."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

from calls.call import Caller, chromium
from calls.conftest import add_people, calls_of
from conftest import Stack
from programs import need

pytestmark = [pytest.mark.native, pytest.mark.browser, pytest.mark.slow]

NAME = f"samsesh-{os.getpid()}"
INSIDE = ("ip", "netns", "exec", NAME)
MEDIA = "10.99.0.1"
# Browsers here run as root and the server does not: so it is only theirs that is dropped.
DROP = "table inet firewall {{\nchain out {{\ntype filter hook output priority 0; {}\n}}\n}}\n"
UDP = "meta skuid 0 meta l4proto udp drop;"
LIVEKIT_UDP = "meta skuid 0 udp dport 7882 drop;"
LIVEKIT_TCP = "meta skuid 0 tcp dport 7881 drop;"
TURN_TCP = "meta skuid 0 tcp dport 3478 drop;"


def root(*command: str, stdin: str = "") -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def namespace() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.skip("only root makes a network namespace")
    need("ip"), need("nft")
    root("ip", "netns", "add", NAME)
    try:
        root("ip", "-n", NAME, "link", "set", "lo", "up")
        root("ip", "-n", NAME, "link", "add", "media0", "type", "veth", "peer", "name", "media1")
        root("ip", "-n", NAME, "address", "add", f"{MEDIA}/24", "dev", "media0")
        for end in ("media0", "media1"):
            root("ip", "-n", NAME, "link", "set", end, "up")
        yield
    finally:
        root("ip", "netns", "delete", NAME)


@pytest.fixture(scope="module")
def inside(namespace: None, homes: Path) -> Iterator[Stack]:
    """A server that tells clients an address of its own to send media to, so that coturn relays for LiveKit, too."""
    made = Stack(homes / "inside", 0, prefix=INSIDE)
    try:
        done = made.cli("config", "set", "calls.media_addresses", f'["{MEDIA}"]')
        assert done.returncode == 0, done.stderr
        made.up()
        add_people(made, "ada", "ben")
        yield made
    finally:
        made.cli("down")


@pytest.fixture(scope="module")
def browsers(
    inside: Stack, playwright: Playwright, chromium_path: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    start = tmp_path_factory.mktemp("inside") / "chromium"
    start.write_text(f'#!/bin/sh\nexec {" ".join(INSIDE)} {chromium_path} "$@"\n')
    start.chmod(0o755)
    with chromium(playwright, str(start)) as running:
        yield running


@contextmanager
def firewall(*rules: str) -> Iterator[None]:
    root(*INSIDE, "nft", "-f", "-", stdin=DROP.format(" ".join(rules)))
    try:
        yield
    finally:
        root(*INSIDE, "nft", "delete", "table", "inet", "firewall")


@pytest.fixture
def caller(inside: Stack, browsers: Browser) -> Iterator[Callable[[str], Caller]]:
    made: list[Caller] = []

    def make(name: str) -> Caller:
        made.append(Caller(browsers, calls_of(inside)))
        return made[-1].log_in(name)

    yield make
    for one in made:
        one.close()


@pytest.mark.parametrize(
    ("rules", "way"),
    [
        ((), "host udp"),
        ((UDP,), "tcp"),
        ((LIVEKIT_UDP, LIVEKIT_TCP, TURN_TCP), "relay udp over udp"),
        ((UDP, LIVEKIT_TCP), "relay udp over tcp"),
    ],
    ids=["open", "no UDP", "only TURN over UDP", "only TURN over TCP"],
)
def test_through_a_firewall(caller: Callable[[str], Caller], rules: tuple[str, ...], way: str) -> None:
    """Two people see each other whatever is let through: UDP, TCP, or nothing but the TURN server's port."""
    with firewall(*rules):
        ada, ben = caller("ada"), caller("ben")
        link = ada.start("Tea time")
        ada.join()
        ben.join(link)
        for one in (ada, ben):
            ways = one.sees().ways
            assert ways and all(way in found for found in ways)
