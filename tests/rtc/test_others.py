"""Which other homeservers' users may come, and whose certificates count."""

import json
from pathlib import Path

import pytest

from rtc.running import Authority, Local, Run, current
from samsesh.errors import SettingsError
from samsesh.rtc.config import read


def test_a_private_authority(run: Run, homeserver: Local, authority: Authority) -> None:
    """SAMSESH_RTC_CA is trusted when a homeserver is asked; without it, its certificate is not right."""
    with_it = run(SSL_CERT_FILE=None, SAMSESH_RTC_CA=authority.bundle)
    assert with_it.post("/get_token", current(homeserver.name)).status == 200
    without = run(SSL_CERT_FILE=None)
    assert without.post("/get_token", current(homeserver.name)).status == 401
    assert "its certificate is not right" in without.logged()


@pytest.mark.parametrize(
    ("variable", "names", "status"),
    [
        ("SAMSESH_RTC_ALLOW_HOMESERVERS", "other.example,{}", 200),
        ("SAMSESH_RTC_ALLOW_HOMESERVERS", "other.example", 401),
        ("SAMSESH_RTC_DENY_HOMESERVERS", "other.example,{}", 401),
        ("SAMSESH_RTC_DENY_HOMESERVERS", "other.example", 200),
    ],
)
def test_lists_of_homeservers(run: Run, homeserver: Local, variable: str, names: str, status: int) -> None:
    """Who is not allowed, or is denied, gets no token, and is not even asked; the log says why."""
    rtc = run(**{variable: names.format(homeserver.name)})
    before = len(homeserver.stub.hits)
    assert rtc.post("/get_token", current(homeserver.name)).status == status
    if status != 200:
        assert len(homeserver.stub.hits) == before
        reasons = [json.loads(line).get("reason") for line in rtc.logged().splitlines()]
        assert "the settings do not let users of this homeserver come" in reasons


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_authority_that_is_none(tmp_path: Path, content: str | None) -> None:
    """A file that is not there or has no certificates ends the start, and names the variable."""
    path = tmp_path / "ca.pem"
    if content:
        path.write_text(content)
    usual = {
        "LIVEKIT_URL": "ws://localhost",
        "LIVEKIT_KEY": "a",
        "LIVEKIT_SECRET": "b",
        "LIVEKIT_FULL_ACCESS_HOMESERVERS": "*",
    }
    with pytest.raises(SettingsError, match="SAMSESH_RTC_CA"):
        read({**usual, "SAMSESH_RTC_CA": str(path)})
