"""Whether coturn is installed is a question of its own: to root, for a public server, behind the others."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pexpect
import pytest

from system.test_setup_terminal import environment

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can have something installed")
QUESTION = "Install coturn on this system?"
FIRST = "Who should reach this server?"
# On a machine that has no coturn yet.
START = """
from samsesh.artifacts.turnserver import install
from samsesh.cli.entry import main
install.find = lambda search: None
main()
"""


@pytest.fixture
def home(homes: Path) -> Path:
    return Path(tempfile.mktemp(prefix="relay-", dir=homes))


@pytest.fixture
def ran(homes: Path) -> Path:
    """What the package manager writes: as whom it ran, and its arguments."""
    folder = Path(tempfile.mkdtemp(prefix="programs-", dir=homes))
    script = folder / "apt-get"
    script.write_text(f'#!/bin/sh\necho "$(id -u) $*" >>{folder}/ran\n')
    script.chmod(0o755)
    return folder / "ran"


def terminal(home: Path, ran: Path, *words: str) -> Any:
    path = f"{ran.parent}:{os.environ['PATH']}"
    return pexpect.spawn(
        sys.executable,
        ["-c", START, "--home", str(home), *words],
        env=environment(PATH=path),
        timeout=60,
        encoding="utf-8",
        dimensions=(60, 150),
    )


def questions(at: Any, access: str) -> None:
    """Answer all that `setup` asks, up to the last."""
    at.expect_exact("Your choice")
    at.sendline({"local": "1", "domain": "3"}[access])
    if access == "domain":
        at.expect_exact("Domain of the server")
        at.sendline("x.test")
        at.expect_exact("Is this a trial?")
        at.sendline("y")
        at.expect_exact("which stays where it is?")
        at.sendline("n")
        at.expect_exact("E-mail address")
    else:
        at.expect_exact("Name of the server")
    at.sendline("")
    for question in ("Display name", "User name of the administrator", "Password"):
        at.expect_exact(question)
        at.sendline("")
    for question in ("Who may make an account", "Time zone", "Video calls", "Ports"):
        at.expect_exact(question)
        at.sendline("")
    at.expect_exact("Write these settings?")


def test_nothing_is_asked_before_the_first_question(home: Path, ran: Path) -> None:
    """`up` begins with the question that README names, also for root on a machine without coturn."""
    at = terminal(home, ran, "up")
    assert at.expect_exact([QUESTION, FIRST]) == 1
    at.sendintr()
    at.expect(pexpect.EOF)
    at.close()
    assert not ran.exists()


def test_an_enter_typed_ahead_installs_nothing(home: Path, ran: Path) -> None:
    """What was typed before the question was there is no answer to it; a no is one."""
    at = terminal(home, ran, "setup", "--no-start")
    questions(at, "domain")
    at.send("yes\n\n\n\n")
    at.expect_exact(QUESTION)
    at.sendline("n")
    at.expect(pexpect.EOF)
    at.close()
    assert (at.exitstatus, ran.exists()) == (0, False)


def test_enter_installs_it_by_root(home: Path, ran: Path) -> None:
    """The default, for the distribution's updates; the wizard itself has no rights by then."""
    at = terminal(home, ran, "setup", "--no-start")
    questions(at, "domain")
    at.sendline("yes")
    at.expect_exact(QUESTION)
    at.sendline("")
    at.expect(pexpect.EOF)
    at.close()
    assert at.exitstatus == 0
    (line,) = [line for line in ran.read_text().splitlines() if line.endswith("install coturn")]
    assert line.startswith("0 ")


def test_a_trial_asks_nothing(home: Path, ran: Path) -> None:
    """On this machine alone a copy in the cache does."""
    at = terminal(home, ran, "setup", "--no-start")
    questions(at, "local")
    at.sendline("yes")
    assert at.expect_exact([QUESTION, pexpect.EOF]) == 1
    at.close()
    assert (at.exitstatus, ran.exists()) == (0, False)
