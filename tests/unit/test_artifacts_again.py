"""Programs that could not be had: what a repeated `up` does about them."""

import time
from pathlib import Path
from types import ModuleType

import pytest

from samsesh.artifacts import livekit
from samsesh.cache import Artifact, Search
from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.ops import programs
from samsesh.settings import Settings


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    return home


def module(obtain: object) -> ModuleType:
    """One that is got as `obtain` says."""
    made = ModuleType("livekit")
    made.__dict__.update(NAME=livekit.NAME, obtain=obtain)
    return made


def test_what_failed_a_moment_ago_is_not_waited_for(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next `up` leaves it to the background, unless the settings say otherwise by now, or some time has passed."""
    settings = Settings.model_validate({})
    looking = programs.search(home, settings)

    def fail(search: Search) -> Artifact:
        raise SamseshError("no route")

    names = [livekit.NAME]
    assert programs.failed_lately(home, settings, names) == []
    assert programs.get(home, settings, looking, module(fail)) is not None
    assert programs.failed_lately(home, settings, names) == names
    assert programs.failed_lately(home, settings, ["element-web"]) == []
    other = Settings.model_validate({"artifacts": {"mirror": "https://mirror.example.org"}})
    assert programs.failed_lately(home, other, names) == []
    with monkeypatch.context() as later:
        now = time.time()
        later.setattr(time, "time", lambda: now + programs.LATELY + 1)
        assert programs.failed_lately(home, settings, names) == []

    def succeed(search: Search) -> Artifact:
        return Artifact(livekit.NAME, home.path, "1.13.5", "by this test")

    assert programs.get(home, settings, looking, module(succeed)) is None
    assert programs.failed_lately(home, settings, names) == []
