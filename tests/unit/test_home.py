"""The home folder's own rules."""

import os
from pathlib import Path

import pytest

from samsesh.errors import SamseshError
from samsesh.home import Home


@pytest.mark.parametrize(
    "name", ["a,b", "a{b}", "a|b", "a ;b", "a #b", "a ", "a\nb", "a\x1b[2J", os.fsdecode(b"\xff")]
)
def test_a_folder_that_a_program_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    """A path that supervisord, PostgreSQL or Caddy would take for another is told before anything is made in it."""
    with pytest.raises(SamseshError, match="cannot work in the folder") as caught:
        Home(tmp_path / name).prepare()
    assert caught.value.message.isprintable()
    assert list(tmp_path.iterdir()) == []


def test_other_folders_are_made_private(tmp_path: Path) -> None:
    """Spaces, quotes and letters of any language are fine; nobody else looks into a home."""
    for name in ("it's mine", 'a "b" \\c $d 50%', "Büro(1)[x]&;#~*?"):
        home = Home(tmp_path / name)
        home.prepare()
        assert home.path.stat().st_mode & 0o777 == 0o700
