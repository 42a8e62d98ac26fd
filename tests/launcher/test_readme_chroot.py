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


@pytest.mark.parametrize("user", ["root", "alice"])
def test_readme_on_a_clean_debian(debian: Chroot, user: str) -> None:
    """With python3 alone, `./samsesh up` ends with a server that answers, with a relay; nothing is installed; `status`
    says so, and `down` leaves no process.
    """
    readme = (SOURCE / "README.md").read_text()
    assert "./samsesh up" in readme and "sudo apt install git python3" in readme
    folder = place(debian, user)
    offset = free_offset()
    before = debian.run("dpkg-query", "--show").stdout
    up = debian.run(
        *("./samsesh", "up", "--yes", "--port-offset", str(offset)),
        user=user,
        folder=folder,
        timeout=1200,
        SAMSESH_ARTIFACTS_BUILD="no",  # which takes minutes, and has tests of its own
    )
    assert up.returncode == 0, up.stdout + up.stderr
    url = f"http://localhost:{8008 + offset}/_matrix/client/versions"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert "versions" in json.load(answer)
    status = debian.run("./samsesh", "status", "--json", user=user, folder=folder)
    assert status.returncode == 0, status.stdout + status.stderr
    found = json.loads(status.stdout)
    assert found["ok"] is True
    # Releases may not be to be had here; the relay is, since Debian is.
    assert all(off["reason"] and off["advice"] for off in found["off"])
    assert "coturn" in {service["name"] for service in found["services"]}, up.stderr
    assert debian.run("dpkg-query", "--show").stdout == before
    if user == "root":
        assert_no_service_is_root(debian)
    else:
        assert_the_relay_is_renewed(debian, user, folder)
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


def assert_the_relay_is_renewed(debian: Chroot, user: str, folder: str) -> None:
    """What the agent does daily: nothing if it is the distribution's, else that is unpacked, and the relay restarted."""

    def renew() -> str:
        done = debian.run("./samsesh", "renew-relay", user=user, folder=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    (record,) = debian.root.glob(f"home/{user}/.cache/samsesh/coturn-*.packages")
    packages = json.loads(record.read_text())["packages"]
    assert renew() == "Nothing to do.\n"
    record.write_text(record.read_text().replace(packages["coturn"], "0"))
    assert "newest version" in renew()
    assert json.loads(record.read_text())["packages"] == packages
    asked = debian.run("./samsesh", "doctor", "--only", "turn-age", "--json", user=user, folder=folder)
    assert "unpacked today, compared with the distribution's today" in asked.stdout
