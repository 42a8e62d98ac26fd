"""`scripts/lock --releases` against local servers of the shape of the real ones: what it computes, and what it keeps."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from artifacts.conftest import SetPins
from artifacts.releases import Releases
from element_web import RELEASE as WEB
from samsesh import pins
from samsesh.artifacts import element_call, element_web, livekit
from samsesh.engines.compose.images import HUB, table

SCRIPT = Path(__file__).parents[2] / "scripts/lock"
INDEX = b'{"schemaVersion": 2, "manifests": []}'


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def lock(releases: Releases, **addresses: str) -> "subprocess.CompletedProcess[str]":
    where = {"mirror": releases.url, "registry": releases.url, "table": str(pins.TABLE), **addresses}
    options = [word for name, value in where.items() for word in (f"--{name}", value)]
    return subprocess.run([SCRIPT, "--releases", *options], text=True, capture_output=True, timeout=120)


@pytest.fixture
def published(releases: Releases) -> Releases:
    """Every release and image."""
    for module in (livekit, element_web, element_call):
        for release in module.releases():
            releases.files[release.url("")] = release.file.encode()
    for image in table():
        path = f"library/{image.path}" if image.registry == HUB and "/" not in image.path else image.path
        if image.registry:
            releases.manifests[f"/v2/{path}/manifests/{image.tag}"] = INDEX + image.name.encode()
    return releases


def test_what_came_is_what_is_written(published: Releases, set_pins: SetPins) -> None:
    """The SHA-256 of every file and manifest, with where it came from; a second run changes nothing."""
    done = lock(published)
    assert done.returncode == 0, done.stderr
    found = pins.read()
    assert {name: pin.sha256 for name, pin in found.files.items()} == {
        release.file: sha256(release.file.encode())
        for module in (livekit, element_web, element_call)
        for release in module.releases()
    }
    assert {name: pin.sha256 for name, pin in found.images.items()} == {
        image.default: sha256(INDEX + image.name.encode()) for image in table() if image.registry
    }
    assert all(published.url in pin.source for pin in (*found.files.values(), *found.images.values()))
    before = pins.TABLE.read_text()
    assert lock(published).returncode == 0
    assert pins.TABLE.read_text() == before


def test_what_cannot_be_reached_stays(published: Releases, set_pins: SetPins) -> None:
    """Known values stay, unknown ones stay unknown, each is named; nothing is made up."""
    file = element_web.RELEASE.file
    set_pins(**{file: "1" * 64})
    del published.files[WEB]
    gone = next(path for path in published.files if "element-call" in path)
    del published.files[gone]
    done = lock(published, registry="https://localhost:1")
    assert done.returncode == 1
    found = pins.read()
    assert found.files[file].sha256 == "1" * 64
    assert found.files[gone.rpartition("/")[2]].sha256 == ""
    assert all(pin.sha256 == "" for pin in found.images.values())
    assert f"{file} is left as it was: " in done.stderr and "postgres:18.6 is left as it was: " in done.stderr
    assert found.files[livekit.releases()[0].file].sha256 == sha256(livekit.releases()[0].file.encode())


def test_a_release_that_changed_is_not_taken(published: Releases, set_pins: SetPins) -> None:
    """Published files do not change: both values are named, and the table keeps its own."""
    file = livekit.releases()[0].file
    set_pins(**{file: "1" * 64})
    done = lock(published)
    assert done.returncode == 1
    assert f"the table says {'1' * 64}" in done.stderr and sha256(file.encode()) in done.stderr
    assert pins.read().files[file].sha256 == "1" * 64


def test_without_tls_nothing_counts(published: Releases, plain: Releases, set_pins: SetPins) -> None:
    """Neither releases nor manifests are asked for over plain http."""
    plain.files, plain.manifests = published.files, published.manifests
    done = lock(published, mirror=plain.url, registry=plain.url)
    assert done.returncode == 1
    assert plain.asked == []
    assert all(pin.sha256 == "" for pin in (*pins.read().files.values(), *pins.read().images.values()))


def test_a_digest_that_does_not_fit_is_not_taken(published: Releases, set_pins: SetPins) -> None:
    """What a registry calls the manifest has to be what came."""
    published.digest = f"sha256:{'2' * 64}"
    done = lock(published)
    assert done.returncode == 1 and "not the one that its digest names" in done.stderr
    assert all(pin.sha256 == "" for pin in pins.read().images.values())
