"""./samsesh where Python is too old, not there, or without what the first start needs."""

import hashlib
import json
import platform
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from launcher.checkout import Checkout
from launcher.machine import ROOT, SOURCE, as_nobody, old_pythons

linux = pytest.mark.skipif(platform.system() != "Linux", reason="the archive that is served is for Linux")


@pytest.fixture
def mirror(bare_python: Path, open_folder: Path) -> Iterator[str]:
    """The URL of a list of Pythons as uv reads it, with one archive of upstream's shape beside it."""
    served = open_folder / "mirror"
    served.mkdir()
    archive = served / "python-install_only.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(bare_python, "python")
    asked = [str(bare_python / "bin/python3"), "-c", "import platform; print(platform.python_version())"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        (served / "list.json").write_text(json.dumps(listing(version, f"{url}/{archive.name}", archive)))
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{url}/list.json"
        server.shutdown()
        thread.join()


def listing(version: str, url: str, archive: Path) -> dict[str, object]:
    """The list that UV_PYTHON_DOWNLOADS_JSON_URL names, with one entry."""
    major, minor, patch = (int(part) for part in version.split("."))
    machine = platform.machine()
    entry = {
        "name": "cpython",
        "arch": {"family": machine, "variant": None},
        "os": "linux",
        "libc": "gnu",
        "major": major,
        "minor": minor,
        "patch": patch,
        "prerelease": "",
        "url": url,
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "variant": None,
        "build": "20250101",
    }
    return {f"cpython-{version}-linux-{machine}-gnu": entry}


def without_python(checkout: Checkout, *folders: Path) -> None:
    """PATH is `folders` alone, and no list of Pythons is to be had from the internet."""
    checkout.env["PATH"] = ":".join(str(folder) for folder in folders)
    checkout.env["UV_PYTHON_DOWNLOADS_JSON_URL"] = str(checkout.home / "none.json")
    (checkout.home / "none.json").write_text("{}")


@linux
def test_uv_fetches_a_python_where_there_is_none(
    checkout: Checkout, tools: Path, uv_folder: Path, mirror: str
) -> None:
    """Without any Python, but with uv: one comes from the mirror that is set; as root, others can run it."""
    without_python(checkout, tools, uv_folder)
    checkout.env["UV_PYTHON_DOWNLOADS_JSON_URL"] = mirror
    told = checkout.tell()
    where = checkout.environments if ROOT else checkout.home
    assert str(told["python"]).startswith(str(where))
    if ROOT:
        again = subprocess.run(
            [*as_nobody(), str(told["launcher"])], capture_output=True, text=True, timeout=60
        )
        assert json.loads(again.stdout)["python"] == told["python"]


@linux
@pytest.mark.parametrize("old", old_pythons() or [None], ids=lambda old: old.parent.name if old else "none")
def test_an_old_python_fetches_uv_and_uv_a_new_one(
    checkout: Checkout, tools: Path, old: Path | None, mirror: str
) -> None:
    """Nothing but a Python from 3.8 (Ubuntu 20.04) to 3.10: enough to get uv, which gets the one that is needed."""
    if old is None:
        pytest.skip("no Python 3.8 to 3.10 on this machine")
    without_python(checkout, tools, old)
    checkout.env["UV_PYTHON_DOWNLOADS_JSON_URL"] = mirror
    done = checkout.start()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["version"] >= [3, 11]
    assert [line.split()[1:4] for line in done.stderr.splitlines()] == [
        ["making", "the", "environment"],
        ["getting", "uv"],
        ["no", "Python", "3.11"],
        ["getting", "the", "packages"],
    ]


def test_no_python_to_be_had_says_what_to_install(checkout: Checkout, tools: Path, uv_folder: Path) -> None:
    """Where uv may not fetch a Python either, the message says how to install one."""
    without_python(checkout, tools, uv_folder)
    done = checkout.start()
    assert (done.returncode, done.stdout) == (1, "")
    assert "could not get Python 3.11 or newer" in done.stderr
    assert done.stderr.splitlines()[-1].endswith(", then run this again")
    assert checkout.made() == []


def test_neither_python_nor_uv(checkout: Checkout, tools: Path) -> None:
    """Two lines: what is missing and how to install it."""
    without_python(checkout, tools)
    done = checkout.start()
    assert (done.returncode, done.stdout) == (1, "")
    what, hint = complaint(done)
    assert what.startswith("samsesh: there is no Python here that could fetch uv")
    assert "or install uv" in hint


def test_a_python_alone_is_enough(checkout: Checkout, tools: Path, bare_python: Path) -> None:
    """As on a bare Debian: neither pip, nor venv, nor uv; uv comes by the standard library, from pip's index."""
    without_python(checkout, bare_python / "bin", tools)
    done = checkout.start()
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stderr.splitlines()] == ["making", "getting", "getting"]


def complaint(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines on stderr after the progress."""
    return [line for line in done.stderr.splitlines() if not line.startswith("samsesh: making")]


@pytest.mark.parametrize(
    ("distribution", "hint"),
    [
        ("debian ", "apt install python3"),
        ("linuxmint ubuntu debian", "apt install python3"),
        ("rocky rhel centos fedora", "dnf install python3.12"),
        ("void ", "install Python 3.11 or newer"),
    ],
)
def test_the_package_is_named_as_the_distribution_names_it(distribution: str, hint: str) -> None:
    """The command to type is this distribution's."""
    script = f'checkout=$1; . "$1/scripts/environment.sh"; distribution() {{ echo "{distribution}"; }}; python_hint'
    done = subprocess.run(["sh", "-euc", script, "sh", SOURCE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hint
