"""The same program as a wheel: light, complete, and starting as `samsesh`."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import samsesh
from launcher.checkout import Checkout
from launcher.machine import SOURCE, copy_checkout

WITHOUT = {"SAMSESH_BUILD_WITHOUT_ELEMENT_CALL": "1"}


def build(folder: Path, environ: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """A wheel in `folder`, by the build backend itself, from a copy of this checkout."""
    copy_checkout(folder / "source")
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=folder / "source",
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """One without Element Call: no network is needed for it."""
    done = build(tmp_path, WITHOUT)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(tmp_path.glob("*.whl"))


def test_the_wheel_holds_everything(wheel: Path) -> None:
    """Every file of the package, the licence, and no engine among what it needs by itself."""
    assert wheel.name == f"samsesh-{samsesh.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f"samsesh-{samsesh.__version__}.dist-info/METADATA").decode()
    package = {
        str(path.relative_to(SOURCE / "src"))
        for path in (SOURCE / "src/samsesh").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert package - names == set()
    assert "License-Expression: AGPL-3.0-or-later" in metadata
    assert any(name.endswith("licenses/LICENSE") for name in names)
    needed = [
        line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line
    ]
    assert [line for line in needed if "matrix-synapse" in line or "psycopg" in line] == []


@pytest.mark.slow
def test_the_wheel_starts_with_what_every_engine_needs(
    wheel: Path, checkout: Checkout, tmp_path: Path
) -> None:
    """Installed beside the base packages alone, `samsesh --version` answers."""
    uv = subprocess.run(
        ["sh", "-euc", '. scripts/environment.sh; locate dev; get_uv; echo "$uv"'],
        cwd=SOURCE,
        env={**checkout.env, "checkout": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    fresh = tmp_path / "fresh"
    python = str(fresh / "bin/python")
    lock = str(SOURCE / "requirements/base.lock")
    for command in (
        ["venv", "--python", sys.executable, str(fresh)],
        ["pip", "install", "--python", python, "--require-hashes", "--no-build", "-r", lock],
        ["pip", "install", "--python", python, "--no-deps", "--offline", str(wheel)],
        ["pip", "check", "--python", python],
    ):
        done = subprocess.run([uv, *command], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    done = subprocess.run([fresh / "bin/samsesh", "--version"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert samsesh.__version__ in done.stdout


@pytest.mark.slow
@pytest.mark.needs("npm")
def test_the_wheel_carries_element_call(tmp_path: Path) -> None:
    """Its pages are where the program looks for them, with their licence, without the source maps."""
    done = build(tmp_path, {})
    assert done.returncode == 0, done.stdout + done.stderr
    path = next(tmp_path.glob("*.whl"))
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")
    pages = "samsesh/web/element-call"
    assert {f"{pages}/index.html", f"{pages}/LICENSE"} < names
    assert not [name for name in names if name.endswith(".map")]
    assert path.stat().st_size < 30_000_000
    look = (
        "import os; from pathlib import Path; from samsesh.artifacts import element_call as e; "
        "from samsesh.cache import Search; from samsesh.settings import Artifacts; "
        "print(e.at_hand(Search(Artifacts(offline=True), Path('/nonexistent'), 'x86_64', {})).path)"
    )
    found = subprocess.run(
        [sys.executable, "-c", look],
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert found.stdout.strip() == str(tmp_path / "installed" / pages), found.stderr


def test_a_wheel_that_cannot_have_element_call_is_not_built(tmp_path: Path) -> None:
    """A build without npm fails, and says how to do without."""
    done = build(tmp_path, {"PATH": "/nonexistent"})
    assert done.returncode != 0
    assert "SAMSESH_BUILD_WITHOUT_ELEMENT_CALL=1" in done.stdout + done.stderr
    assert not list(tmp_path.glob("*.whl"))
