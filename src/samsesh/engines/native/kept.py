"""What the native engine keeps in the home: the database's folder, Synapse's media."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from samsesh.engine import KeptFile
from samsesh.errors import SamseshError
from samsesh.facts import Facts, opened, size_of
from samsesh.home import Home
from samsesh.model import Plan
from samsesh.write import make_dir


def files(folder: Path) -> Iterator[KeptFile]:
    """Every file below, also behind links and on other disks; what vanishes meanwhile is left out."""
    for path, size in _followed(folder):
        name = str(path.relative_to(folder))
        if size is None:
            yield name, 0, None
            continue
        try:
            source = opened(path)
        except SamseshError:
            yield name, 0, None
            continue
        if source:
            with source:
                yield name, os.fstat(source.fileno()).st_size, source


def _followed(
    folder: Path, above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[Path, int | None]]:
    """(path, size) of every file below, in order; size None: what leads nowhere, is closed to us, or is no file.

    `above`: the folders that we are in, so that a link back to one of them is no way without an end.
    """
    try:
        mark = (folder.stat().st_dev, folder.stat().st_ino)
        paths = [] if mark in above else sorted(folder.iterdir())
    except FileNotFoundError:
        return
    except OSError:
        yield folder, None
        return
    for path in paths:
        try:
            info = path.stat()
        except OSError:
            if os.path.lexists(path):  # else it vanished
                yield path, None
            continue
        if stat.S_ISDIR(info.st_mode):
            yield from _followed(path, above | {mark})
        else:
            yield path, info.st_size if stat.S_ISREG(info.st_mode) else None


def take(target: Path, folder: Path) -> None:
    """Put a folder in the place of one that is not there yet, or is empty."""
    if folder.is_dir():
        make_dir(target.parent)
        folder.rename(target)


def discard(home: Home) -> None:
    """What services keep; what else is below the data folder stays."""
    for unit in ("postgres", "synapse", "gateway", "rtc-auth", "coturn", "livekit", "agent"):
        shutil.rmtree(home.data_dir / unit, ignore_errors=True)


def sizes(home: Home) -> tuple[int, int]:
    """Bytes of media and of the database."""
    bases = (home.data_dir / "postgres").glob("*/base")
    media = sum(size or 0 for _, size in _followed(home.data_dir / "synapse" / "media"))
    return media, sum(map(size_of, bases))


def databases(home: Home) -> dict[str, str]:
    """Data folder -> the PostgreSQL that made it, by its own word."""
    folder = home.data_dir / "postgres"
    return {path.name: _major(path) for path in folder.glob("[0-9]*") if path.name.isdigit()}


def _major(folder: Path) -> str:
    """The PostgreSQL that made a data folder, by its own word."""
    try:
        return (folder / "PG_VERSION").read_text(errors="replace").strip()
    except FileNotFoundError:
        return folder.name
    except OSError as error:
        raise SamseshError(
            f"cannot read the database in {folder}: {error.strerror}", "check its owner"
        ) from None


def postgres_tool(facts: Facts, plan: Plan, tool: str) -> tuple[list[str], dict[str, str]]:
    """A program of PostgreSQL with libpq's environment for the Synapse role; the password stays in its file.

    For a server elsewhere it is given psycopg2's libpq in place of its own, which was built without TLS.
    """
    database = plan.offer.database
    assert database is not None  # postgres.py always offers one
    tls = {"LD_PRELOAD": facts.libpq} if database.unit is None and facts.libpq else {}
    return [facts.programs[tool]], {**database.environment, **tls, "PGPASSFILE": str(database.passfile.path)}
