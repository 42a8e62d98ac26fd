"""The relay that was unpacked: what the doctor says of its age; and what may be asked of root for another."""

import os
from pathlib import Path

import pytest

from samsesh.artifacts.turnserver import install
from samsesh.artifacts.turnserver.unpacked import DAY, Comparison
from samsesh.checks.turn_age import judged
from samsesh.errors import SamseshError
from samsesh.ops import installer

NOW = 1_800_000_000.0
PACKAGES = {"coturn": "4.6.1-1", "libevent-core-2.1-7": "2.1.12-8"}


@pytest.mark.parametrize(
    ("record", "status", "word"),
    [
        (None, "warning", "nobody knows"),
        (Comparison(PACKAGES, NOW - 12 * DAY, NOW - 0.5 * DAY), "ok", "unpacked 12 days ago"),
        (Comparison(PACKAGES, NOW - 1.5 * DAY, NOW - 1.5 * DAY), "ok", "unpacked yesterday"),
        (
            Comparison(PACKAGES, NOW - 12 * DAY, NOW - 4 * DAY),
            "warning",
            "4 days ago: updates may be missing",
        ),
    ],
)
def test_its_age(record: Comparison | None, status: str, word: str) -> None:
    """Old is well if the distribution has no newer; not to have compared is not."""
    result = judged(record, NOW)
    assert (result.status, word in result.summary) == (status, True), result
    assert bool(result.advice) == (status == "warning")
    assert record is None or "coturn 4.6.1-1, libevent-core-2.1-7" in result.seen


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package manager, as the process that stays root sees it."""
    monkeypatch.setattr(installer, "_installers", [])
    monkeypatch.setattr(install, "find", lambda search: None)
    return tmp_path


def manager(root: Path, script: str) -> None:
    (root / "dnf").write_text(f"#!/bin/sh\n{script}\n")
    (root / "dnf").chmod(0o755)
    installer.keep({"PATH": str(root), "HOME": str(root)}, lambda text: None)


def test_root_installs_on_one_word(root: Path) -> None:
    """And only what it would have shown: the other process says when, not what."""
    manager(root, f'echo "$*" >{root}/ran')
    kept = installer.kept()
    assert kept is not None and kept.command.startswith("dnf -y ")
    assert not (root / "ran").exists()
    kept.install()
    assert (root / "ran").read_text().strip() == kept.command.removeprefix("dnf ")


def test_what_the_distribution_says_against_it_comes_back(root: Path) -> None:
    manager(root, "exit 3")
    kept = installer.kept()
    assert kept is not None
    with pytest.raises(SamseshError, match=r"installing coturn failed \(exit code 3\)"):
        kept.install()


def test_without_the_word_nothing_is_installed(root: Path) -> None:
    """The process ends with the one that it waits for."""
    ended, held = os.pipe()  # the latter by all processes until their end
    if (waited_for := os.fork()) == 0:
        try:
            manager(root, f"touch {root}/ran")
            os._exit(0 if installer.kept() else 1)
        finally:
            os._exit(2)
    os.close(held)
    assert os.waitpid(waited_for, 0)[1] == 0
    assert os.read(ended, 1) == b""
    os.close(ended)
    assert not (root / "ran").exists()


def test_without_a_package_manager_nobody_stays(root: Path) -> None:
    installer.keep({"PATH": str(root), "HOME": str(root)}, lambda text: None)
    assert installer.kept() is None
