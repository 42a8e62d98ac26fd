"""The real Element Web, where SAMSESH_TEST_ELEMENT_WEB names its folder: what a stand-in can only promise."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from conftest import Stack
from pages import contrast
from programs import element_call_pages, livekit_server
from system.trouble import fine

REAL = os.environ.get("SAMSESH_TEST_ELEMENT_WEB", "")
pytestmark = [
    pytest.mark.native,
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not REAL, reason="SAMSESH_TEST_ELEMENT_WEB names no folder of a real Element Web"),
]
SHOTS = os.environ.get("SAMSESH_TEST_SCREENSHOTS", "")  # a folder, for people to look at them
PASSWORD = "a long enough one"


@pytest.fixture(scope="module")
def real(session_home: Callable[[str], Stack]) -> Stack:
    own = session_home("real-element-web")
    own.web = ""
    own.environ = {"SAMSESH_CACHE": str(own.path / "cache")}
    own.set(
        {
            "artifacts.element_web": REAL,
            "artifacts.livekit": str(livekit_server()),
            "artifacts.element_call": str(element_call_pages()),
            "turn.enabled": "no",
        }
    )
    own.up()
    return own
