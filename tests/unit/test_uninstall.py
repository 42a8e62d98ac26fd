"""`destroy --all`: what is taken away, what stays, and who is in the way."""

import os
import sys
from pathlib import Path

import pytest

from samsesh import cache
from samsesh.home import Home
from samsesh.ops import link, uninstall
from temporary import account


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine with an environment of a checkout, a cache and a link, all in a folder of ours."""
    checkout, environment = tmp_path / "checkout/samsesh", tmp_path / "opt/samsesh/123/run-123-456"
    for file in (
        checkout,
        environment / "complete",
        tmp_path / "opt/samsesh/cache/x",
        tmp_path / "cache/samsesh/y",
    ):
        file.parent.mkdir(parents=True)
        file.write_text("")
    monkeypatch.setattr(sys, "prefix", str(environment))
    monkeypatch.setattr(link, "FOR_ALL", tmp_path / "usr/local")
    monkeypatch.setattr(uninstall, "MACHINE_CACHE", tmp_path / "cache/samsesh")
    monkeypatch.setattr(uninstall, "ROOTS", tmp_path / "roots")
    monkeypatch.setattr(uninstall, "ROOT_HOME", tmp_path / "nowhere")
    paths = {
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path}/usr/local/bin",
    }
    environ = {"SAMSESH_COMMAND": str(checkout), **paths}
    link.install(environ, {"bash": f"{link.MARK}\n"})
    return environ


@pytest.mark.skipif(os.geteuid() != 0, reason="only root removes a user")
def test_all_of_it_goes_and_what_stays_is_roots(
    home: Home, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caches, environment, link and user are gone; the checkout is untouched, and backups are root's."""
    (home.path / "backups").mkdir()
    backup = home.path / "backups/one.tar"
    backup.write_text("")
    with account() as user:
        for path in (home.path, backup.parent, backup):
            os.chown(path, user.pw_uid, user.pw_gid)
        monkeypatch.setattr(uninstall, "SERVICE_USER", user.pw_name)
        plan = uninstall.plan(home, environ)
        monkeypatch.setattr(
            uninstall, "_remove_user", lambda name: None
        )  # `account` does: see test_readme_chroot
        uninstall.remove(plan, home, lambda text: None)
    assert plan.user == user.pw_name and any(str(home.path) in sentence for sentence in plan.stays)
    assert [path.stat().st_uid for path in (home.path, backup.parent, backup)] == [0, 0, 0]
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert left == {"checkout/samsesh", "home/backups/one.tar"}
    assert not (tmp_path / "opt/samsesh").exists()


def test_other_homes_are_named(home: Home, environ: dict[str, str], tmp_path: Path) -> None:
    """Every `up` notes its home beside the cache; one that is gone is in nobody's way."""
    kept = tmp_path / "cache/samsesh"
    other, gone = Home(tmp_path / "other"), Home(tmp_path / "gone")
    other.prepare()
    other.remember(server_name="other.test")
    for each in (home, other, gone):
        cache.note_home(kept, each)
    assert uninstall.plan(home, environ).others == (other.path,)


def test_what_somebody_else_installed_or_named_stays(
    home: Home, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Python that the launcher did not make, and a cache that SAMSESH_CACHE names, may hold anything else."""
    monkeypatch.setattr(sys, "prefix", "/usr")
    plan = uninstall.plan(home, {**environ, "SAMSESH_CACHE": "/srv"})
    assert plan.folders == {} and any("/srv" in sentence for sentence in plan.stays)
