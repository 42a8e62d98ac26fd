"""What `destroy` refuses before it asks anything."""

from pathlib import Path

import pytest

from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.ops import destroy


def test_a_server_that_starts_with_the_machine_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What would start a deleted server at boot is undone first, and the hint says how."""
    home = Home(tmp_path / "home")
    home.prepare()
    home.settings_file.write_text("")
    monkeypatch.setattr("samsesh.ops.service.installed", lambda home: "cron")
    with pytest.raises(SamseshError) as refused:
        destroy.target(home)
    assert "install-service --remove" in refused.value.hint
    assert home.settings_file.exists()
