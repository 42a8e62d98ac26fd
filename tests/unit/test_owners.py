"""Who else can change a file: folders, links, groups and access lists count; a group of one's own does not."""

import grp
import os
import struct
from pathlib import Path

import pytest

from samsesh import owners
from temporary import account

OTHER = 61_236  # nobody has it; other tests look for files of `nobody`


def others(path: Path) -> str:
    return owners.changed_by(path, path.lstat())


@pytest.mark.parametrize(("mode", "by"), [(0o644, ""), (0o600, ""), (0o646, "everybody")])
def test_modes(tmp_path: Path, mode: int, by: str) -> None:
    """What everybody may write is everybody's."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    assert others(path) == by


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can be another user")
def test_other_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody's file is theirs, but for whoever called root by sudo; that counts for root only."""
    path = tmp_path / "file"
    path.touch()
    os.chown(path, OTHER, 0)
    assert others(path) == "user 61236"
    monkeypatch.setenv("SUDO_UID", str(OTHER))
    assert others(path) == ""
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    assert others(path) == "user 61236"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can be another user")
def test_groups(tmp_path: Path) -> None:
    """A group that may write is others, unless nobody else is in it, as in the group of each user of Ubuntu's."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o664)
    assert others(path) == ""  # root's
    os.chown(path, 0, 1)  # daemon's
    assert "group 1" in others(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can be another user")
def test_groups_of_which_not_all_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that nobody knows, and one of a directory (LDAP), which does not list whose first group it is: others."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o664)
    os.chown(path, 0, OTHER)
    assert f"group {OTHER}" in others(path)
    empty = grp.getgrnam("src").gr_gid
    os.chown(path, 0, empty)
    assert others(path) == ""
    with account() as eve:  # who called sudo
        monkeypatch.setenv("SUDO_UID", str(eve.pw_uid))
        monkeypatch.setattr(owners, "GROUPS", tmp_path / "no-such-file")  # as if all came from a directory
        assert f"group {empty}" in others(path)
        os.chown(path, 0, eve.pw_gid)
        assert others(path) == ""  # it was made with her


def test_access_lists(tmp_path: Path) -> None:
    """Whom an access list lets write shows in the mode of the group only."""
    path = tmp_path / "file"
    path.touch()
    # As the kernel has them (posix_acl_xattr.h): tag, rights, id of owner, a user, group, mask, others.
    entries = [(1, 6, -1), (2, 6, OTHER), (4, 4, -1), (16, 6, -1), (32, 4, -1)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(path, owners.ACCESS_LIST, packed)
    except OSError as error:
        pytest.skip(f"the file system has no access lists: {error}")
    assert path.stat().st_mode & 0o777 == 0o664 and "others" in others(path)


def test_a_system_without_such_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS, where Homebrew's folders are a group's: Python cannot ask for them there."""
    monkeypatch.delattr(os, "listxattr")
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o666)
    assert others(path) == "everybody"
    path.chmod(0o664)
    others(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can be another user")
def test_the_way(tmp_path: Path) -> None:
    """Each folder and link on the way to a file counts, in both directions of a link; what is not there yet ends it."""
    assert owners.way_changed_by(tmp_path / "not" / "there") == ""  # below /tmp
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    theirs.mkdir()
    mine.mkdir()
    os.chown(theirs, OTHER, 0)
    assert owners.way_changed_by(theirs / "not" / "there") == f"user 61236, at {theirs}"
    (mine / "link").symlink_to("../theirs/file")
    assert owners.way_changed_by(mine / "link") == f"user 61236, at {theirs}"
    (mine / "home").symlink_to(tmp_path / "mine")
    assert owners.way_changed_by(mine / "home" / "x") == ""
    os.chown(mine / "home", OTHER, 0, follow_symlinks=False)
    assert owners.way_changed_by(mine / "home" / "x") == f"user 61236, at {mine / 'home'}"
    (mine / "ring").symlink_to("ring")
    assert "ring of links" in owners.way_changed_by(mine / "ring")
    sticky = tmp_path / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    assert owners.way_changed_by(sticky / "mine") == ""
    sticky.chmod(0o777)
    assert owners.way_changed_by(sticky / "mine") == f"everybody, at {sticky}"
