"""The same program as a wheel: light, complete, and starting as `samsesh`."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import samsesh
from launcher.checkout import Checkout
from launcher.machine import SOURCE, copy_checkout


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """Built by the build backend itself, from a copy of this checkout."""
    pytest.importorskip("hatchling")
    copy_checkout(tmp_path / "source")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=tmp_path / "source", check=True, capture_output=True, timeout=120)
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
