"""coturn: the machine's own, installed by root when asked, or its packages unpacked without root."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from artifacts.conftest import MakeSearch, program, run_as_nobody
from programs import missing
from samsesh.artifacts import turnserver
from samsesh.cache import Search
from samsesh.errors import SamseshError

apt_only = pytest.mark.skipif(shutil.which("apt-get") is None, reason="not Debian or Ubuntu")
STATUS = Path("/var/lib/dpkg/status")


@pytest.fixture(autouse=True)
def _hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """coturn of this machine is not where the search looks, but on PATH."""
    monkeypatch.setattr(turnserver, "PLACES", ())


def detail(search: Search) -> str:
    with pytest.raises(SamseshError) as caught:
        turnserver.obtain(search)
    assert "apt install coturn" in caught.value.hint
    return caught.value.detail


@pytest.mark.needs("turnserver")
def test_the_installed_one_is_used(search: MakeSearch) -> None:
    """The real coturn of this machine says its version and needs nothing of ours."""
    looking = search()
    found = turnserver.at_hand(Search(looking.want, looking.cache, "x86_64", os.environ))
    assert found is not None
    assert re.fullmatch(r"4\.\d+\.\d+", found.version)
    assert found.env == {}


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo 4.6.1", "4.6.1"),
        ("echo Coturn-4.10.0", "4.10.0"),
        ("echo Usage: turnserver >&2; exit 255 # Coturn-4.5.2", "4.5.2"),  # it knows no --version
        ("echo 4.5.1; exit 0", None),
        ("echo Usage: turnserver >&2; exit 255 # Coturn-4.5.1", None),
        ("echo libevent.so: cannot open shared object file >&2; exit 127", None),
    ],
)
def test_versions(search: MakeSearch, tmp_path: Path, script: str, version: str | None) -> None:
    """New and old ones are told apart; those that let anyone reach the machine itself, and broken ones, are refused."""
    program(tmp_path / "bin/turnserver", script)
    found = turnserver.at_hand(search())
    assert (found.version if found else None) == version


def test_a_named_program_is_used_or_refused(search: MakeSearch, tmp_path: Path) -> None:
    """What the settings name is never passed over in silence."""
    own = program(tmp_path / "mine", "echo 4.7.0")
    found = turnserver.at_hand(search(turnserver=str(own)))
    assert found is not None and found.path == own
    with pytest.raises(SamseshError, match=r"artifacts\.turnserver cannot be used"):
        turnserver.obtain(search(turnserver=str(tmp_path / "none")))


def test_without_any_way_the_fix_is_told(search: MakeSearch, tmp_path: Path) -> None:
    """Each way that was tried has a line; offline, apt is not asked."""
    assert "on Debian and Ubuntu only" in detail(search())
    program(tmp_path / "bin/apt-get", f"touch {tmp_path}/ran")
    program(tmp_path / "bin/dpkg-deb", "")
    assert "artifacts.offline no" in detail(search(offline=True))
    assert not (tmp_path / "ran").exists()


def test_root_is_asked_before_anything_is_installed(search: MakeSearch, tmp_path: Path) -> None:
    """The question names the very command; no means no, and where coturn is there nothing is asked."""
    asked: list[str] = []

    def answer(yes: bool) -> bool:
        def ask(question: str) -> bool:
            asked.append(question)
            return yes

        return turnserver.install(search(), ask)

    assert answer(True) is False  # no package manager
    program(tmp_path / "bin/dnf", f'echo "$@" >{tmp_path}/ran')
    assert answer(False) is False
    assert "dnf -y --setopt=install_weak_deps=False install coturn" in asked[0]
    assert not (tmp_path / "ran").exists()
    assert answer(True) is True
    assert (tmp_path / "ran").read_text() == "-y --setopt=install_weak_deps=False install coturn\n"
    assert turnserver.install(search(offline=True), lambda question: True) is False
    program(tmp_path / "bin/turnserver", "echo 4.6.1")
    assert answer(True) is False
    assert len(asked) == 2


def test_debian_is_kept_from_starting_it(
    search: MakeSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its service is masked before the package comes; where apt's lists are old they are renewed once."""
    monkeypatch.setattr(turnserver, "SYSTEMD", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    log = f'echo "${{0##*/}} $*" >>{tmp_path}/log'
    program(tmp_path / "bin/systemctl", log)
    program(
        tmp_path / "bin/apt-get",
        f"{log}; case $* in *update) touch {tmp_path}/new;; *) [ -e {tmp_path}/new ];; esac",
    )
    assert turnserver.install(search(), lambda question: True)
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0] == "systemctl mask coturn.service"
    assert [line.split()[-1] for line in lines[1:]] == ["coturn", "update", "coturn"]
    assert "--no-install-recommends" in lines[1]


def without_coturn(status: str) -> str:
    """dpkg's record of a machine that lacks coturn, the libraries that came with it, and what needs them."""
    entries = status.split("\n\n")
    gone = {
        "coturn",
        "libhiredis0.14",
        "libmariadb3",
        *re.findall(r"^Package: (libevent\S+)", status, re.MULTILINE),
    }
    while True:
        kept = [entry for entry in entries if not needs(entry) & gone]
        if len(kept) == len(entries):
            return "\n\n".join(kept)
        gone |= {name(entry) for entry in entries if entry not in kept}
        entries = kept


def name(entry: str) -> str:
    return entry.removeprefix("Package: ").partition("\n")[0]


def needs(entry: str) -> set[str]:
    """A package and what it depends on."""
    depends = " ".join(re.findall(r"^(?:Pre-)?Depends: (.*)", entry, re.MULTILINE))
    return {name(entry), *re.findall(r"[\w.+-]+", re.sub(r"\(.*?\)", "", depends))}


OBTAIN = """
import os, sys
from pathlib import Path
from samsesh.artifacts import turnserver
from samsesh.cache import Search
from samsesh.errors import SamseshError
from samsesh.run import run
from samsesh.settings import Artifacts
turnserver.PLACES = ()
search = Search(Artifacts(), Path(sys.argv[1]), "x86_64", os.environ, say=print)
try:
    got = turnserver.obtain(search)
except SamseshError as error:
    sys.exit(error.message + error.detail)
assert turnserver.at_hand(search).how.startswith("kept in")
assert run([got.path, "--version"], env=got.env).out.decode().strip() == got.version
print(got.path)
"""


def as_nobody(folder: Path, status: str, lists: Path | None = None) -> "subprocess.CompletedProcess[str]":
    """Look for coturn as a user without rights, on a machine with this dpkg status and no coturn on PATH."""
    tools = folder / "bin"
    tools.mkdir()
    for name in ("apt-get", "dpkg", "dpkg-deb", "tar", "sh", "xz", "gzip", "rm"):
        (tools / name).symlink_to(shutil.which(name) or "/nonexistent")
    (folder / "status").write_text(status)
    (folder / "apt.conf").write_text(
        f'Dir::State::status "{folder}/status";\n' + (f'Dir::State::lists "{lists}";\n' if lists else "")
    )
    return run_as_nobody(
        OBTAIN, folder / "cache", {"PATH": str(tools), "APT_CONFIG": str(folder / "apt.conf")}
    )


@apt_only
@pytest.mark.slow
def test_a_user_without_rights_unpacks_it(open_folder: Path) -> None:
    """On a machine without coturn and five of its libraries, its packages are fetched, unpacked, and run from there."""
    done = as_nobody(open_folder, without_coturn(STATUS.read_text()))
    if "apt knows no coturn" in done.stderr:
        missing("apt has no lists here: apt-get update")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(open_folder)
    assert len(list((open_folder / "cache").iterdir())) == 3


@apt_only
def test_lists_that_are_not_there_are_explained(open_folder: Path) -> None:
    """Without apt's lists nothing can be unpacked; whom to ask for what is said."""
    (open_folder / "lists/partial").mkdir(parents=True)
    done = as_nobody(open_folder, without_coturn(STATUS.read_text()), open_folder / "lists")
    assert done.returncode == 1
    assert "have root run `apt-get update`" in done.stderr
    assert list((open_folder / "cache").iterdir()) == []
