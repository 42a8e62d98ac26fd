"""README followed to the letter on a clean Debian, as root and as an ordinary user."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import free_offset
from launcher.chroot import Chroot, unpacked
from launcher.machine import ROOT, SOURCE, copy_checkout

pytestmark = [
    pytest.mark.slow,
    pytest.mark.chroot,
    pytest.mark.skipif(not ROOT, reason="only root makes a chroot"),
    pytest.mark.needs("debootstrap"),
]


@pytest.fixture
def debian(open_folder: Path) -> Iterator[Chroot]:
    yield from unpacked(open_folder)


def place(debian: Chroot, user: str) -> str:
    """The checkout in the user's home folder, which is nobody else's to read."""
    if user != "root":
        added = debian.run("useradd", "--create-home", "--shell", "/bin/sh", user)
        assert added.returncode == 0, added.stderr
    home = "/root" if user == "root" else f"/home/{user}"
    copy_checkout(debian.root / home[1:] / "samsesh")
    owned = debian.run("sh", "-c", f"chown -R {user}: {home} && chmod 700 {home}")
    assert owned.returncode == 0, owned.stderr
    return f"{home}/samsesh"


def test_a_debian_without_venv_is_told_the_package(debian: Chroot) -> None:
    """Exactly the package that was taken away is the one that the message names."""
    folder = place(debian, "alice")
    purged = debian.run("dpkg", "--purge", "python3-venv", "python3.11-venv")
    assert purged.returncode == 0, purged.stderr
    done = debian.run("./samsesh", "up", user="alice", folder=folder)
    assert (done.returncode, done.stdout) == (1, "")
    complaint = [line for line in done.stderr.splitlines() if not line.startswith("samsesh: making")]
    assert len(complaint) == 2, done.stderr
    assert "apt install python3.11-venv" in complaint[1]


@pytest.mark.parametrize("user", ["root", "alice"])
def test_readme_on_a_clean_debian(debian: Chroot, user: str) -> None:
    """`./samsesh up` ends with a server that answers, `status` says so, and `down` leaves no process."""
    assert "./samsesh up" in (SOURCE / "README.md").read_text()
    folder = place(debian, user)
    offset = free_offset()
    up = debian.run(
        "./samsesh", "up", "--yes", "--port-offset", str(offset), user=user, folder=folder, timeout=600
    )
    assert up.returncode == 0, up.stdout + up.stderr
    url = f"http://localhost:{8008 + offset}/_matrix/client/versions"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert "versions" in json.load(answer)
    status = debian.run("./samsesh", "status", "--json", user=user, folder=folder)
    assert status.returncode == 0, status.stdout + status.stderr
    found = json.loads(status.stdout)
    assert found["ok"] is True
    assert all(
        off["reason"] and off["advice"] for off in found["off"]
    )  # where neither releases nor Go are to be had
    if user == "root":
        assert_no_service_is_root(debian)
    down = debian.run("./samsesh", "down", user=user, folder=folder)
    assert down.returncode == 0, down.stdout + down.stderr
    assert debian.processes() == {}
    assert_nothing_is_left(debian, user, folder)


def assert_nothing_is_left(debian: Chroot, user: str, folder: str) -> None:
    """`destroy --all` takes everything away but the checkout, says what stays, and needs the server's name."""
    words = ("./samsesh", "destroy", "--all", "--yes")
    refused = debian.run(*words, user=user, folder=folder)
    assert (refused.returncode, "--confirm localhost" in refused.stderr) == (2, True), refused.stderr
    done = debian.run(*words, "--confirm", "localhost", user=user, folder=folder)
    assert done.returncode == 0 and "This stays:" in done.stdout and "Deleted." in done.stdout, done
    found = debian.run("find", "/", "-xdev", "-name", "*samsesh*", "-not", "-path", f"{folder}/*")
    home = "/var/lib/samsesh" if user == "root" else f"/home/{user}/.local/share/samsesh"
    assert set(found.stdout.split()) == {folder, home}  # with its audit log
    assert not (debian.root / folder[1:] / ".venv").exists()
    assert "samsesh:" not in (debian.root / "etc/passwd").read_text()
    assert "samsesh:" not in (debian.root / "etc/group").read_text()


def assert_no_service_is_root(debian: Chroot) -> None:
    """Started by root, yet every process belongs to the service user."""
    owners = {pid: Path(f"/proc/{pid}").stat().st_uid for pid in debian.processes()}
    assert owners
    assert 0 not in owners.values(), debian.processes()
