"""Root's record: what root said counts, and nothing that the user of the services can write."""

import json
import os
import pwd
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from samsesh import home as homes
from samsesh.cli import consent
from samsesh.errors import SamseshError, SettingsError
from samsesh.home import Home
from samsesh.local_env import LocalEnv
from samsesh.ops import record
from samsesh.ops.privileges import service_user
from samsesh.ops.record import Record
from temporary import account

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it is root's record")
NATIVE, CONTAINERS = Record(), Record("compose")
FREE = 61_234  # nobody has it


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(homes, "ROOTS", tmp_path / "roots")
    monkeypatch.setattr(record, "ROOTS", tmp_path / "roots")
    service_user()
    (tmp_path / "home").mkdir()
    return Home(tmp_path / "home")


@pytest.fixture
def eve() -> Iterator[pwd.struct_passwd]:
    with account() as made:
        yield made


def settle(home: Home, line: str, local: LocalEnv | None = None, **environ: str) -> Record:
    argv = ["samsesh", *line.split()]
    return consent.settle(home, argv[1], argv, environ, local)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("up --engine compose", {"engine": "compose"}),
        ("up --engine=compose --yes", {"engine": "compose"}),
        ("engine switch compose", {"engine": "compose"}),
        ("restore FILE --engine compose", {"engine": "compose"}),
        ("config set server.engine compose", {"engine": "compose"}),
        ("config set server.uid 4321 server.gid 4322", {"uid": 4321, "gid": 4322}),
        ("config unset server.uid", {"uid": None}),
        ("config get server.uid", {}),
        ("up --engine native", {}),
        ("engine switch native", {}),
        ("config set server.uid 0", {}),
        ("config set server.uid ²", {}),  # a digit, and no number
        ("config set brand.name server.uid", {}),
        ("up --yes", {}),
        ("user add --engine compose", {}),
    ],
)
def test_the_command_line_is_roots_word(line: str, says: dict[str, object]) -> None:
    """Containers and their user are named there; the way back to processes takes Docker until it is done."""
    command, *words = line.split()
    assert consent.spoken(command, ["samsesh", command, *words]) == says


def test_what_root_said_is_kept(home: Home) -> None:
    """From then on every command has it; a preview keeps nothing, and processes need no record."""
    assert settle(home, "status") == NATIVE and settle(home, "up --dry-run --engine compose") == CONTAINERS
    assert settle(home, "render -o /srv/x") == CONTAINERS
    assert record.read(home) is None
    assert settle(home, "up --engine compose") == settle(home, "status") == CONTAINERS
    assert settle(home, f"config set server.uid {FREE}") == settle(home, "up") == Record("compose", FREE)
    assert (home.roots_folder / "record.json").stat().st_mode & 0o777 == 0o644


def test_the_home_does_not_count(home: Home) -> None:
    """What the user of the services can write says nothing: settings, .env, what is remembered, a compose.yaml."""
    (home.path / "samsesh.toml").write_text('[server]\nengine = "compose"\nuid = 42\ngid = 42\n')
    (home.path / ".env").write_text("SAMSESH_SERVER_ENGINE=compose\nUID=42\nGID=42\n")
    (home.path / "state.json").write_text('{"engine": "compose"}')
    (home.path / "compose.yaml").write_text("services: {}")
    for command in ("up --yes", "status", "setup --yes"):
        assert settle(home, command, LocalEnv()) == NATIVE


def test_roots_variables(home: Home) -> None:
    """Of the process: root's word, where variables are taken at all, and only as long as nothing is recorded."""
    assert settle(home, "status", UID=str(FREE), SAMSESH_SERVER_ENGINE="compose") == NATIVE
    assert settle(home, "up", LocalEnv(), UID=str(FREE)) == NATIVE
    wanted = Record("compose", FREE)
    assert settle(home, "up", LocalEnv(), UID=str(FREE), SAMSESH_SERVER_ENGINE="compose") == wanted
    assert settle(home, "up", LocalEnv(), UID=str(FREE + 1)) == wanted


def test_an_env_file_is_confirmed_once(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    """Shown and asked about; --yes is a yes, and without anybody to ask nothing is taken. Later it is not asked again."""
    local = LocalEnv(
        Path("/srv/.env"), {"UID": str(FREE), "GID": str(FREE), "SAMSESH_SERVER_ENGINE": "compose"}
    )
    with pytest.raises(SettingsError, match="nobody is there to confirm"):
        settle(home, "up", local)
    assert record.read(home) is None
    wanted = Record("compose", FREE, FREE)
    assert settle(home, "up --yes", local) == wanted == record.read(home)
    assert f"engine compose, gid {FREE}, uid {FREE}" in capsys.readouterr().err
    assert settle(home, "up", local) == wanted
    record.write(home, CONTAINERS)
    assert settle(home, "up", local) == CONTAINERS  # it runs as somebody: a later difference is not followed
    with_processes = LocalEnv(Path("/srv/.env"), {"UID": str(FREE)})
    assert settle(Home(home.path / "other"), "up", with_processes) == NATIVE  # of no use there, so not asked


@pytest.mark.parametrize("uid_and_gid", [(FREE, 42), (33, 33), (65534, 65534), (FREE, 1)])
def test_the_systems_ids_are_refused(home: Home, uid_and_gid: tuple[int, int]) -> None:
    """shadow's group, www-data, nobody, daemon: whoever says it, nothing of it is recorded."""
    uid, gid = uid_and_gid
    with pytest.raises(SettingsError, match="cannot run as"):
        settle(home, "up --yes", LocalEnv(), UID=str(uid), GID=str(gid), SAMSESH_SERVER_ENGINE="compose")
    assert record.read(home) is None


def test_a_persons_ids(home: Home, eve: pwd.struct_passwd) -> None:
    """The document's use: one's own numbers. A person's group is for nobody else."""
    assert record.problem(eve.pw_uid, eve.pw_gid) == "" == record.problem(FREE, FREE)
    ours = service_user()
    assert record.problem(ours.pw_uid, ours.pw_gid) == ""
    assert eve.pw_name in record.problem(FREE, eve.pw_gid)
    assert "shadow" in record.problem(eve.pw_uid, 42)
    user = record.numbered(Record("compose", eve.pw_uid))
    assert (user.pw_name, user.pw_gid) == (eve.pw_name, eve.pw_gid)


def test_processes_are_never_a_persons(home: Home) -> None:
    """What ran in containers as somebody cannot become root's processes of that user."""
    record.write(home, Record("compose", FREE))
    with pytest.raises(SettingsError, match="root's processes run as the user samsesh"):
        settle(home, "engine switch native")


@pytest.mark.parametrize("how", ["owner", "mode", "link", "home", "text"])
def test_a_record_of_somebody_else(home: Home, how: str) -> None:
    """What root alone cannot have written is refused, not passed over."""
    record.write(home, CONTAINERS)
    path = home.roots_folder / "record.json"
    if how == "owner":
        os.chown(path, FREE, 0)
    elif how == "mode":
        path.chmod(0o664)
    elif how == "link":
        path.rename(path.with_name("other"))
        path.symlink_to("other")
    else:
        path.write_text(json.dumps({"home": "/other", **asdict(CONTAINERS)}) if how == "home" else "{")
    with pytest.raises(SamseshError, match="is damaged"):
        settle(home, "status")


def test_settings_that_root_wrote_into_a_new_home_are_roots_word(home: Home) -> None:
    """Containers and their user by Ansible's settings file need no more, and only while the home is root's own."""
    home.settings_file.write_text('[server]\nengine = "compose"\nuid = 4321\n')
    home.env_file.write_text(f"GID={FREE}\n")
    assert settle(home, "up --yes") == Record("compose", 4321, FREE)
    (home.roots_folder / record.FILE).unlink()
    os.chown(home.path, service_user().pw_uid, -1)
    assert settle(home, "up --yes") == NATIVE
