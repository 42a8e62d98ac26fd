"""What people sent, as Synapse's database knows it, against what a backup has."""

import runpy
import sqlite3
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from samsesh.ops import media

MEDIA, COPY = "abcdefghijklmnopqrstuvwx", "ABCDEFGHIJKLMNOPQRSTUVWX"

# Its files alone: to import it would start a great deal more.
SPEC = find_spec("synapse")
assert SPEC and SPEC.origin
SYNAPSE = Path(SPEC.origin).parent


def server(*, running: bool) -> Any:
    return SimpleNamespace(engine=SimpleNamespace(running=lambda: running))


def test_where_synapse_keeps_them() -> None:
    """As Synapse itself says it, for files of people here and for copies from other servers."""
    paths = runpy.run_path(str(SYNAPSE / "media/filepath.py"))["MediaFilePaths"]("/")
    assert media.path(MEDIA, "") == paths.local_media_filepath_rel(MEDIA)
    assert media.path(COPY, "other.test") == paths.remote_media_filepath_rel("other.test", COPY)


def test_which_rows_count() -> None:
    """In Synapse's own tables: uploads that ended and copies; neither those that never came nor previews of links."""
    link = sqlite3.connect(":memory:")
    folder = sorted((SYNAPSE / "storage/schema/main/full_schemas").iterdir())[-1]
    link.executescript((folder / "full.sql.sqlite").read_text())
    for name, length, url in (
        (MEDIA, 6, None),
        ("neverCameNeverCameNever", None, None),
        ("2026-01-01_x", 6, "u"),
    ):
        row = (name, "text/plain", length, 0, url)
        link.execute(
            "INSERT INTO local_media_repository (media_id, media_type, media_length, created_ts, url_cache)"
            " VALUES (?, ?, ?, ?, ?)",
            row,
        )
    link.execute(
        "INSERT INTO remote_media_cache (media_origin, media_id, media_type, filesystem_id) VALUES (?, ?, ?, ?)",
        ("other.test", "x", "text/plain", COPY),
    )
    rows = link.execute(f"{media.LOCAL} UNION ALL {media.REMOTE}").fetchall()
    assert sorted(rows) == [(COPY, "other.test"), (MEDIA, "")]


@pytest.mark.parametrize("running", [True, False])
def test_what_is_missing(monkeypatch: pytest.MonkeyPatch, running: bool) -> None:
    """It is counted and named; what was deleted while the server went on running is not missing."""
    before = {media.path(f"{number}{MEDIA}", "") for number in range(9)}
    monkeypatch.setattr(media, "known", lambda server: before - {media.path(f"0{MEDIA}", "")})
    assert media.missing(server(running=running), before, before) == ""
    told = media.missing(server(running=running), before, {media.path(f"8{MEDIA}", "")})
    assert told.startswith(
        f"{7 if running else 8} of 9 files that the database knows are not in the media store"
    )
    assert told.count("local_content/") == media.SHOWN and ", ...)" in told
