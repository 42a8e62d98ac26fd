"""Element Web's release through the whole artifact path: fetched, verified, kept, refused, put back, named."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from artifacts.conftest import MakeSearch, SetPins
from artifacts.releases import Releases, busy, cut, tar
from element_web import CALL_INDEX, FILE, FILES, INDEX, RELEASE, release, write
from samsesh.artifacts import element_web
from samsesh.artifacts.element_web import VERSION
from samsesh.cache import Origin, Search, keeping
from samsesh.errors import SamseshError

GOOD = release()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def detail(looking: Search) -> str:
    """What is told of a release that cannot be had."""
    with pytest.raises(SamseshError, match=r"Element Web|element_web") as raised:
        element_web.obtain(looking)
    return f"{raised.value.message}\n{raised.value.hint}\n{raised.value.detail}"


@pytest.fixture(autouse=True)
def pinned(set_pins: SetPins) -> None:
    """The stand-in's checksum in the place of the real release's."""
    set_pins(**{FILE: sha256(GOOD)})


def test_the_release_is_fetched_verified_and_kept(search: MakeSearch, releases: Releases) -> None:
    """From the mirror under the pinned version; whole, without maps of sources; the next time from the cache alone."""
    releases.files[RELEASE] = GOOD
    assert element_web.at_hand(search()) is None
    found = element_web.obtain(search())
    assert found.version == VERSION and "checksum verified" in found.how
    kept = {str(path.relative_to(found.path)) for path in found.path.rglob("*") if path.is_file()}
    assert kept == {name for name in FILES if not name.endswith(".map")}
    releases.asked.clear()
    again = element_web.at_hand(search(offline=True))
    assert again is not None and again.path == found.path
    assert releases.asked == []
    assert not (search().cache / FILE).exists()


def test_a_connection_that_breaks_is_gone_on_with(search: MakeSearch, releases: Releases) -> None:
    """A download that is cut off in the middle, and a mirror that is busy, cost a try and nothing else."""
    releases.files[RELEASE] = GOOD
    releases.trouble = [(FILE, cut), (FILE, busy)]
    assert element_web.obtain(search()).version == VERSION
    assert releases.asked_for(FILE)[-1].startswith("bytes=")


@pytest.mark.parametrize("archive", [GOOD[: len(GOOD) // 2], GOOD + b"x", release(sw_js="evil()")])
def test_another_file_than_the_pinned_one_is_refused(
    search: MakeSearch, releases: Releases, archive: bytes
) -> None:
    """Truncated or tampered with: told with both checksums, and nothing of it is kept."""
    releases.files[RELEASE] = archive
    told = detail(search())
    assert "is not the file that its checksum names" in told and sha256(GOOD)[:12] in told
    assert list(search().cache.iterdir()) == []


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (release(version="1.12.24\n"), "says that it is Element Web 1.12.24"),
        (release(version=None), "does not say of which version"),
        (release(index_html=None), "holds no index.html"),
        (release(index_html="<html>Welcome to nginx</html>"), "is not that of Element Web"),
        (release(index_html=INDEX.replace("bundle.js", "other.js")), "lacks bundles/"),
        (release(bundles_5f4cf380371795f36e31_bundle_js=b""), "lacks bundles/"),
        (release(config_sample_json="{"), "config.sample.json is damaged"),
        (GOOD[: len(GOOD) // 2], "cannot be unpacked"),
        (b"nothing", "cannot be unpacked"),
        (tar(("e/../../x", b"")), "holds what no release held"),
        (tar(("e/x", "/etc/passwd")), "holds what no release held"),
    ],
    ids=[
        *("version", "no-version", "no-index", "other-page", "lost-script", "empty-script", "bad-json"),
        *("truncated", "no-archive", "outside", "link"),
    ],
)
def test_a_release_that_does_not_hold_together_is_refused(
    search: MakeSearch, releases: Releases, archive: bytes, reason: str
) -> None:
    """Also with the right checksum; nothing is written outside, and nothing is kept."""
    releases.files[RELEASE] = archive
    looking = search(element_web_sha256=sha256(archive))
    assert reason in detail(looking)
    assert list(looking.cache.iterdir()) == []


def put_earlier(looking: Search, version: str) -> Path:
    """An Element Web that an earlier Samsesh kept."""
    looking.cache.mkdir(exist_ok=True)
    folder = looking.cache / f"element-web-{version}-0000000000000000"
    with keeping(folder, Origin("")) as new:
        write(new)
        (new / "version").write_text(version)
    return folder


def test_an_earlier_one_goes_on(search: MakeSearch, releases: Releases) -> None:
    """Until the wanted one can be had, the one that this home used goes on if it is whole; a changed one never."""
    looking = search()
    used = put_earlier(looking, "1.12.24")
    releases.files[RELEASE] = release(sw_js="evil()")
    assert "checksum" in detail(looking)
    found = element_web.earlier(looking, used)
    assert found is not None and found.path == used and found.version == "1.12.24"
    (used / "sw.js").write_text("evil()")
    assert element_web.earlier(looking, used) is None
    assert element_web.earlier(looking, looking.cache / "not-there") is None


def test_what_another_home_brought_is_not_served(
    search: MakeSearch, releases: Releases, tmp_path: Path, set_pins: SetPins
) -> None:
    """Homes share a cache, and each gets what it asked for itself: not the tarball that another one names, nor its
    mirror's or its checksum's file.
    """
    set_pins()
    path = tmp_path / FILE
    path.write_bytes(release(version="1.12.20"))
    mine = element_web.obtain(search(element_web=str(path)))
    releases.files[RELEASE] = GOOD
    pinned = element_web.obtain(search(element_web_sha256=sha256(GOOD)))
    mirrored = element_web.obtain(search())
    usual = search(mirror="https://github.com", offline=True)
    assert element_web.at_hand(usual) is None
    assert element_web.earlier(usual, mine.path) is None  # a home that named it, and does no longer
    assert len({mine.path, pinned.path, mirrored.path}) == 3
    for want in ({"element_web_sha256": sha256(GOOD)}, {}):
        assert element_web.at_hand(search(**want, offline=True)) is not None
    mirrored.path.rename(usual.cache / f"element-web-{VERSION}")  # kept under one name, as once
    for ending in ("sha256", "origin"):
        mirrored.path.with_name(f"{mirrored.path.name}.{ending}").rename(
            usual.cache / f"element-web-{VERSION}.{ending}"
        )
    assert element_web.at_hand(usual) is None


def test_a_kept_one_that_was_changed_is_got_anew(search: MakeSearch, releases: Releases) -> None:
    """What does not match its checksums is not served, and put back."""
    releases.files[RELEASE] = GOOD
    found = element_web.obtain(search())
    (found.path / "index.html").write_text("changed")
    assert element_web.at_hand(search()) is None
    assert (element_web.obtain(search()).path / "index.html").read_text() == INDEX


def test_a_named_tarball(search: MakeSearch, releases: Releases, tmp_path: Path) -> None:
    """For machines without a network: unpacked once, checked where a checksum is set, and never passed over."""
    path = tmp_path / FILE
    path.write_bytes(release(version="v1.12.30"))  # a later one, written as upstream's tags are
    want = {"element_web": str(path), "offline": True}
    assert element_web.at_hand(search(**want)) is None
    found = element_web.obtain(search(**want))
    assert (
        found.version == "1.12.30"
        and (found.path / "widgets/element-call/index.html").read_text() == CALL_INDEX
    )
    again = element_web.at_hand(search(**want))
    assert again is not None and again.path == found.path
    assert "artifacts.element_web_sha256" in detail(search(**want, element_web_sha256="0" * 64))
    path.write_bytes(path.read_bytes()[:-200])
    assert "cannot be unpacked" in detail(search(**want))
    path.write_bytes(release(version="2.0.0"))
    assert "it is Element Web 2.0.0" in detail(search(**want))
    path.unlink()
    assert "neither a folder nor a file" in detail(search(**want))
    assert releases.asked == []


def test_a_named_folder(search: MakeSearch, tmp_path: Path) -> None:
    """Copied to the cache, so that what is served stays when the folder is changed, closed or gone; taken again then."""
    mine = write(tmp_path / "mine")
    want = {"element_web": str(mine), "offline": True}
    assert element_web.at_hand(search(**want)) is None
    first = element_web.obtain(search(**want))
    assert first.path.parent == search().cache and first.version == VERSION and str(mine) in first.how
    assert (first.path / "index.html").read_text() == INDEX
    assert {path.suffix for path in first.path.rglob("*")} & {".map"} == set()
    again = element_web.at_hand(search(**want))
    assert again is not None and again.path == first.path
    (mine / "sw.js").write_text("// changed")
    assert element_web.at_hand(search(**want)) is None
    second = element_web.obtain(search(**want))
    assert (second.path / "sw.js").read_text() == "// changed" and second.path != first.path
    (mine / "index.html").unlink()
    with pytest.raises(SamseshError, match=r"artifacts\.element_web cannot be used: it holds no index"):
        element_web.at_hand(search(**want))
    assert (second.path / "index.html").exists()


def test_an_older_one_is_used_and_said_to_be_older(search: MakeSearch, tmp_path: Path) -> None:
    """As soon as it is named, and wherever it is told what is used."""
    mine = write(tmp_path / "mine")
    assert element_web.check_named(mine) == ""
    (mine / "version").write_text("1.12.21")
    remark = f"1.12.21 is older than {VERSION}"
    assert remark in element_web.check_named(mine)
    found = element_web.obtain(search(element_web=str(mine)))
    assert found.version == "1.12.21" and remark in found.how
    (mine / "version").write_text("v1.13.0")
    assert element_web.check_named(mine) == ""


CHECK = """
import sys
from pathlib import Path
from samsesh.artifacts import element_web
from samsesh.errors import SamseshError
try:
    element_web.check_named(Path(sys.argv[1]))
except SamseshError as error:
    print(error.message)
"""


@pytest.mark.parametrize("closed", ["", "bundles", "i18n", "sw.js"])
def test_a_folder_that_is_closed_to_us(open_folder: Path, closed: str) -> None:
    """The whole or a part of it: told as what it is, and never a traceback or half of it."""
    mine = write(open_folder / "mine")
    (mine / closed).chmod(0o000)
    done = subprocess.run(
        [sys.executable, "-c", CHECK, str(mine)],
        user=65534 if os.geteuid() == 0 else None,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )
    (mine / closed).chmod(0o755)
    assert done.stderr == "" and "artifacts.element_web cannot be used" in done.stdout, done


def test_offline_means_offline(search: MakeSearch, releases: Releases) -> None:
    """The release is not asked for, and it is said how to allow it."""
    assert "artifacts.offline no" in detail(search(offline=True))
    assert releases.asked == []


def test_a_release_that_is_not_there(search: MakeSearch, releases: Releases) -> None:
    """No connection, no mirror, no such file: one sentence, and ways out of it."""
    told = detail(search())
    assert (
        "the answer was 404" in told and "artifacts.element_web PATH" in told and "artifacts.mirror" in told
    )
