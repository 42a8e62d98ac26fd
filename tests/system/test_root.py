"""Attacks on root's commands, by real users: who can write the home, or a folder that root is in, gains nothing."""

import os
import pwd
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Stack, give_to_service_user
from samsesh.home import ROOTS
from samsesh.ops.privileges import service_user
from system.trouble import fine, refused
from temporary import account

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="it is about root's commands")
SHADOW = 42


@pytest.fixture
def home(homes: Path, request: pytest.FixtureRequest) -> Stack:
    """A home that was set up and never ran."""
    stack = Stack(homes / request.node.name.partition("[")[0], 0, web="")
    fine(stack.cli("config", "set", "brand.name", "Chat"))
    return stack


@pytest.fixture
def eve() -> Iterator[pwd.struct_passwd]:
    with account() as made:
        yield made


def plant(home: Stack, name: str, text: str, mode: int = 0o600) -> None:
    """Somebody who became the user of the services puts a file into the home."""
    path = home.path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    give_to_service_user(home.path)


def run_in(folder: Path, home: Stack, *args: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """A command that root gives in a folder."""
    argv, env = home.argv(*args), {**home.env(*args), **environ}
    return subprocess.run(
        argv, env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("name", ["samsesh.toml", ".env"])
def test_the_home_names_no_group(home: Stack, name: str) -> None:
    """`gid = 42` and containers in files of the services' user: root's commands never have that group."""
    texts = {
        "samsesh.toml": f'[server]\nengine = "compose"\ngid = {SHADOW}\n',
        ".env": f"SAMSESH_SERVER_ENGINE=compose\nGID={SHADOW}\n",
    }
    plant(home, name, texts[name])
    fine(home.cli("config", "set", "brand.name", "Other"))
    assert (home.path / "samsesh.toml").stat().st_gid == service_user().pw_gid
    assert not (ROOTS / home.home.id).exists()


def test_the_home_gives_no_right_to_docker(home: Stack, homes: Path) -> None:
    """Containers that only the home's files name: `docker` is not run as root, and root is told how to confirm it."""
    plant(home, "samsesh.toml", '[server]\nengine = "compose"\n')
    plant(home, "state.json", '{"engine": "compose", "server_name": "localhost"}')
    seen, programs = homes / "seen", homes / "programs"
    programs.mkdir()
    refusal = "permission denied while trying to connect to the Docker daemon socket"
    script = f'#!/bin/sh\nid -u >>{seen}; echo \'{{"Server": null}}\'; echo "{refusal}" >&2; exit 1\n'
    (programs / "docker").write_text(script)
    (programs / "docker").chmod(0o755)
    seen.touch()
    seen.chmod(0o666)
    home.environ["PATH"] = f"{programs}:{os.environ['PATH']}"
    refused(home.cli("up", "--yes"), 1, "root has not confirmed", "--engine compose")
    assert set(seen.read_text().split()) == {str(service_user().pw_uid)}
    fine(home.cli("config", "set", "server.engine", "compose"))  # root's own word
    assert (ROOTS / home.home.id / "record.json").exists()
    home.cli("status")
    assert "0" in seen.read_text().split()


def test_a_foreign_env_file(home: Stack, homes: Path, eve: pwd.struct_passwd) -> None:
    """In a folder that everybody shares, or that is somebody's: nothing of it counts, and that is said in one line."""
    shared = homes / "shared-folder"
    shared.mkdir()
    shared.chmod(0o1777)
    file = shared / ".env"
    file.write_text(
        "SAMSESH_SERVER_ENGINE=compose\nSAMSESH_ARTIFACTS_LIVEKIT=/tmp/evil\nSYNAPSE_SERVER_NAME=evil.org\n"
    )
    os.chown(file, eve.pw_uid, eve.pw_gid)
    done = fine(run_in(shared, home, "up", "--yes", "--dry-run"))
    assert f"{file} is not heeded" in done.stderr and "evil" not in done.stdout
    os.chown(file, 0, 0)  # as a hard link to a file of root's would be
    assert "is not heeded: everybody" in run_in(shared, home, "up", "--yes", "--dry-run").stderr
    shared.chmod(0o755)
    os.chown(shared, eve.pw_uid, eve.pw_gid)
    assert f"is not heeded: {eve.pw_name}" in run_in(shared, home, "up", "--yes", "--dry-run").stderr


def test_the_callers_own_env_file(home: Stack, homes: Path, eve: pwd.struct_passwd) -> None:
    """As the document has it, under sudo: shown without secrets, closed to others, confirmed by --yes, and followed."""
    project = homes / "project"
    project.mkdir()
    file = project / ".env"
    file.write_text(
        f"SYNAPSE_SERVER_NAME=localhost\nTZ=Europe/Berlin\nUID={eve.pw_uid}\nGID={eve.pw_gid}\n"
        "SAMSESH_SERVER_ENGINE=compose\nTURN_SHARED_SECRET=hunter2-hunter2-hunter2\n"
        "SAMSESH_ARTIFACTS_LIVEKIT=/opt/mine\n"
    )
    for path in (project, file):
        os.chown(path, eve.pw_uid, eve.pw_gid)
    file.chmod(0o664)
    other = Stack(homes / "callers", 0, web="")
    sudo = {"SUDO_UID": str(eve.pw_uid), "SUDO_GID": str(eve.pw_gid), "SUDO_USER": eve.pw_name}
    refused(run_in(project, other, "setup", **sudo), 2, "nobody is there to confirm it")
    done = fine(run_in(project, other, "setup", "--yes", "--no-start", **sudo))
    assert f"{file} is used: " in done.stderr and "TZ=Europe/Berlin" in done.stderr
    assert f"engine compose, gid {eve.pw_gid}, uid {eve.pw_uid}" in done.stderr
    assert (
        "hunter2" not in done.stderr + done.stdout
        and "SAMSESH_ARTIFACTS_LIVEKIT says what is run" in done.stderr
    )
    assert file.stat().st_mode & 0o777 == 0o600 and file.stat().st_uid == eve.pw_uid
    assert other.path.stat().st_uid == eve.pw_uid
    assert (other.home.secrets_dir / "turn_shared_secret").read_text() == "hunter2-hunter2-hunter2"
    again = fine(other.cli("config", "get", "server.uid"))
    assert (
        again.stdout.strip() == str(eve.pw_uid) and "livekit" not in (other.path / "samsesh.toml").read_text()
    )


def test_a_backup_in_the_home_is_a_link(home: Stack, homes: Path) -> None:
    """Root that restores what the services' user put there reads nothing which that user may not."""
    secret = homes / "secret.tar"
    with tarfile.open(secret, "w"):
        pass
    secret.chmod(0o600)
    (home.path / "backups").mkdir()
    (home.path / "backups/new.tar").symlink_to(secret)
    give_to_service_user(home.path / "backups")
    os.chown(secret, 0, 0)
    empty = Stack(homes / "restored-from-link", 0)
    refused(empty.cli("restore", str(home.path / "backups/new.tar")), 2, "cannot read", "Permission denied")


def test_a_rendered_folder_is_roots(home: Stack, homes: Path) -> None:
    """Docker that root starts there follows nothing that the services' user could change; theirs are only the files that
    they read, and the folders of their sockets. In a folder of theirs root renders nothing.
    """
    folder = homes / "out"
    fine(home.cli("render", "-o", str(folder)))
    user = service_user()
    for path in (folder, *folder.rglob("*")):
        name = path.relative_to(folder)
        mounted = name.parts[:1] in (("config",), ("secrets",)) and path.is_file()
        sockets = name.parts[:1] == ("run",) and len(name.parts) > 1
        info = path.stat()
        assert (info.st_uid == user.pw_uid) is (mounted or sockets), name
        assert not info.st_mode & 0o022 and (not mounted or info.st_mode & 0o777 == 0o600), name
    (folder / "config/synapse/old.yaml").write_text("")
    assert "1 files written" in fine(home.cli("render", "-o", str(folder))).stdout
    plant(home, "x", "")
    (home.path / "link").symlink_to("/opt")
    for inside in ("out", "link/samsesh-rendered"):
        refused(home.cli("render", "-o", str(home.path / inside)), 1, "can be changed by samsesh")
    assert not Path("/opt/samsesh-rendered").exists()


def test_a_link_in_the_home_where_root_writes(home: Stack, homes: Path) -> None:
    """What root adds to the home it adds as its owner, and follows no link: neither the log nor the lock."""
    target = homes / "roots-file"
    target.write_text("mine")
    for name in ("audit.log", "lock"):
        (home.path / name).unlink(missing_ok=True)
        (home.path / name).symlink_to(target)
        done = home.cli("install-service", "--kind", "cron")
        assert done.returncode and "Traceback" not in done.stderr, done.stderr
        (home.path / name).unlink()
    assert target.read_text() == "mine" and target.stat().st_uid == 0
