"""What a start of the service costs."""

import re
import sys

import pytest

from programs import free_port
from rtc.running import Rtc, Run

# What only some need, or nobody before the first call.
LATER = {"redis", "dns", "jwt", "cryptography", "typer", "rich", "pydantic", "livekit", "prometheus_client"}


@pytest.mark.parametrize("strict", ["0", "1"])
def test_a_start_loads_what_it_needs(run: Run, strict: str) -> None:
    """The first answer waits for no library that it has no use for: it costs half the time."""
    started = run(SAMSESH_RTC_STRICT=strict)
    command = (sys.executable, "-X", "importtime", *started.command[1:])
    environ = {**started.environ, "LIVEKIT_JWT_BIND": f"127.0.0.1:{free_port()}"}
    rtc = Rtc(environ, started.log.with_name("imports"), command).start()
    try:
        assert rtc.ask("GET", "/healthz").status == 200
    finally:
        rtc.stop()
    loaded = {name.partition(".")[0] for name in re.findall(r"^import time:.*\| +(\S+)$", rtc.logged(), re.M)}
    assert "aiohttp" in loaded
    assert not loaded & LATER
