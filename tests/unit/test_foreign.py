"""What of a backup chooses what runs here."""

import tomllib
from pathlib import Path

from samsesh.home import Home
from samsesh.ops import foreign

SETTINGS = """\
# kept
[server]
name = "a.test"
trial = true

[artifacts]
livekit = "/tmp/evil"  # gone
offline = true
mirror = "https://github.com"

[images]
synapse = "evil.test/synapse:1"  # an empty variable lies over it

[extra.synapse]
modules = [{module = "evil", config = {}}]

[extra.element_web]
"""
ENV = """\
# kept
SAMSESH_BRAND_NAME="A \\u2028 B"
export SAMSESH_ARTIFACTS_TURNSERVER = '/tmp/evil'
SAMSESH_IMAGES_SYNAPSE=
SAMSESH_ARTIFACTS_LIVEKIT=/tmp/other
SAMSESH_DATABASE_URL=postgresql://me:hush@db.test:5433/chat?sslmode=require
TZ=UTC
SAMSESH_ARTIFACTS_LIVEKIT=/tmp/third
"""


def foreign_home(path: Path) -> Home:
    home = Home(path)
    home.settings_file.write_text(SETTINGS)
    home.env_file.write_text(ENV)
    return home


def test_what_chooses_programs_is_seen_wherever_it_stands(tmp_path: Path) -> None:
    """Both files are looked through, the value in force is shown, empty ones are no choice, passwords are hidden."""
    choices = {choice.name: choice for choice in foreign.settings(foreign_home(tmp_path))}
    assert {name: choice.value for name, choice in choices.items() if name != "database.url"} == {
        "artifacts.livekit": "/tmp/third",
        "artifacts.turnserver": "/tmp/evil",
        "artifacts.mirror": "https://github.com",
        "images.synapse": "evil.test/synapse:1",
        "extra.synapse": {"modules": [{"module": "evil", "config": {}}]},
    }
    assert choices["artifacts.livekit"].shown == 'artifacts.livekit = "/tmp/third"'
    assert choices["artifacts.livekit"].again == "samsesh config set artifacts.livekit /tmp/third"
    assert choices["extra.synapse"].again == (
        """samsesh config set extra.synapse '{"modules": [{"module": "evil", "config": {}}]}'"""
    )
    database = choices["database.url"]
    assert database.shown == 'database.url = "postgresql://me:***@db.test:5433/chat"'
    assert "hush" not in database.again


def test_what_is_left_out_is_gone_from_both_files(tmp_path: Path) -> None:
    """Every line that sets such a variable goes, also one that does not count; all else stays, comments included."""
    home = foreign_home(tmp_path)
    foreign.leave_out(home, foreign.settings(home))
    assert foreign.settings(home) == []
    data = tomllib.loads(home.settings_file.read_text())
    assert data["artifacts"] == {"offline": True}
    assert data["server"]["name"] == "a.test"
    assert "# kept" in home.settings_file.read_text()
    assert home.env_file.read_text().splitlines() == [
        "# kept",
        'SAMSESH_BRAND_NAME="A \\u2028 B"',
        "TZ=UTC",
    ]
    assert home.env_file.stat().st_mode & 0o777 == 0o600
