"""coturn: the machine's own, installed by root when asked, or its packages unpacked without root, and renewed."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from artifacts.conftest import MakeSearch, program, run_as_nobody
from samsesh.artifacts import turnserver
from samsesh.artifacts.turnserver import install, unpacked
from samsesh.artifacts.turnserver import program as program_
from samsesh.cache import Search
from samsesh.errors import SamseshError
from samsesh.facts import machine
from samsesh.home import Home
from samsesh.ops import programs, relay
from samsesh.ops.server import open_server

apt_only = pytest.mark.skipif(shutil.which("apt-get") is None, reason="not Debian or Ubuntu")
STATUS = Path("/var/lib/dpkg/status")


@pytest.fixture(autouse=True)
def _hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """coturn of this machine is not where the search looks, but on PATH."""
    monkeypatch.setattr(program_, "PLACES", ())


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


def test_what_would_be_installed(search: MakeSearch, tmp_path: Path) -> None:
    """The very command, for root to read; nothing without a package manager, or where coturn is there already."""
    assert install.command(search()) == []
    install.install(search())
    program(tmp_path / "bin/dnf", f'echo "$@" >{tmp_path}/ran')
    command = ["dnf", "-y", "--setopt=install_weak_deps=False", "install", "coturn"]
    assert install.command(search()) == command
    assert not (tmp_path / "ran").exists()
    install.install(search())
    assert (tmp_path / "ran").read_text().split() == command[1:]
    program(tmp_path / "bin/turnserver", f"touch {tmp_path}/asked")
    assert install.command(search()) == []
    assert not (tmp_path / "asked").exists()  # root runs nothing to ask it for its version


def test_debian_is_kept_from_starting_it(
    search: MakeSearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its service is masked before the package comes; where apt's lists are old they are renewed once."""
    monkeypatch.setattr(install, "SYSTEMD", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    log = f'echo "${{0##*/}} $*" >>{tmp_path}/log'
    program(tmp_path / "bin/systemctl", log)
    program(
        tmp_path / "bin/apt-get",
        f"{log}; case $* in *update) touch {tmp_path}/new;; *) [ -e {tmp_path}/new ];; esac",
    )
    install.install(search())
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines[0] == "systemctl mask coturn.service"
    assert [line.split()[-1] for line in lines[1:]] == ["coturn", "update", "coturn"]
    assert "--no-install-recommends" in lines[1]


APT = """PATH=/usr/bin:/bin
echo "$*" >>{folder}/asked
case $* in
*update) [ ! -e {folder}/unreachable ] || {{ echo "E: no route" >&2; exit 100; }} ;;
*"-s "*)
    echo "Inst libevent [1-1] (2.1-8 Debian:12/stable [amd64])"
    echo "Inst coturn ($(cat {folder}/newest) Debian)" ;;
*download*) for name in $*; do :; done; touch coturn.deb ;;
esac
"""
DPKG = """PATH=/usr/bin:/bin
mkdir -p "$3/usr/bin" "$3/usr/lib"
printf '#!/bin/sh\necho 4.6.1\n' >"$3/usr/bin/turnserver"
chmod 755 "$3/usr/bin/turnserver"
touch "$3/usr/lib/libevent.so.7"
"""


@pytest.fixture
def debian(tmp_path: Path, search: MakeSearch, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Programs with apt's words and answers; the call says which version of coturn the distribution has now."""
    monkeypatch.setattr(unpacked, "LISTS", tmp_path / "lists")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    program(tmp_path / "bin/apt-get", APT.format(folder=tmp_path))
    program(tmp_path / "bin/dpkg-deb", DPKG)

    def publish(version: str) -> None:
        (tmp_path / "newest").write_text(version)

    publish("4.6.1-1")
    return publish


def test_what_is_unpacked_is_compared_and_renewed(
    search: MakeSearch, tmp_path: Path, debian: Callable[[str], None]
) -> None:
    """What the distribution has already only counts as compared; another is unpacked in its place."""
    looking = search()
    folder = turnserver.obtain(looking).path.parent
    first = unpacked.comparison(folder)
    assert first is not None and first.packages == {"coturn": "4.6.1-1", "libevent": "2.1-8"}
    assert not turnserver.renew(looking)
    same = unpacked.comparison(folder)
    assert same is not None and (same.unpacked, same.compared > first.compared) == (first.unpacked, True)
    debian("4.6.1-1+deb12u1")
    assert turnserver.renew(looking)
    renewed = unpacked.comparison(folder)
    assert renewed is not None and renewed.packages["coturn"] == "4.6.1-1+deb12u1"
    assert renewed.unpacked > same.unpacked
    assert turnserver.at_hand(looking) is not None


def test_what_somebody_changed_or_nobody_wrote_down_is_unpacked_again(
    search: MakeSearch, debian: Callable[[str], None]
) -> None:
    """A copy that an earlier version of Samsesh unpacked, and one that is not as it was."""
    looking = search()
    folder = turnserver.obtain(looking).path.parent
    unpacked.record_of(folder).unlink()
    assert turnserver.renew(looking) and unpacked.comparison(folder)
    (folder / "lib/libevent.so.7").write_text("other")
    assert turnserver.renew(looking)
    assert turnserver.at_hand(looking) is not None


def test_a_comparison_that_cannot_be_made_is_none(
    search: MakeSearch, tmp_path: Path, debian: Callable[[str], None]
) -> None:
    """Old lists know no news: without the distribution's the old comparison stands, and the reason is told."""
    looking = search()
    folder = turnserver.obtain(looking).path.parent
    before = unpacked.comparison(folder)
    (tmp_path / "unreachable").touch()
    with pytest.raises(SamseshError, match="lists of packages") as caught:
        turnserver.renew(looking)
    assert "no route" in caught.value.detail
    assert unpacked.comparison(folder) == before


def test_an_installed_one_needs_no_renewal(
    search: MakeSearch, tmp_path: Path, debian: Callable[[str], None]
) -> None:
    """Whoever installed coturn meanwhile has it from the distribution; one that is named is its owner's."""
    looking = search()
    turnserver.obtain(looking)
    (tmp_path / "asked").unlink()
    own = program(tmp_path / "bin/turnserver", "echo 4.6.1")
    assert not turnserver.renew(looking)
    own.unlink()
    assert not turnserver.renew(search(turnserver="/own"))
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("hours", [1, 30])
def test_lists_of_today_are_enough(
    search: MakeSearch, tmp_path: Path, debian: Callable[[str], None], hours: int
) -> None:
    """The machine's own lists, if apt fetched them within a day; else ours, in the cache."""
    partial = tmp_path / "lists/partial"
    partial.mkdir(parents=True)
    fetched = time.time() - hours * 3600
    os.utime(partial, (fetched, fetched))
    turnserver.obtain(search())
    asked = (tmp_path / "asked").read_text()
    assert (f"Dir::State::Lists={tmp_path}/cache/apt/lists" in asked) == (hours > 24)


def test_the_machines_lists_are_better_than_none(
    search: MakeSearch, tmp_path: Path, debian: Callable[[str], None]
) -> None:
    """On a first start without a way to the distribution's lists, those that are there are tried."""
    (tmp_path / "unreachable").touch()
    assert turnserver.obtain(search()).version == "4.6.1"


def test_a_stopped_servers_relay_is_renewed(
    search: MakeSearch, tmp_path: Path, debian: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the agent's command does: what is unpacked then is what the server starts with; nothing runs to be restarted."""
    looking = replace(search(), machine=machine())
    home = Home(tmp_path / "home")
    home.prepare()
    home.settings_file.write_text("")
    programs.remember(home, {turnserver.NAME: programs.data(turnserver.obtain(looking))})
    monkeypatch.setenv("SAMSESH_CACHE", str(looking.cache))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    debian("4.6.1-2")
    assert not relay.renew(home, os.environ, lambda text: None)
    folder = relay.unpacked(open_server(home))
    assert folder == unpacked.folder_of(looking)
    record = unpacked.comparison(folder)
    assert record is not None and record.packages["coturn"] == "4.6.1-2"


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
from samsesh.artifacts.turnserver import program, unpacked
from samsesh.cache import Search
from samsesh.errors import SamseshError
from samsesh.run import run
from samsesh.settings import Artifacts
program.PLACES = ()
unpacked.LISTS = Path("/nonexistent")
search = Search(Artifacts(), Path(sys.argv[1]), "x86_64", os.environ, say=print)
try:
    got = turnserver.obtain(search)
except SamseshError as error:
    sys.exit(error.message + error.detail)
assert turnserver.at_hand(search).how.startswith("kept in")
assert run([got.path, "--version"], env=got.env).out.decode().strip() == got.version
print(got.path)
"""


def as_nobody(folder: Path, status: str, more: str = "") -> "subprocess.CompletedProcess[str]":
    """Look for coturn as a user without rights, on a machine with this dpkg status and no coturn on PATH."""
    tools = folder / "bin"
    tools.mkdir()
    for name in ("apt-get", "dpkg", "dpkg-deb", "tar", "sh", "xz", "gzip", "rm"):
        (tools / name).symlink_to(shutil.which(name) or "/nonexistent")
    (folder / "status").write_text(status)
    (folder / "apt.conf").write_text(f'Dir::State::status "{folder}/status";\n{more}')
    return run_as_nobody(
        OBTAIN, folder / "cache", {"PATH": str(tools), "APT_CONFIG": str(folder / "apt.conf")}
    )


@apt_only
@pytest.mark.slow
def test_a_user_without_rights_unpacks_it(open_folder: Path) -> None:
    """On a machine without coturn, five of its libraries and apt's lists: these are fetched, too, and it runs."""
    done = as_nobody(open_folder, without_coturn(STATUS.read_text()))
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(open_folder)
    names = {path.name.partition("-")[0] for path in (open_folder / "cache").iterdir()}
    assert names == {"apt", "coturn"}


@apt_only
def test_lists_that_cannot_be_had_are_explained(open_folder: Path) -> None:
    """Without apt's lists nothing can be unpacked; what apt says is passed on."""
    (open_folder / "sources").write_text("deb http://127.0.0.1:9 stable main\n")
    nowhere = f'Dir::State::lists "/nonexistent";\nDir::Etc::sourcelist "{open_folder}/sources";\n'
    done = as_nobody(
        open_folder, without_coturn(STATUS.read_text()), nowhere + 'Dir::Etc::sourceparts "/nonexistent";\n'
    )
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    assert [path.name for path in (open_folder / "cache").iterdir()] == ["apt"]
