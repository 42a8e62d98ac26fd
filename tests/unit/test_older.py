"""An older installation is recognised by what it leaves, and no new server takes its name by chance."""

import io
import os
from pathlib import Path

import pytest

from samsesh.cli import older as cli
from samsesh.cli import output
from samsesh.errors import SettingsError
from samsesh.home import Home
from samsesh.ops import older

PROJECT = "services:\n  synapse:\n    image: matrixdotorg/synapse:latest\n    volumes: [./synapse:/data]\n"


def put(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "signs", "name"),
    [
        ({"synapse/homeserver.db": "SQLite format 3"}, ("synapse/homeserver.db",), ""),
        ({"synapse/old.test.signing.key": "ed25519 a_x y"}, ("synapse/old.test.signing.key",), "old.test"),
        ({".setup-config": "ADMIN=me\n", ".env": "SYNAPSE_SERVER_NAME=old.test\n"}, (".setup-config",), "old.test"),
        ({"docker-compose.yaml": PROJECT}, ("docker-compose.yaml",), ""),
        ({"compose.yml": "x:\n  image: ghcr.io/element-hq/synapse:v1.1\n"}, ("compose.yml",), ""),
        (
            {"data/homeserver.yaml": '# mine\nserver_name: "old.test"  # yes\n', "data/b.test.signing.key": ""},
            ("data/homeserver.yaml", "data/b.test.signing.key"),
            "old.test",
        ),
        ({".setup-config": "", "x.signing.key": "", ".env": "not a line"}, (".setup-config", "x.signing.key"), "x"),
    ],
)  # fmt: skip
def test_what_it_is_known_by(
    tmp_path: Path, files: dict[str, str], signs: tuple[str, ...], name: str
) -> None:
    """The database, a signing key, the document's settings and its compose project; its name where one says it."""
    put(tmp_path, files)
    assert older.look(tmp_path) == older.Older(tmp_path, signs, name)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"README.md": "matrixdotorg/synapse", "docker-compose.yaml": "image: postgres:16\n"},
        {"compose.yaml": "image: ghcr.io/element-hq/synapse:v1\nlabels: {net.samsesh.fingerprint: x}\n"},
        {"samsesh.toml": "", "secrets/signing_key": "ed25519 a_x y", "config/synapse/homeserver.yaml": ""},
    ],
)
def test_what_is_none(tmp_path: Path, files: dict[str, str]) -> None:
    """Other projects, and a server of ours, are no older installation."""
    put(tmp_path, files)
    assert older.look(tmp_path) is None


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    out = io.StringIO()
    monkeypatch.setattr(output, "errors", output.Speaker(file=out))
    return out


@pytest.mark.parametrize("argv", [["up"], ["up", "--yes"], ["setup", "-y"], ["up", "--foreground"]])
def test_nothing_is_made_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str], told: io.StringIO
) -> None:
    """`--yes` is no answer to this question, and without a terminal nobody can be asked: what to do is said."""
    put(tmp_path, {"synapse/homeserver.db": "", "synapse/old.test.signing.key": ""})
    monkeypatch.chdir(tmp_path)
    home = Home(tmp_path / "home")
    with pytest.raises(SettingsError, match=r"an older installation of the server old\.test") as raised:
        cli.settle(home, argv)
    assert "--new-server" in raised.value.hint and "docker compose up" in raised.value.hint
    cli.settle(home, [*argv, "--new-server"])
    assert "none of its accounts" in " ".join(told.getvalue().split())


def test_pipes_hold_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root looks into folders of others, where a pipe or a folder may be in the place of a file."""
    for name in ("docker-compose.yaml", "homeserver.yaml", "state.json", ".env"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "compose.yaml").mkdir()
    put(tmp_path, {"a.test.signing.key": ""})
    assert older.look(tmp_path) == older.Older(tmp_path, ("a.test.signing.key",), "a.test")
    assert not older.started(Home(tmp_path))


def test_a_home_that_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be named as the home, too; a server of ours that was started there is not asked about again."""
    put(tmp_path, {"synapse/homeserver.db": ""})
    monkeypatch.chdir("/")
    home = Home(tmp_path)
    with pytest.raises(SettingsError, match="older installation"):
        cli.settle(home, ["up", "--yes"])
    home.remember(server_name="new.test")
    cli.settle(home, ["up", "--yes"])
