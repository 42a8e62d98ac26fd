"""What a release has to be: by the settings, by the table, or as it first came over https; never by a mirror's word."""

import hashlib
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from artifacts.conftest import MakeSearch, SetPins
from artifacts.releases import ARCHIVE, FOLDER, PADDING, PROGRAM, Releases, checksums, cut, tar
from samsesh import pins
from samsesh.artifacts import element_call, element_web, livekit
from samsesh.errors import SamseshError
from samsesh.settings import Artifacts

GOOD = tar(("LICENSE", PADDING), ("livekit-server", PROGRAM))
EVIL = tar(("LICENSE", PADDING[::-1]), ("livekit-server", PROGRAM + b"# evil\n"))
CALL = (
    f"/element-hq/element-call/releases/download/v{element_call.version()}/{element_call.releases()[0].file}"
)
PAGES = tar(("top/index.html", b"<html>"), ("top/a.js", PADDING))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def reason(obtain: Callable[[Any], object], looking: object) -> str:
    with pytest.raises(SamseshError) as raised:
        obtain(looking)
    return raised.value.detail


def leading(to: str) -> Callable[[Any, bytes], None]:
    """The file is said to be elsewhere."""

    def redirect(handler: Any, content: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"{to}{handler.path}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return redirect


def test_an_unpinned_release_never_comes_without_tls(search: MakeSearch, plain: Releases) -> None:
    """A mirror with plain http is not even asked, checksum list and all; what to do names the setting for the hash."""
    plain.publish(GOOD)
    plain.files[CALL] = PAGES
    plain.files[element_web.RELEASE.url("")] = GOOD
    for module, setting in (
        (livekit, "livekit_sha256"),
        (element_call, "element_call_sha256"),
        (element_web, "element_web_sha256"),
    ):
        told = reason(module.obtain, search(mirror=plain.url))
        assert "is not pinned" in told and f"artifacts.{setting} HASH" in told
    assert plain.asked == []


def test_with_a_hash_in_the_settings_any_mirror_does(search: MakeSearch, plain: Releases) -> None:
    """The named hash is all that counts: no list of the mirror's is read, and another file is refused."""
    plain.files[f"{FOLDER}/{ARCHIVE}"], plain.files[CALL] = GOOD, PAGES
    want = {"mirror": plain.url, "livekit_sha256": sha256(GOOD), "element_call_sha256": sha256(PAGES)}
    got = livekit.obtain(search(**want))
    assert got.path.read_bytes() == PROGRAM and "checksum verified" in got.how
    assert element_call.obtain(search(**want)).path.is_dir()
    shutil.rmtree(search().cache)
    plain.files[f"{FOLDER}/{ARCHIVE}"], plain.files[CALL] = EVIL, PAGES + b"x"
    assert "is not the file that its checksum names" in reason(livekit.obtain, search(**want))
    assert "is not the file that its checksum names" in reason(element_call.obtain, search(**want))


def test_the_table_counts_over_the_mirror_and_its_list(
    search: MakeSearch, releases: Releases, plain: Releases, set_pins: SetPins
) -> None:
    """A mirror that lists the checksum of what it serves is refused, with TLS and without; the right file is taken."""
    set_pins(**{ARCHIVE: sha256(GOOD)})
    for mirror in (releases, plain):
        mirror.publish(EVIL)
        assert "is not the file that its checksum names" in reason(livekit.obtain, search(mirror=mirror.url))
        mirror.publish(GOOD, listed=checksums(EVIL))
        assert livekit.obtain(search(mirror=mirror.url)).path.read_bytes() == PROGRAM
        shutil.rmtree(search().cache)


def test_the_settings_count_over_the_table(search: MakeSearch, releases: Releases, set_pins: SetPins) -> None:
    """Somebody who builds LiveKit themselves names the hash of that."""
    set_pins(**{ARCHIVE: sha256(GOOD)})
    releases.publish(EVIL)
    assert livekit.obtain(search(livekit_sha256=sha256(EVIL))).path.read_bytes() != PROGRAM


def test_a_pin_drops_what_came_without_it(search: MakeSearch, releases: Releases, set_pins: SetPins) -> None:
    """What was fetched before the table knew the release is not used once it is known to be another; nor by its record.

    So it is with what an earlier version kept, which wrote down the release's checksum alone.
    """
    for written in (True, False):
        set_pins()
        releases.publish(EVIL)
        first = livekit.obtain(search()).path
        if not written:
            first.parent.with_name(first.parent.name + ".origin").unlink()
        assert livekit.at_hand(search()) is not None
        set_pins(**{ARCHIVE: sha256(GOOD)})
        assert livekit.at_hand(search()) is None
        assert "not in the cache yet" in reason(livekit.obtain, search(offline=True))
        releases.publish(GOOD)
        assert livekit.obtain(search()).path.read_bytes() == PROGRAM
        assert livekit.at_hand(search()) is not None
        shutil.rmtree(search().cache)


def test_what_is_not_pinned_is_recorded(search: MakeSearch, releases: Releases) -> None:
    """Over https, with its origin; the kept one says the same."""
    releases.publish(GOOD)
    got = livekit.obtain(search())
    assert got.origin is not None and got.origin.sha256 == sha256(GOOD) and "not pinned" in got.origin.how
    kept = livekit.at_hand(search())
    assert kept is not None and kept.origin == got.origin
    assert (search().cache / f"{ARCHIVE}.sha256").read_text().split() == [sha256(GOOD), ARCHIVE]


@pytest.mark.parametrize("hops", ["to", "through"])
def test_https_never_leads_over_http(
    search: MakeSearch, releases: Releases, plain: Releases, hops: str
) -> None:
    """Not at the end, and not in the middle: who stands there would say where it goes on. It is not even asked."""
    releases.publish(GOOD)
    releases.trouble = [(ARCHIVE, leading(plain.url))]
    plain.publish(GOOD)
    if hops == "through":
        plain.trouble = [(ARCHIVE, leading(releases.url))]
    assert "leads to an address without TLS" in reason(livekit.obtain, search())
    assert plain.asked == []


def test_a_beginning_of_another_file_is_not_gone_on_with(search: MakeSearch, releases: Releases) -> None:
    """Without a known hash, what an earlier start left could be of another mirror: an archive, and the rest of ours
    behind it, which unpacks as the former."""
    releases.files[CALL] = PAGES
    evil = tar(("top/index.html", b"evil"))
    looking = search()
    looking.cache.mkdir()
    (looking.cache / f"{CALL.rpartition('/')[2]}.part").write_bytes(evil)
    assert (element_call.obtain(looking).path / "index.html").read_bytes() == b"<html>"
    shutil.rmtree(looking.cache)
    releases.trouble = [(CALL, cut)]  # within one start it does go on
    element_call.obtain(looking)
    assert releases.asked_for(CALL)[-1].startswith("bytes=")


def test_the_table_has_a_row_for_each_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the versions in the code, and of no others; a value is a SHA-256 or empty, and says where it comes from."""
    monkeypatch.undo()
    table = pins.read()
    modules = (livekit, element_web, element_call)
    assert set(table.files) == {release.file for module in modules for release in module.releases()}
    for pin in (*table.files.values(), *table.images.values()):
        assert (len(pin.sha256), bool(pin.source)) in ((64, True), (0, False))
        assert set(pin.sha256) <= set("0123456789abcdef")
    for module in modules:
        for release in module.releases():
            assert getattr(Artifacts(), release.setting) == ""
