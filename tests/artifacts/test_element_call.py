"""Element Call's pages: found, kept, or fetched with their checksum; the real package where npm and its registry are."""

import json
import os
import shutil
from pathlib import Path

import pytest

from artifacts.conftest import MakeSearch, program, run_as_nobody
from artifacts.releases import PADDING, Releases, tar
from samsesh.artifacts import element_call
from samsesh.cache import Search, cache_dir
from samsesh.errors import SamseshError
from samsesh.settings import Artifacts

VERSION = element_call.version()
FILE = f"element-call-{VERSION}.tar.gz"
RELEASE = f"/element-hq/element-call/releases/download/v{VERSION}/{FILE}"
TOP = f"element-call-v{VERSION}"
PAGES = ((f"{TOP}/index.html", b"<html>"), (f"{TOP}/assets/a.js", PADDING), (f"{TOP}/assets/a.js.map", b"{}"))


def detail(search: Search) -> str:
    with pytest.raises(SamseshError) as caught:
        element_call.obtain(search)
    assert "artifacts.element_call" in caught.value.hint
    return caught.value.detail


def test_the_release_is_the_last_way(search: MakeSearch, releases: Releases) -> None:
    """Where npm cannot be had the release is fetched; its pages are kept, and used without asking anybody again."""
    releases.files[RELEASE] = tar(*PAGES)
    got = element_call.obtain(search())
    assert (got.path / "index.html").read_bytes() == b"<html>"
    assert sorted(path.name for path in got.path.rglob("*")) == ["a.js", "assets", "index.html"]
    assert got.path.stat().st_mode & 0o777 == 0o755
    assert (got.path / "assets/a.js").stat().st_mode & 0o777 == 0o644
    asked = len(releases.asked)
    kept = element_call.at_hand(search(offline=True))
    assert kept is not None and (kept.path, kept.version) == (got.path, VERSION)
    assert len(releases.asked) == asked
    (got.path / "assets/a.js").write_bytes(b"alert(1)")
    assert element_call.at_hand(search()) is None
    assert element_call.obtain(search()).path == got.path
    assert (got.path / "assets/a.js").read_bytes() == PADDING


def test_the_first_checksum_counts(search: MakeSearch, releases: Releases) -> None:
    """The release has no checksum of its own: what came first under its name is what has to come later."""
    releases.files[RELEASE] = tar(*PAGES)
    shutil.rmtree(element_call.obtain(search()).path)
    releases.files[RELEASE] = tar(*PAGES, (f"{TOP}/more.js", b""))
    assert f"{FILE} is not what it was" in detail(search())


@pytest.mark.parametrize(
    ("archive", "reason"),
    [
        (tar((f"{TOP}/README", b"")), "holds no index.html"),
        (tar(*PAGES, (f"{TOP}/../../../x", b"")), "holds what no release held"),
        (tar(*PAGES, (f"/{TOP}/x", b"")), "holds what no release held"),
        (tar(*PAGES, (f"{TOP}/x", "/etc/passwd")), "holds what no release held"),
        (b"nothing", "cannot be unpacked"),
    ],
    ids=["no-index", "outside", "absolute", "link", "no-archive"],
)
def test_a_bad_release_is_refused(
    search: MakeSearch, releases: Releases, archive: bytes, reason: str
) -> None:
    """Nothing is written outside, and nothing is kept."""
    releases.files[RELEASE] = archive
    looking = search()
    assert reason in detail(looking)
    assert list(looking.cache.iterdir()) == []


def test_named_pages_are_used_or_refused(search: MakeSearch, tmp_path: Path) -> None:
    """What the settings name is never passed over in silence."""
    (tmp_path / "mine").mkdir()
    with pytest.raises(SamseshError, match=r"artifacts\.element_call names .*mine, which holds no index"):
        element_call.obtain(search(element_call=str(tmp_path / "mine")))
    (tmp_path / "mine/index.html").write_text("")
    found = element_call.at_hand(search(element_call=str(tmp_path / "mine")))
    assert found is not None and found.path == tmp_path / "mine"


def test_bundled_pages_need_nothing(
    search: MakeSearch, tmp_path: Path, releases: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installation that carries the pages neither asks the network nor makes a cache."""
    monkeypatch.setattr(element_call, "BUNDLED", tmp_path / "web")
    (tmp_path / "web").mkdir()
    (tmp_path / "web/index.html").write_text("")
    assert element_call.obtain(search(offline=True)).path == tmp_path / "web"
    assert not search().cache.exists()


def test_offline_means_offline(search: MakeSearch, releases: Releases, tmp_path: Path) -> None:
    """Neither npm nor the release is asked."""
    program(tmp_path / "bin/npm", f"touch {tmp_path}/ran")
    assert "artifacts.offline no" in detail(search(offline=True))
    assert releases.asked == []
    assert not (tmp_path / "ran").exists()


def test_the_lock_names_one_package_and_no_registry() -> None:
    """npm gets the version of package.json with its checksum, from whichever registry it is set up for."""
    lock = json.loads((element_call.HERE / "package-lock.json").read_text())
    package = lock["packages"][f"node_modules/{element_call.PACKAGE}"]
    assert len(lock["packages"]) == 2
    assert package["version"] == VERSION
    assert package["integrity"].startswith("sha512-")
    for name in ("package-lock.json", "node.lock"):
        assert "//" not in (element_call.HERE / name).read_text().replace("==", "")


@pytest.mark.needs("npm")
def test_a_package_with_another_checksum_is_refused(search: MakeSearch, plain: Releases) -> None:
    """A registry that serves something else under the package's name and version gets no further than npm."""
    package = tar(
        ("package/package.json", b'{"name": "x", "version": "1"}'), ("package/dist/index.html", b"evil")
    )
    name = element_call.PACKAGE
    lock = json.loads((element_call.HERE / "package-lock.json").read_text())
    integrity = lock["packages"][f"node_modules/{name}"]["integrity"]  # it claims to serve the right one
    dist = {"tarball": f"{plain.url}/evil.tgz", "integrity": integrity}
    about = {"name": name, "versions": {VERSION: {"name": name, "version": VERSION, "dist": dist}}}
    plain.files[f"/{name.replace('/', '%2f')}"] = json.dumps(about).encode()
    plain.files["/evil.tgz"] = package
    looking = search()
    environ = {**os.environ, "HOME": looking.environ["HOME"], "npm_config_registry": plain.url}
    environ["npm_config_fetch_retries"] = "0"  # else it tries for a minute
    reasons = detail(Search(looking.want, looking.cache, "x86_64", environ))
    assert plain.asked_for("/evil.tgz")
    assert "EINTEGRITY" in reasons
    assert list(looking.cache.iterdir()) == []


@pytest.mark.slow
@pytest.mark.needs("npm")
def test_the_real_pages_from_npm(tmp_path: Path) -> None:
    """The pinned package is there, matches its checksum, and holds the pages and their licence."""
    got = element_call.obtain(Search(Artifacts(), tmp_path / "cache", "x86_64", os.environ))
    assert "npm" in got.how
    assert b"<title>" in (got.path / "index.html").read_bytes()
    assert "AFFERO" in (got.path / "LICENSE").read_text()
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {
        got.path.name,
        f"{got.path.name}.sha256",
        f"{got.path.name}.origin",
    }


OBTAIN = """
import os, sys
from pathlib import Path
from samsesh.artifacts import element_call
from samsesh.cache import Search
from samsesh.settings import Artifacts
search = Search(Artifacts(), Path(sys.argv[1]), "x86_64", os.environ, say=lambda text: print(text, file=sys.stderr))
print(element_call.obtain(search).path)
"""


@pytest.mark.slow
def test_the_real_pages_without_npm(open_folder: Path) -> None:
    """As a user without rights or home, on a machine without npm, uv and pip: Node.js comes as a Python package."""
    tools = open_folder / "bin"
    tools.mkdir()
    for name in ("sh", "env", "uname"):
        (tools / name).symlink_to(shutil.which(name) or "/nonexistent")
    done = run_as_nobody(OBTAIN, open_folder / "cache", {"PATH": str(tools)})
    assert done.returncode == 0, done.stderr
    assert "fetching Node.js" in done.stderr
    assert (Path(done.stdout.strip()) / "index.html").exists()
    assert len(list((open_folder / "cache").iterdir())) == 3


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SAMSESH_CACHE, else the machine's where we may write, else the user's, else one in the home."""
    from samsesh import cache

    monkeypatch.setattr(cache, "MACHINE_CACHE", tmp_path / "machine")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    home = tmp_path / "home"
    person = {"HOME": str(tmp_path)}
    assert cache_dir({**person, "SAMSESH_CACHE": "/x"}, home) == Path("/x")
    assert cache_dir({**person, "XDG_CACHE_HOME": "/xdg"}, home) == Path("/xdg/samsesh")
    assert cache_dir(person, home) == tmp_path / ".cache/samsesh"
    assert cache_dir({"HOME": "/nonexistent"}, home) == home / "cache"
    assert cache_dir({"HOME": str(home)}, home) == home / "cache"
    (tmp_path / "machine").mkdir()
    assert cache_dir(person, home) == tmp_path / "machine"
