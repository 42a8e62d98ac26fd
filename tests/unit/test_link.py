"""A `samsesh` on PATH: made where nothing is, offered at the end of a first start, never over something else."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from samsesh.errors import SamseshError
from samsesh.ops import link

SCRIPTS = dict.fromkeys(link.SHELLS, f"{link.MARK}\n")


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Of a shell whose launcher is in a checkout; what is for everybody is in a folder of ours."""
    launcher = tmp_path / "checkout/samsesh"
    launcher.parent.mkdir()
    launcher.write_text("#!/bin/sh\necho started\n")
    launcher.chmod(0o755)
    monkeypatch.setattr(link, "FOR_ALL", tmp_path / "usr/local")
    path = f"{tmp_path}/usr/local/bin:{tmp_path}/.local/bin:{os.environ['PATH']}"
    return {"SAMSESH_COMMAND": str(launcher), "HOME": str(tmp_path), "PATH": path}


def test_linked_once(environ: dict[str, str]) -> None:
    """The command starts the launcher, shells find their completion; twice changes nothing, and all is known as ours."""
    assert not link.is_linked(environ)
    present = link.install(environ, SCRIPTS)
    assert [path.name for path in present] == ["samsesh", "samsesh", "_samsesh", "samsesh.fish"]
    assert link.is_linked(environ) and present[0].resolve() == link.launcher(environ)
    before = [path.lstat().st_mtime_ns for path in present]
    assert link.install(environ, SCRIPTS) == present
    assert [path.lstat().st_mtime_ns for path in present] == before
    assert link.ours(environ) == present


@pytest.mark.parametrize("what", ["a program", "a link", "a dangling link", "a program elsewhere on PATH"])
def test_what_has_the_name_stays(environ: dict[str, str], tmp_path: Path, what: str) -> None:
    """Nobody's `samsesh` is replaced, and the message says which it is."""
    there = link.places(environ).command
    if what == "a program elsewhere on PATH":
        there = tmp_path / "elsewhere/samsesh"
        environ["PATH"] += f":{there.parent}"
    there.parent.mkdir(parents=True)
    if "link" in what:
        there.symlink_to("/bin/sh" if what == "a link" else "/nowhere")
    else:
        there.write_text("#!/bin/sh\n")
        there.chmod(0o755)
    before = there.lstat()
    with pytest.raises(SamseshError, match=f"{there} is something else"):
        link.install(environ, SCRIPTS)
    assert link.ours(environ) == [] and there.lstat() == before


def test_a_completion_of_somebody_else_stays(environ: dict[str, str]) -> None:
    """Only what has our mark is written over or removed."""
    theirs = link.places(environ).completions["fish"]
    theirs.parent.mkdir(parents=True)
    theirs.write_text("# mine")
    assert theirs not in link.install(environ, SCRIPTS)
    assert theirs not in link.ours(environ) and theirs.read_text() == "# mine"


def test_an_installed_program_needs_no_link(environ: dict[str, str]) -> None:
    """Without the launcher, as from a wheel, there is nothing to link."""
    del environ["SAMSESH_COMMAND"]
    with pytest.raises(SamseshError, match="not started by the launcher"):
        link.install(environ, SCRIPTS)


START = """
import os, sys
from pathlib import Path
from samsesh.cli.link import offer_later
from samsesh.home import Home
from samsesh.ops import link
link.FOR_ALL = Path(sys.argv.pop(1))
home = Home(Path(sys.argv.pop(1)))
home.prepare()
if os.geteuid() == 0:  # as the home of a server of root's, which belongs to the services' user
    os.chown(home.path, 65534, 65534)
code = int(sys.argv.pop(1))
offer_later(home)
if code < 2:
    home.remember(server_name="localhost")
    if os.geteuid() == 0:
        os.chown(home.state_file, 65534, 65534)
print("started in", os.getppid())
sys.exit(code)
"""


@pytest.fixture
def first_up(environ: dict[str, str], tmp_path: Path) -> Iterator[Any]:
    """A first start on a terminal that ends with some exit code: its terminal."""
    terminals = []
    folder = Path(tempfile.mkdtemp(prefix="samsesh-test-"))
    folder.chmod(0o755)

    def start(code: int, *words: str) -> Any:
        argv = ["-c", START, str(tmp_path / "usr/local"), str(folder / "home"), str(code), "up", *words]
        env = {**environ, "TERM": "dumb"}
        terminal = pexpect.spawn(sys.executable, argv, env=env, timeout=60, encoding="utf-8")
        terminals.append(terminal)
        return terminal

    yield start
    for terminal in terminals:
        terminal.close(force=True)
    shutil.rmtree(folder)


@pytest.mark.parametrize("code", [0, 1])
def test_offered_at_the_end_of_a_first_start(first_up: Any, environ: dict[str, str], code: int) -> None:
    """Also if calls are missing (exit code 1): the code stays, and the second start asks nothing."""
    terminal = first_up(code)
    terminal.expect(r"started in \d+")
    terminal.expect(r"so\s+that\s+you\s+can\s+call\s+it\s+anywhere\?")  # wrapped where the path is long
    terminal.sendline("")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == code
    assert link.places(environ).command.is_symlink()
    again = first_up(code)
    assert again.expect_exact(["anywhere?", pexpect.EOF]) == 1


@pytest.mark.parametrize(("code", "words"), [(130, ()), (2, ()), (0, ("--yes",)), (0, ("--dry-run",))])
def test_not_offered_to_who_did_not_start_or_asked_for_no_question(
    first_up: Any, environ: dict[str, str], code: int, words: tuple[str, ...]
) -> None:
    """After Ctrl-C, wrong settings or with --yes there is no question and no link."""
    terminal = first_up(code, *words)
    assert terminal.expect_exact(["anywhere?", pexpect.EOF]) == 1
    terminal.close()
    assert terminal.exitstatus == code and not link.places(environ).command.exists()


def test_no_is_an_answer(first_up: Any, environ: dict[str, str]) -> None:
    """It is not linked, and how to do it later is printed."""
    terminal = first_up(0)
    terminal.expect_exact("anywhere?")
    terminal.sendline("n")
    terminal.expect_exact("Later:")
    terminal.expect(pexpect.EOF)
    assert not link.places(environ).command.exists()
