"""Searches for artifacts that find nothing by chance: a PATH, a cache and a mirror of the test's own."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import trustme

import samsesh
from artifacts.releases import Releases, serving, tls_of
from programs import need
from samsesh import download, pins
from samsesh.artifacts import livekit
from samsesh.cache import Search
from samsesh.settings import Artifacts

MakeSearch = Callable[..., Search]
SetPins = Callable[..., None]
NO_INDEX = {
    "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple",
    "PIP_RETRIES": "0",
    "PIP_CONFIG_FILE": os.devnull,
}


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def releases(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Releases]:
    """Release pages with TLS, by an authority that this test's programs trust."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with serving(tls_of(authority)) as served:
        yield served


@pytest.fixture
def plain() -> Iterator[Releases]:
    """A mirror of the release pages without TLS."""
    with serving() as served:
        yield served


@pytest.fixture(autouse=True)
def set_pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetPins:
    """A table of pins of the test's own, empty at first: `set_pins(FILE=SHA256)` by a dict's items."""
    monkeypatch.setattr(pins, "TABLE", tmp_path / "pins.toml")

    def set_pins(**files: str) -> None:
        rows = [f'"{file}" = {{sha256 = "{sha256}", source = ""}}' for file, sha256 in files.items()]
        pins.TABLE.write_text("\n".join(["[files]", *rows, "[images]", ""]))

    set_pins()
    return set_pins


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="samsesh-artifacts-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def search(
    releases: Releases, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> MakeSearch:
    """Makes a search; its PATH is the folder `bin` of the test. No Go but one that is put there, and no package index."""
    monkeypatch.setattr(download, "PAUSES", (0.0, 0.01, 0.01))
    monkeypatch.setattr(livekit, "GO_PLACE", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()

    def make(**want: object) -> Search:
        return Search(
            want=Artifacts.model_validate({"mirror": releases.url, **want}),
            cache=tmp_path / "cache",
            machine="x86_64",
            environ={"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), **NO_INDEX},
            say=said.append,
        )

    return make


def program(path: Path, script: str) -> Path:
    """A small script in place of a program that is not ours."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def run_as_nobody(
    script: str, folder: Path, environ: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run Python code that uses ours as a user without rights and home, who may write to `folder` alone: its argument."""
    source = Path(samsesh.__file__).parents[1]
    argv = [sys.executable, "-c", script, str(folder)]
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
        argv = [need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", *argv]
    return subprocess.run(
        argv,
        env={**os.environ, "HOME": "/nonexistent", "PYTHONPATH": str(source), **environ},
        capture_output=True,
        text=True,
        timeout=300,
        cwd="/",
    )
