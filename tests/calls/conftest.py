"""Chromium with false cameras, and people with accounts on the shared server."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Playwright, sync_playwright

from calls.call import PASSWORD, Caller, chromium
from conftest import Stack
from programs import missing, need


def add_people(stack: Stack, *names: str) -> None:
    """Accounts with the password of all tests."""
    for name in names:
        done = stack.cli("user", "add", name, "--password-stdin", stdin=f"{PASSWORD}\n")
        assert done.returncode == 0, done.stderr


def calls_of(stack: Stack) -> str:
    """Where its calls are; without LiveKit or Element Call on this machine there is nothing to test."""
    address = stack.status()["addresses"].get("call")
    if not address:
        missing("LiveKit or Element Call could not be got")
    return str(address)


@pytest.fixture(scope="session")
def chromium_path() -> str:
    return need("chromium")


@pytest.fixture(
    scope="module"
)  # Playwright keeps an event loop in this thread, and other tests need their own
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright, chromium_path: str) -> Iterator[Browser]:
    with chromium(playwright, chromium_path) as running:
        yield running


@pytest.fixture(scope="session")
def calls(stack: Stack) -> str:
    """The page for calls on the shared server, where ada and ben have accounts."""
    address = calls_of(stack)
    add_people(stack, "ada", "ben")
    return address


@pytest.fixture
def caller(browser: Browser, calls: str) -> Iterator[Callable[..., Caller]]:
    """Makes callers, in the module's browser or one that is given; errors of theirs fail the test."""
    made: list[Caller] = []

    def make(name: str = "", other: Browser | None = None, **size: int) -> Caller:
        one = Caller(other or browser, calls, **size)
        made.append(one)
        return one.log_in(name) if name else one

    yield make
    for one in made:
        one.close()
    assert [error for one in made for error in one.errors] == []
