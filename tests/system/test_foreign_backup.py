"""Backups that somebody else made: what they would have executed here is not, unless that is asked for."""

import json
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest

from conftest import Stack
from samsesh.ops import archive as archives

pytestmark = pytest.mark.slow
KINDS = ("program", "variable", "module", "shadow", "customize")


@pytest.fixture(scope="module")
def marks(homes: Path) -> Path:
    """Where planted code leaves a mark; the service user can write there."""
    folder = homes / "marks"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.fixture(scope="module")
def foreign(stack: Stack, homes: Path, marks: Path) -> Path:
    """A backup with code planted wherever something of it might be started or imported."""
    done = stack.cli("backup", "create", "--json")
    assert done.returncode == 0, done.stderr
    program = homes / "program"
    program.write_text(f"#!/bin/sh\ntouch {marks}/${{0##*/}}\necho livekit-server version 1.13.0\n")
    program.chmod(0o755)
    (homes / "variable").symlink_to(program)
    settings = f"""\
        [web]
        client = "none"
        [brand]
        logo = "/somewhere/else/pictures/logo.svg"
        [artifacts]
        livekit = "{program}"
        [extra.synapse]
        modules = [{{module = "planted_module", config = {{}}}}]
        """

    def mark(kind: str) -> bytes:
        return f"open({str(marks / kind)!r}, 'w').close()\n".encode()

    planted = {
        "samsesh.toml": settings.encode(),
        "env": f"# ours\nSAMSESH_ARTIFACTS_TURNSERVER={homes / 'variable'}\n".encode(),
        "media/planted_module.py": mark("module"),
        "media/synapse/__init__.py": mark("shadow"),
        "media/sitecustomize.py": mark("customize"),
        "files/.local/lib/python3.11/site-packages/usercustomize.py": mark("customize"),
        "files/pictures/logo.svg": b"<svg/>",
    }
    new = homes / "foreign.tar"
    with tarfile.open(json.loads(done.stdout)["path"]) as tar, new.open("wb") as out:
        writer = archives.writer(out)
        with writer.tar:
            for member in tar:
                if member.name not in (archives.MANIFEST, *planted):
                    content = tar.extractfile(member)
                    assert content
                    writer.add(member.name, content, member.size)
            for name, text in planted.items():
                (part := new.with_suffix(".part")).write_bytes(text)
                writer.add_file(name, part)
            writer.finish({"server_name": "localhost", "first_admin": "@admin:localhost"})
    return new


def taken(own: Stack) -> dict[str, Any]:
    """What of the planted settings is in force."""
    found = tomllib.loads(own.home.settings_file.read_text())
    kept = {name: found[name] for name in ("artifacts", "extra") if found.get(name)}
    return kept | ({"env": True} if "TURNSERVER" in own.home.env_file.read_text() else {})


@pytest.mark.native
def test_a_foreign_backup_runs_nothing_unasked(
    foreign: Path, marks: Path, new_home: Callable[[str], Stack]
) -> None:
    """Without a terminal, programs and modules are left out, each printed with how to have it after all, and files that
    no setting names are never taken; the server starts, though its media folder has modules of Synapse's name, and
    nothing of the backup was executed.
    """
    own = new_home("foreign")
    done = own.cli("restore", str(foreign), "--port-offset", str(own.offset))
    assert done.returncode == 0, done.stderr
    assert own.status()["ok"]
    assert not list(marks.iterdir())
    assert taken(own) == {}
    assert "# ours" in own.home.env_file.read_text()
    assert not list(own.path.rglob("usercustomize.py"))
    assert [path.name for path in (own.path / "files").rglob("*") if path.is_file()] == ["logo.svg"]
    program = foreign.with_name("program")
    for told in (
        f'artifacts.livekit = "{program}"',
        f"config set artifacts.livekit {program}",
        "config set artifacts.turnserver",
        "config set extra.synapse",
    ):
        assert told in done.stderr
    assert (
        own.home.data_dir / "synapse/media/synapse/__init__.py"
    ).exists()  # it is there, and heeded by nobody


@pytest.mark.parametrize("answer", ["y", "n"])
def test_on_a_terminal_it_is_asked(foreign: Path, new_home: Callable[[str], Stack], answer: str) -> None:
    """What would run is shown before anything of it is taken, and the answer counts; Enter means no."""
    own = new_home(f"foreign-asked-{answer}")
    argv = own.argv("restore", str(foreign), "--port-offset", str(own.offset), "--no-start")
    at: Any = pexpect.spawn(argv[0], argv[1:], env=own.env() | {"COLUMNS": "200"}, timeout=120, cwd="/")
    at.expect_exact("artifacts.livekit = ")
    at.expect_exact("Take it?")
    at.sendline(answer if answer == "y" else "")
    at.expect_exact("Restored into")
    at.expect(pexpect.EOF)
    at.close()
    assert at.exitstatus == 0
    assert set(taken(own)) == ({"artifacts", "extra", "env"} if answer == "y" else set())
    assert not list(own.path.rglob("usercustomize.py"))


def test_scripts_can_trust_a_backup(foreign: Path, new_home: Callable[[str], Stack]) -> None:
    """With --trust-programs everything of one's own backup comes back unasked; what it is, is printed all the same."""
    own = new_home("foreign-trusted")
    done = own.cli(
        "restore", str(foreign), "--port-offset", str(own.offset), "--no-start", "--trust-programs"
    )
    assert done.returncode == 0, done.stderr
    assert "artifacts.livekit = " in done.stderr and "left out" not in done.stderr
    assert set(taken(own)) == {"artifacts", "extra", "env"}
    assert not list(own.path.rglob("usercustomize.py"))
