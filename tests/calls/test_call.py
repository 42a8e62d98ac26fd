"""Calls between real browsers, through the real page, on the real server."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from playwright.sync_api import Playwright, expect

from calls.call import PASSWORD, SECONDS, Caller, chromium, process_of
from calls.conftest import add_people
from conftest import Stack

pytestmark = [pytest.mark.browser, pytest.mark.slow]

GONE_SECONDS = 45  # LiveKit notices a dead browser within 15 to 20
BACK_SECONDS = 60
ROOMS = 200
MANY_ROOMS_SECONDS = 60  # two cores, other tests beside it: 32 s was seen on a slow machine

Callers = Callable[..., Caller]


def started(ada: Caller) -> str:
    """A new call with her in it; the link to share."""
    link = ada.start("Tea time")
    ada.join()
    return link


def talking(caller: Callers) -> tuple[Caller, Caller, str]:
    """Two people in a new call who see each other."""
    ada, ben = caller("ada"), caller("ben")
    link = started(ada)
    ben.join(link)
    ada.sees()
    ben.sees()
    return ada, ben, link


def test_two_people_see_and_hear_each_other(caller: Callers) -> None:
    """A call begins on the home page, in a room of Synapse's default version; the link is enough to take part.

    Pictures and sound arrive on both sides; who is muted or leaves is seen to.
    """
    ada, ben, _ = talking(caller)
    room = parse_qs(urlsplit(ada.page.url).fragment.partition("?")[2])["roomId"][0]
    assert ada.page.evaluate("id => matrixclient.getRoom(id).getVersion()", room) == "12"
    expect(ada.tiles).to_have_count(2)
    expect(ada.page.get_by_text("ben", exact=True)).to_be_visible()
    before = ada.received()
    assert ada.sees().samples > before.samples and ada.sees().ways == ("host udp",)
    ben.mute()
    expect(ada.page.get_by_label("Microphone off")).to_be_visible()
    ben.unmute()
    expect(ada.page.get_by_label("Microphone off")).to_have_count(0)
    ben.leave()
    expect(ada.tiles).to_have_count(1)
    expect(ben.page.get_by_role("heading", name="Start new call")).to_be_visible()


def test_the_key_is_in_the_link(caller: Callers) -> None:
    """Without the link's password somebody gets the packets of a call and sees nothing: it is encrypted end to end."""
    ada, ben = caller("ada"), caller("ben")
    link = ada.start("Secret")
    assert "/room/#/secret?" in link and "password=" in link and "roomId=" in link
    ada.join()
    ben.join(link.replace("password=", "password=x"))
    deadline = time.monotonic() + SECONDS
    while (got := ben.received()).bytes < 100_000 and time.monotonic() < deadline:
        ben.page.wait_for_timeout(200)
    assert got.bytes >= 100_000 and got.frames == 0
    ben.page.goto("about:blank")  # another fragment alone would load nothing
    ben.join(link)
    ben.sees()


def test_a_reload_keeps_the_call(caller: Callers) -> None:
    """The page of a call can be loaded anew: one press, and both see each other again."""
    ada, ben, link = talking(caller)
    ben.page.reload()
    assert ben.page.url == link
    ben.join()
    ben.sees()
    ada.sees()
    expect(ada.tiles).to_have_count(2)


def kill(stack: Stack, unit: str) -> None:
    """The worst end of a service."""
    services = {service["name"]: service for service in stack.status()["services"]}
    os.kill(services[unit]["pid"], signal.SIGKILL)


@pytest.mark.parametrize("service", ["", "rtc-auth"])
def test_who_dies_disappears(
    caller: Callers, stack: Stack, playwright: Playwright, chromium_path: str, service: str
) -> None:
    """When a browser is killed, the others soon see that this person is gone, without anybody's doing.

    Also when the service that saw them come has been started again meanwhile.
    """
    with chromium(playwright, chromium_path) as doomed:
        ada, ben = caller("ada"), caller("ben", other=doomed)
        ben.join(started(ada))
        ada.sees()
        if service:
            kill(stack, service)
            stack.up()  # waits until it is there again
            ada.sees()
        os.kill(process_of(doomed), signal.SIGKILL)
        began = time.monotonic()
        expect(ada.tiles).to_have_count(1, timeout=GONE_SECONDS * 1000)
        print(f"gone after {time.monotonic() - began:.1f} s")  # noqa: T201


def test_the_call_comes_back(caller: Callers, stack: Stack) -> None:
    """When LiveKit dies, the server starts it again and the browsers find back into their call by themselves."""
    ada, ben, _ = talking(caller)
    kill(stack, "livekit")
    began = time.monotonic()
    ada.page.wait_for_timeout(1000)  # what was on its way is counted, too
    for one in (ada, ben):
        one.sees(40, BACK_SECONDS)
    print(f"back after {time.monotonic() - began:.1f} s")  # noqa: T201


def test_somebody_with_many_rooms(caller: Callers, stack: Stack) -> None:
    """Who is in 200 rooms logs in and joins a call as others do."""
    add_people(stack, "busy")
    api = stack.url("homeserver")
    with httpx2.Client(base_url=f"{api}/_matrix/client/v3", timeout=60) as http:
        who = {"type": "m.id.user", "user": "busy"}
        answer = http.post(
            "/login", json={"type": "m.login.password", "identifier": who, "password": PASSWORD}
        )
        http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

        def make(number: int) -> int:
            return http.post("/createRoom", json={"name": f"Room {number}"}).status_code

        with ThreadPoolExecutor(4) as several:
            assert set(several.map(make, range(ROOMS))) == {200}
    ada = caller("ada")
    link = started(ada)
    busy = caller()
    began = time.monotonic()
    busy.page.goto(link)
    busy.log_in("busy").join()
    busy.sees()
    assert time.monotonic() - began < MANY_ROOMS_SECONDS
    ada.sees()
