"""LiveKit is found, fetched or built in the documented order, and nothing unverified is ever used."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import samsesh
from artifacts.conftest import MakeSearch, program
from artifacts.releases import (
    ARCHIVE,
    FOLDER,
    PADDING,
    PROGRAM,
    Releases,
    busy,
    checksums,
    cut,
    elsewhere,
    tar,
    trickle,
)
from programs import livekit_server
from samsesh import download
from samsesh.artifacts import livekit
from samsesh.cache import Search
from samsesh.errors import SamseshError
from samsesh.settings import Artifacts

GOOD = tar(("LICENSE", PADDING), ("livekit-server", PROGRAM))
OTHER = tar(("LICENSE", PADDING[::-1]), ("livekit-server", PROGRAM))


def detail(search: Search) -> str:
    """Why nothing was found."""
    with pytest.raises(SamseshError) as caught:
        livekit.obtain(search)
    assert "artifacts.livekit" in caught.value.hint
    return caught.value.detail


def left(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()}


def test_the_release_is_fetched_once(search: MakeSearch, releases: Releases) -> None:
    """A fresh machine gets the release, verified; after that the kept program is used without a request."""
    releases.publish(GOOD)
    looking = search()
    assert livekit.at_hand(looking) is None
    got = livekit.obtain(looking)
    assert got.path.read_bytes() == PROGRAM
    assert got.version == livekit.VERSION
    assert "official release" in got.how
    assert got.path.stat().st_mode & 0o777 == 0o755
    folder = got.path.parent.name
    assert folder.startswith(
        f"livekit-server-{livekit.VERSION}-x86_64-"
    )  # and what says which mirror was asked
    assert left(looking.cache) == {folder, f"{folder}.sha256", f"{folder}.origin", f"{ARCHIVE}.sha256"}
    asked = len(releases.asked)
    again = livekit.at_hand(search(offline=True))
    assert again is not None and again.path == got.path
    assert livekit.obtain(looking).path == got.path
    assert len(releases.asked) == asked


def test_a_download_goes_on_where_it_was_cut(search: MakeSearch, releases: Releases) -> None:
    """A busy server and a cut connection are tried again, from where it stopped; redirects are followed."""
    releases.publish(GOOD)
    releases.trouble = [("checksums.txt", busy), (ARCHIVE, cut), (ARCHIVE, elsewhere)]
    assert livekit.obtain(search()).path.read_bytes() == PROGRAM
    first, second = releases.asked_for(ARCHIVE)
    assert first == ""
    assert 0 < int(second.removeprefix("bytes=").removesuffix("-")) <= len(GOOD) // 2


def test_what_came_by_an_earlier_start_is_used_or_dropped(search: MakeSearch, releases: Releases) -> None:
    """The half of the right file is used; the half of another one is found out, and the file fetched whole."""
    releases.publish(GOOD)
    for before, requests in ((GOOD[:1_000_000], 1), (OTHER[:1_000_000], 2), (GOOD, 1), (GOOD + b"more", 2)):
        looking = search()
        looking.cache.mkdir(exist_ok=True)
        (looking.cache / f"{ARCHIVE}.part").write_bytes(before)
        releases.asked.clear()
        assert livekit.obtain(looking).path.read_bytes() == PROGRAM
        assert len(releases.asked_for(ARCHIVE)) == requests
        shutil.rmtree(looking.cache)


def test_a_server_that_keeps_breaking_is_given_up(search: MakeSearch, releases: Releases) -> None:
    """After three tries the reason is told, and a truncated file is not used."""
    releases.publish(GOOD)
    releases.trouble = [(ARCHIVE, cut), (ARCHIVE, busy), (ARCHIVE, busy)]
    looking = search()
    assert "could not be fetched: the answer was 503" in detail(looking)
    assert left(looking.cache) == {f"{ARCHIVE}.part"}  # to go on with


@pytest.mark.parametrize("name", ["checksums.txt", ARCHIVE])
def test_a_server_that_trickles_is_given_up(
    search: MakeSearch, releases: Releases, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A file that comes in drops has an end, however few bytes have come by then."""
    monkeypatch.setattr(download, "LONGEST", 0.3)
    releases.publish(GOOD)
    if name != ARCHIVE:
        releases.files[f"{FOLDER}/{name}"] += b"\n" * 2000
    releases.trouble = [(name, trickle)]
    began = time.monotonic()
    assert "did not come within" in detail(search())
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("archive", "listed", "reason"),
    [
        (OTHER, checksums(GOOD), "is not the file that its checksum names"),
        (GOOD, b"nothing\n", f"does not list {ARCHIVE}"),
        (GOOD, b"x" * 200_000, "larger than"),
        (tar(("README", b"")), None, "holds no livekit-server"),
        (tar(("livekit-server", "/bin/sh")), None, "no plain file"),
        (tar(("../livekit-server", PROGRAM)), None, "holds no livekit-server"),
        (b"no archive", None, "cannot be unpacked"),
        (GOOD[:1_500_000], None, "cannot be unpacked"),
        (
            tar(("livekit-server", PROGRAM.replace(b"1.13.5", b"1.13.4"))),
            None,
            "says that it is LiveKit 1.13.4",
        ),
        (tar(("livekit-server", b"\x7fELF")), None, "does not start"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_a_bad_release_is_refused(
    search: MakeSearch, releases: Releases, archive: bytes, listed: bytes | None, reason: str
) -> None:
    """Tampered, incomplete or strange releases leave nothing behind but the reason."""
    releases.publish(archive, listed)
    looking = search()
    assert reason in detail(looking)
    assert {name for name in left(looking.cache) if not name.endswith(".gz.sha256")} == set()


def test_a_release_that_changed_later_is_refused(search: MakeSearch, releases: Releases) -> None:
    """What was published under a name once counts for ever: a mirror cannot swap it, checksum list and all."""
    releases.publish(GOOD)
    looking = search()
    shutil.rmtree(livekit.obtain(looking).path.parent)
    releases.publish(OTHER)
    assert f"{ARCHIVE} is not what it was when it was fetched first" in detail(looking)


def test_a_changed_program_in_the_cache_is_not_used(search: MakeSearch, releases: Releases) -> None:
    """The checksum of the kept program is looked at each time; a changed one is refused, and replaced if possible."""
    releases.publish(GOOD)
    path = livekit.obtain(search()).path
    path.write_bytes(PROGRAM + b"# more\n")
    assert livekit.at_hand(search()) is None
    assert "was changed since it was fetched" in detail(search(offline=True))
    assert livekit.obtain(search()).path.read_bytes() == PROGRAM
    (path.parent / "more").symlink_to("/etc")
    assert livekit.at_hand(search()) is None


def test_a_program_on_the_path_comes_first(search: MakeSearch, releases: Releases, tmp_path: Path) -> None:
    """An accepted version on PATH is taken as it is; an old one, one of the next major and an impostor are not."""
    releases.publish(GOOD)
    own = tmp_path / "bin/livekit-server"
    for version in ("1.13.0", "1.99.1"):
        program(own, f"echo livekit-server version {version}")
        found = livekit.at_hand(search())
        assert found is not None and (found.path, found.version) == (own, version)
    for script in (
        "echo livekit-server version 1.9.11",
        "echo livekit-server version 2.0.0",
        "echo hello",
        "exit 3",
    ):
        program(own, script)
        assert livekit.obtain(search()).path != own
    assert "is LiveKit 2.0.0" in detail_of(search, own, "echo livekit-server version 2.0.0")


def detail_of(search: MakeSearch, own: Path, script: str) -> str:
    program(own, script)
    shutil.rmtree(search().cache)
    return detail(search(offline=True))


def test_a_named_program_is_used_or_refused(search: MakeSearch, releases: Releases, tmp_path: Path) -> None:
    """What the settings name is never passed over in silence."""
    releases.publish(GOOD)
    own = program(tmp_path / "mine", "echo livekit-server version 1.14.2")
    found = livekit.at_hand(search(livekit=str(own)))
    assert found is not None and (found.path, found.version) == (own, "1.14.2")
    for wrong in (
        program(tmp_path / "old", "echo livekit-server version 1.8.0"),
        tmp_path / "none",
        tmp_path,
    ):
        with pytest.raises(SamseshError, match=r"artifacts\.livekit cannot be used"):
            livekit.obtain(search(livekit=str(wrong)))
    assert releases.asked == []


def test_offline_means_offline(search: MakeSearch, releases: Releases, tmp_path: Path) -> None:
    """Nothing is asked of anybody, and each way that was tried has a line."""
    releases.publish(GOOD)
    program(tmp_path / "bin/go", "touch ran; exit 1")
    reasons = detail(search(offline=True)).splitlines()
    assert [line[:6] for line in reasons] == ["- live", "- Live", "- noth", "- noth"]
    assert "artifacts.offline no" in reasons[2]
    assert releases.asked == []


def test_other_processors_are_told_so(search: MakeSearch, releases: Releases) -> None:
    """No request is made for a program that is not released."""
    releases.publish(GOOD)
    looking = search()
    riscv = Search(looking.want, looking.cache, "riscv64", looking.environ)
    assert "for x86_64 and arm64 only; this is riscv64" in detail(riscv)
    assert releases.asked == []


GO = """case $1 in
version) echo go version go{version} linux/amd64 ;;
install) {install} ;;
esac"""


def test_it_is_built_with_go_where_it_cannot_be_fetched(
    search: MakeSearch, tmp_path: Path, said: list[str]
) -> None:
    """With no release to be had, Go builds it; what Go wrote meanwhile is gone afterwards."""
    server = tmp_path / "server"
    server.write_bytes(PROGRAM)
    server.chmod(0o755)
    report = f'echo "$GOTOOLCHAIN $CGO_ENABLED $GOFLAGS $*" >{tmp_path}/report'
    steps = f"{report}; cd $GOPATH && mkdir -p bin pkg/mod/x && cp {server} $GOBIN/ && echo a/package"
    for version, toolchain in (("1.26.0", "local"), ("1.22.3", "auto"), ("1.30.1", "local")):
        program(tmp_path / "bin/go", f"PATH={os.defpath}\n" + GO.format(version=version, install=steps))
        got = livekit.obtain(search())
        assert "built with" in got.how
        assert (tmp_path / "report").read_text().split()[:4] == [toolchain, "0", "-modcacherw", "install"]
        assert (tmp_path / "report").read_text().split()[-1] == f"{livekit.MODULE}@v{livekit.VERSION}"
        folder = got.path.parent.name
        assert left(search().cache) == {folder, f"{folder}.sha256", f"{folder}.origin"}
        shutil.rmtree(search().cache)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "Go could not be fetched from a package index; install Go"),
        (GO.format(version="1.19.8", install=""), "Go could not be fetched from a package index; install Go"),
        (GO.format(version="1.26.1", install="echo no such module >&2; exit 1"), "no such module"),
        (GO.format(version="1.26.1", install=""), "and did not"),
        ("exit 1", "Go could not be fetched from a package index; install Go"),
    ],
    ids=["none", "old", "fails", "no-program", "broken"],
)
def test_a_build_that_fails_says_why(
    search: MakeSearch, tmp_path: Path, script: str | None, reason: str
) -> None:
    """No Go, an old or broken one, and no package index; one that fails: its last words are told, and nothing is left."""
    if script:
        program(tmp_path / "bin/go", script)
    assert reason in detail(search())
    assert left(search().cache) == set()


@pytest.mark.skipif(
    not (shutil.which("go") or shutil.which("go", path=livekit.GO_PLACE)), reason="Go is not installed"
)
@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "sources checked against sum.golang.org"),
        ({"GOSUMDB": "off"}, "not checked against Go's checksum database (GOSUMDB=off)"),
        ({"GOPRIVATE": "github.com/livekit/*"}, "database (GONOSUMDB=github.com/livekit/*)"),
    ],
)
def test_a_build_says_what_held_its_sources(
    search: MakeSearch, tmp_path: Path, variables: dict[str, str], told: str
) -> None:
    """By the real Go's own word: its checksum database, or the variable that switches it off; the kept one, too."""
    real = shutil.which("go") or shutil.which("go", path=livekit.GO_PLACE)
    server = program(tmp_path / "server", PROGRAM.decode())
    install = f"mkdir -p bin; cp {server} $GOBIN/"
    script = GO.format(version="1.26.1", install=f"cd $GOPATH; {install}")
    asked = script.replace("esac", f'env) GOENV=off exec {real} "$@" ;;\nesac')
    program(tmp_path / "bin/go", f"PATH={os.defpath}\n{asked}")
    looking = search()
    looking = Search(looking.want, looking.cache, looking.machine, {**looking.environ, **variables})
    assert told in livekit.obtain(looking).how
    kept = livekit.at_hand(looking)
    assert kept is not None and kept.origin is not None and told in kept.origin.how
    assert bool(kept.origin.doubt) == bool(variables)


def test_building_can_be_forbidden(search: MakeSearch, tmp_path: Path) -> None:
    """`artifacts.build = false` leaves Go alone."""
    program(tmp_path / "bin/go", f"touch {tmp_path}/ran")
    assert "building is switched off" in detail(search(build=False))
    assert not (tmp_path / "ran").exists()


OBTAIN = """
import sys
from pathlib import Path
from samsesh import download
from samsesh.artifacts import livekit
from samsesh.cache import Search
from samsesh.settings import Artifacts
mirror, cache, path = sys.argv[1:]
livekit.GO_PLACE = path
search = Search(Artifacts(mirror=mirror), Path(cache), "x86_64", {"PATH": path}, say=lambda text: print(text, flush=True))
print(livekit.obtain(search).how)
"""


def start(looking: Search) -> "subprocess.Popen[str]":
    """Another process that looks for LiveKit."""
    argv = [sys.executable, "-c", OBTAIN, looking.want.mirror, str(looking.cache), looking.environ["PATH"]]
    source = Path(samsesh.__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": str(source)}
    return subprocess.Popen(argv, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_two_at_once_fetch_once(search: MakeSearch, releases: Releases) -> None:
    """The second waits for the first and uses what it got."""
    releases.publish(GOOD)
    pair = [start(search()), start(search())]
    said = [process.communicate(timeout=60) for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    assert len(releases.asked_for(ARCHIVE)) == 1


def wait_for(condition: "os.PathLike[str]") -> None:
    end = time.monotonic() + 30
    while not Path(condition).exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_interrupted_building_ends_what_it_started(search: MakeSearch, tmp_path: Path) -> None:
    """Ctrl-C in the middle of a build: Go and its compilers end, and nothing of it is left in the cache."""
    install = f"PATH={os.defpath}; sleep 600 & echo $! >{tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; wait"
    program(tmp_path / "bin/go", GO.format(version="1.26.1", install=install))
    process = start(search())
    wait_for(tmp_path / "pid")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert left(search().cache) == set()
    compiler = Path("/proc", (tmp_path / "pid").read_text().strip())
    assert not compiler.exists() or " Z " in (compiler / "stat").read_text()


def test_interrupted_fetching_leaves_only_what_it_goes_on_with(
    search: MakeSearch, releases: Releases
) -> None:
    """Ctrl-C in the middle of a download: the next start asks for the rest only."""
    releases.publish(GOOD)

    def stall(handler: object, content: bytes) -> None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        cut(handler, content)

    releases.trouble = [(ARCHIVE, cut), (ARCHIVE, stall)]
    process = start(search())
    process.communicate(timeout=30)
    assert process.returncode != 0
    assert left(search().cache) == {f"{ARCHIVE}.part"}
    releases.asked.clear()
    releases.trouble.clear()
    livekit.obtain(search())
    assert releases.asked_for(ARCHIVE)[0].startswith("bytes=")


def test_what_a_killed_start_left_is_tidied_up(search: MakeSearch, releases: Releases) -> None:
    """Half-filled folders of a start that was killed do not pile up."""
    releases.publish(GOOD)
    looking = search()
    (looking.cache / ".new-half/pkg").mkdir(parents=True)
    livekit.obtain(looking)
    assert not (looking.cache / ".new-half").exists()


def test_a_cache_that_others_may_write_to_is_refused(search: MakeSearch, releases: Releases) -> None:
    """What runs as our user is not taken from a place where everybody may put things."""
    releases.publish(GOOD)
    looking = search()
    looking.cache.mkdir(mode=0o777)
    looking.cache.chmod(0o777)
    with pytest.raises(SamseshError, match="cache can be changed by everybody"):
        livekit.obtain(looking)
    looking.cache.chmod(0o755)
    livekit.obtain(looking)
    looking.cache.chmod(0o777)
    assert livekit.at_hand(looking) is None  # what was kept there before is not taken either


def test_a_way_that_the_disk_breaks_is_no_end(search: MakeSearch, releases: Releases) -> None:
    """What the system says against one way is told, and the next is tried."""
    releases.publish(GOOD)
    looking = search()
    (looking.cache / f"{ARCHIVE}.sha256").mkdir(parents=True)
    assert "Is a directory" in detail(looking)
    assert "Go could not be fetched" in detail(looking)


@pytest.mark.slow
def test_the_real_program() -> None:
    """What is found, fetched or built on this machine is a LiveKit that we accept and that starts."""
    path = livekit_server()
    looking = Search(Artifacts(livekit=str(path)), Path("/nonexistent"), "x86_64", {})
    found = livekit.at_hand(looking)
    assert found is not None and found.version
    ports = subprocess.run(
        [path, "--keys", f"key: {'s' * 32}", "ports"], capture_output=True, text=True, timeout=30
    )
    assert ports.returncode == 0, ports.stderr
    assert "7880" in ports.stdout
