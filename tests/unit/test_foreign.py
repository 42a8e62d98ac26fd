"""What of a backup chooses what runs here."""

import io
import tomllib
from pathlib import Path

import pytest

from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.ops import archive, foreign, restore
from samsesh.ops.foreign import Choice

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


@pytest.mark.parametrize("name", foreign.NEVER)
def test_settings_are_nowhere_else(tmp_path: Path, name: str) -> None:
    """An archive cannot bring settings in among the operator's files, where nobody would have looked at them."""
    home = Home(tmp_path / "home")
    home.path.mkdir()
    out = io.BytesIO()
    writer = archive.writer(out)
    with writer.tar:
        writer.add(f"files/{name}", io.BytesIO(b"x"), 1)
        writer.finish({"server_name": "a.test"})
    with pytest.raises(SamseshError, match=f"files/{name}"):
        restore.restore(home, out, given={}, start=False, trusted=lambda choices: True, say=lambda text: None)
    assert not (home.path / name).exists() or name in ("audit.log", "lock")


def test_files_where_programs_look_for_theirs(tmp_path: Path) -> None:
    """Hidden files and those in folders of ours are a choice; certificates and pictures are not."""
    planted = [
        ".docker/cli-plugins/docker-compose",
        ".local/lib/python3.11/site-packages/usercustomize.py",
        "cache/livekit/livekit-server",
        "certificates/.hidden",
        "data/postgres/18/postgresql.auto.conf",
    ]
    for name in (*planted, "logo.svg", "certificates/chain.pem", "my.data/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert foreign.files(tmp_path) == [Choice(name) for name in planted]
    assert foreign.files(tmp_path)[0].shown == "the file .docker/cli-plugins/docker-compose"
    assert foreign.files(tmp_path / "none") == []
