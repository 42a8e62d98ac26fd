"""The `.env` of the current folder: the document's way, and no way in for anybody else."""

import os
from pathlib import Path

import pytest

from samsesh import local_env
from samsesh.environment import DOCUMENT, SECRET_VARIABLES

OTHER = 61_236  # nobody has it; other tests look for files of `nobody`
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can be another user")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that we are in."""
    folder = tmp_path / "project"
    folder.mkdir(mode=0o755)
    monkeypatch.chdir(folder)
    return folder


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / ".env"
    path.write_text(text)
    path.chmod(mode)
    return path


def read(**environ: str) -> local_env.LocalEnv:
    return local_env.read(environ, Path("/nonexistent"))


def test_the_documents_variables(project: Path) -> None:
    """Every variable of the document is taken from there; nothing that is no setting, and the shell counts over it."""
    write(
        project,
        "".join(f"{name}=7\n" for name in (*DOCUMENT, *SECRET_VARIABLES)) + "PATH=/evil\nSAMSESH_HOME=/evil",
    )
    found = read(TZ="UTC", PATH="/bin")
    assert set(found.variables) == {*DOCUMENT, *SECRET_VARIABLES} - {"TZ"} and found.remarks == ()


def test_the_homes_own_is_left_to_the_settings(project: Path) -> None:
    """In the home itself it is read with the settings, live."""
    write(project, "TZ=UTC")
    assert local_env.read({}, project) == local_env.LocalEnv()


def test_what_it_sets_is_told_without_secrets(project: Path) -> None:
    """That it is used and what it says; of secrets the names only."""
    path = write(project, "SYNAPSE_SERVER_NAME=a.org\nTURN_SHARED_SECRET=hunter2-hunter2-hunter2")
    assert read().told == f"{path} is used: SYNAPSE_SERVER_NAME=a.org, TURN_SHARED_SECRET"


@pytest.mark.parametrize(
    "variable", ["SAMSESH_ARTIFACTS_LIVEKIT", "SAMSESH_IMAGES_SYNAPSE", "SAMSESH_EXTRA_SYNAPSE"]
)
def test_no_programs(project: Path, variable: str) -> None:
    """What is run is never named there; it is said where it can be."""
    write(project, f"{variable}=/tmp/evil\nTZ=UTC")
    found = read()
    assert found.variables == {"TZ": "UTC"}
    assert variable in found.remarks[0] and "samsesh config set" in found.remarks[0]


def test_readable_by_others(project: Path) -> None:
    """It is closed to them, and that is said; a file without anything of ours is left alone."""
    path = write(project, "TZ=UTC", 0o644)
    assert "closed to them now" in read().remarks[0] and path.stat().st_mode & 0o777 == 0o600
    write(project, "OTHER=1", 0o644)
    assert read().remarks == () and path.stat().st_mode & 0o777 == 0o644


def test_writable_for_everybody(project: Path) -> None:
    """A file, or a folder, in which anybody can write."""
    write(project, "TZ=UTC", 0o666)
    assert read().variables == {} and "everybody could have written it" in read().remarks[0]
    write(project, "TZ=UTC")
    for mode in (0o777, 0o1777):
        project.chmod(mode)
        assert read().variables == {} and "everybody could have written it" in read().remarks[0]


@needs_root
def test_somebody_elses(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Theirs, in a folder of theirs, or where a link leads: not heeded. Under sudo the caller's own is."""
    path = write(project, "TZ=UTC")
    os.chown(path, OTHER, 0)
    assert read().variables == {} and "user 61236 could have written it" in read().remarks[0]
    monkeypatch.setenv("SUDO_UID", str(OTHER))
    assert read().variables == {"TZ": "UTC"}
    os.chown(project, OTHER, 0)
    assert read().variables == {"TZ": "UTC"}
    monkeypatch.delenv("SUDO_UID")
    os.chown(path, 0, 0)
    assert read().variables == {}  # in their folder
    os.chown(project, 0, 0)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    write(elsewhere, "TZ=UTC")
    path.unlink()
    path.symlink_to(elsewhere / ".env")
    assert read().variables == {"TZ": "UTC"}
    os.chown(elsewhere, OTHER, 0)
    assert read().variables == {}


@needs_root
def test_what_somebody_else_puts_in_the_way(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of theirs above the one that a link leads to, or another folder in the place of ours meanwhile."""
    theirs = tmp_path / "theirs"
    (theirs / "mine").mkdir(parents=True)
    os.chown(theirs, OTHER, 0)
    write(theirs / "mine", "TZ=Asia/Tokyo")
    (project / ".env").symlink_to(theirs / "mine/.env")
    assert read().variables == {} and "user 61236" in read().remarks[0]
    (project / ".env").unlink()
    write(project, "TZ=UTC")
    monkeypatch.setattr(Path, "cwd", lambda: theirs / "mine")  # where we were a moment ago
    assert read().variables == {"TZ": "UTC"}


def test_what_is_no_such_file(project: Path) -> None:
    """Another program's file in another syntax is passed over in one line, a folder or a pipe without one."""
    write(project, "no env file at all")
    assert read().variables == {} and "line 1" in read().remarks[0]
    (project / ".env").unlink()
    assert read() == local_env.LocalEnv()
    os.mkfifo(project / ".env")
    assert read() == local_env.LocalEnv()
