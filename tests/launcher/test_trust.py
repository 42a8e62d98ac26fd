"""./samsesh takes neither code nor settings from where somebody else could have put them. Somebody else: user nobody."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.checkout import Checkout
from launcher.machine import NOBODY, ROOT

pytestmark = pytest.mark.skipif(not ROOT, reason="only root can put files there in another user's name")
STRANGER = 4711  # another user's id, of whom this machine knows nothing
NOWHERE = "http://127.0.0.1:9/simple"


def give(path: Path, owner: int = NOBODY) -> Path:
    subprocess.run(["chown", "-R", f"{owner}:{owner}", str(path)], check=True)
    return path


def write(path: Path, text: str, owner: int = NOBODY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return give(path, owner)


def refusal(checkout: Checkout) -> list[str]:
    """The two lines of a start that is refused before anything is made or run."""
    done = checkout.start()
    assert (done.returncode, done.stdout) == (1, "")
    assert checkout.made() == []
    return done.stderr.splitlines()


@pytest.fixture
def uv(uv_folder: Path) -> str:
    return str(uv_folder / "uv")


@pytest.fixture
def poisoned(checkout: Checkout, open_folder: Path, uv: str) -> Path:
    """A cache of uv in which somebody else changed the package that the program imports."""
    cache, target = open_folder / "poisoned", open_folder / "target"
    lock = str(checkout.path / "requirements/base.lock")
    install = [uv, "pip", "install", "--no-config", "--cache-dir", str(cache), "--target", str(target)]
    install += ["--python", sys.executable, "--require-hashes", "--no-deps", "-r", lock]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    (changed,) = cache.rglob("archive-v*/*/tomlkit/__init__.py")
    changed.write_text("raise SystemExit('poisoned')\n")
    open_folder.chmod(0o1777)  # a shared folder, as /tmp is one
    return give(cache)


@pytest.mark.parametrize("file", ["uv.toml", "pyproject.toml"])
def test_settings_above_the_checkout_do_not_count(checkout: Checkout, poisoned: Path, file: str) -> None:
    """A cache that somebody names in a folder above the checkout, or above the one we are called from, is not used."""
    table = "" if file == "uv.toml" else "[tool.uv]\n"
    write(poisoned.parent / file, f'{table}cache-dir = "{poisoned}"\n')
    checkout.tell()


def test_variables_count_for_the_network_only(checkout: Checkout, poisoned: Path, tmp_path: Path) -> None:
    """None moves a cache, names settings of somebody else, or adds to what is run."""
    checkout.env |= {
        "UV_CACHE_DIR": str(poisoned),
        "UV_CONFIG_FILE": str(write(poisoned.parent / "evil.toml", f'index-url = "{NOWHERE}"')),
        "PIP_CONFIG_FILE": str(write(poisoned.parent / "evil.conf", f"[global]\nindex-url = {NOWHERE}")),
        "PIP_TARGET": str(tmp_path / "target"),
        "PYTHONPATH": str(
            write(poisoned.parent / "tomlkit/__init__.py", "raise SystemExit('evil')").parents[1]
        ),
        "UV_LINK_MODE": "no such mode",
    }
    done = checkout.start()
    assert done.returncode == 0, done.stderr
    assert "UV_CONFIG_FILE is passed over" in done.stderr


def test_a_variable_of_several_lines_is_one_variable(checkout: Checkout) -> None:
    """As CI has them for files: none of its lines is taken for another variable, which would end the start."""
    checkout.env["DEPLOYMENT"] = "settings:\nUV_INDEX_URL=x\nNETRC=/y\nfoo"
    checkout.tell()


def test_registries_of_variables_count(checkout: Checkout) -> None:
    """As for a company's own index."""
    checkout.env |= {"UV_DEFAULT_INDEX": NOWHERE, "UV_HTTP_RETRIES": "0"}
    done = checkout.start()
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr


@pytest.mark.parametrize("owner", [0, NOBODY])
def test_the_callers_own_settings_of_uv_count(checkout: Checkout, owner: int) -> None:
    """The index that they name is asked, and nobody else's; their cache is not used in any case."""
    write(checkout.home / ".config/uv/uv.toml", f'index-url = "{NOWHERE}"\n', owner)
    give(checkout.home / ".config", 0) if owner == 0 else None
    checkout.env["UV_HTTP_RETRIES"] = "0"
    done = checkout.start()
    assert done.returncode == (1 if owner == 0 else 0), done.stderr
    assert ("127.0.0.1:9" if owner == 0 else "uv.toml belongs to") in done.stderr


@pytest.mark.parametrize("owner", [0, NOBODY])
@pytest.mark.parametrize("installed", [True, False])
def test_the_callers_own_settings_of_pip_count(
    checkout: Checkout, tools: Path, bare_python: Path, owner: int, installed: bool
) -> None:
    """For uv itself and for what uv gets: the index that they name is asked, and nobody else's."""
    write(checkout.home / ".config/pip/pip.conf", f"[global]\nindex-url = {NOWHERE}\nretries = 0\n", owner)
    checkout.env |= {"UV_HTTP_RETRIES": "0"}
    checkout.env.pop("PIP_FIND_LINKS", None)
    if not installed:
        checkout.env["PATH"] = f"{bare_python / 'bin'}:{tools}"
    done = checkout.start()
    assert done.returncode == (1 if owner == 0 else 0), done.stderr
    failure = "could not get the packages" if installed else "could not get uv"
    assert (failure if owner == 0 else "pip.conf belongs to") in done.stderr
    assert ("127.0.0.1:9" in done.stderr) == (owner == 0)


def test_a_home_of_somebody_else_does_not_count(checkout: Checkout, tools: Path, uv_folder: Path) -> None:
    """As under sudo where it keeps HOME: neither settings nor programs in it are used."""
    evil = write(checkout.home / ".local/bin/uv", "#!/bin/sh\nexit 7\n")
    evil.chmod(0o755)
    write(checkout.home / ".config/uv/uv.toml", f'index-url = "{NOWHERE}"\n')
    give(checkout.home)
    done = checkout.start()
    assert done.returncode == 0, done.stderr
    assert f"HOME is passed over: {checkout.home} belongs to" in done.stderr


def test_a_program_of_somebody_else_is_not_run(
    checkout: Checkout, open_folder: Path, uv_folder: Path
) -> None:
    """uv and Pythons on PATH that somebody else can change are passed over."""
    for name in ("uv", "python3", "python3.11"):
        evil = write(open_folder / f"bin/{name}", f"#!/bin/sh\ntouch {open_folder}/ran\nexit 1\n")
        evil.chmod(0o755)
    checkout.env["PATH"] = f"{open_folder}/bin:{checkout.env['PATH']}"
    # The first uv is the stranger's, so that one is fetched, or found in the environments.
    own = checkout.home / ".local/bin/uv"
    own.parent.mkdir(parents=True)
    shutil.copy(uv_folder / "uv", own)
    checkout.tell()
    assert not (open_folder / "ran").exists()


def test_a_cache_that_somebody_made_before_is_refused(checkout: Checkout, poisoned: Path) -> None:
    """Where our own cache is to be, a folder of somebody else is not used."""
    checkout.environments.mkdir()
    checkout.environments.chmod(0o1777)
    poisoned.rename(checkout.environments / "cache")
    what, hint = refusal(checkout)[-2:]
    assert f"{checkout.environments}/cache belongs to" in what
    assert "remove that folder" in hint


@pytest.mark.parametrize("where", ["folder", "above"])
def test_an_environment_where_somebody_else_can_write_is_refused(checkout: Checkout, where: str) -> None:
    """SAMSESH_ENV_ROOT in a folder that others can write to, or that is theirs."""
    checkout.environments.mkdir()
    if where == "folder":
        checkout.environments.chmod(0o777)
    else:
        give(checkout.environments)
        checkout.env["SAMSESH_ENV_ROOT"] = str(checkout.environments / "more")
    what, hint = refusal(checkout)
    assert str(checkout.environments) in what
    assert "SAMSESH_ENV_ROOT=DIR" in hint


def loosen(path: Path, how: str) -> None:
    if how == "everybody":
        path.chmod(path.stat().st_mode | 0o002)
    elif how == "group":
        os.chown(path, -1, NOBODY if path.is_dir() else STRANGER)  # nobody's own group; one that is not known
        path.chmod(path.stat().st_mode | 0o020)
    elif how == "owner":
        os.chown(path, STRANGER, -1)


@pytest.mark.parametrize("how", ["everybody", "group", "owner"])
@pytest.mark.parametrize("part", [".", "..", "src/samsesh", "src/samsesh/__main__.py", "scripts/lock"])
def test_a_checkout_that_somebody_else_can_change_is_refused(checkout: Checkout, part: str, how: str) -> None:
    """By owner, by mode, by a group with others in it; the checkout, what is in it, and the folders above."""
    path = checkout.path / part
    loosen(path, how)
    what, hint = refusal(checkout)
    assert str(path.resolve()) in what
    assert "checkout" in hint or "chown" in hint
    if how != "owner":  # a CI's clone may be open to all in each of its files
        assert (f"chmod -R go-w {checkout.path}" in hint) == (part != "..")


def test_what_tests_need_is_installed_from_an_own_checkout_only(checkout: Checkout) -> None:
    """scripts/programs, which scripts/test runs first: as root it installs what a list in the checkout names."""
    write(checkout.path / "tests/programs.txt", "samsesh-no-such-program samsesh-no-such-package\n")
    script = str(checkout.path / "scripts/programs")
    done = subprocess.run(["sh", script], capture_output=True, text=True, env=checkout.env, timeout=120)
    assert done.returncode == 1
    assert "programs.txt belongs to" in done.stderr and "no-such-package" not in done.stderr


@pytest.mark.needs("setpriv", "unshare")
def test_a_sandbox_that_hides_root_is_named(checkout: Checkout) -> None:
    """As a Flatpak's: in a user namespace without root nobody can tell root's files from a stranger's."""
    give(checkout.path, STRANGER)
    user = ["setpriv", f"--reuid={STRANGER}", f"--regid={STRANGER}", "--clear-groups"]
    apart = [*user, "unshare", "--user", f"--map-user={STRANGER}"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("users may make no namespaces here")
    command = [*apart, *checkout.command()]
    done = subprocess.run(command, capture_output=True, text=True, env=checkout.env, timeout=120)
    assert done.returncode == 1
    assert "in a sandbox" in done.stderr and "chown" not in done.stderr


def test_a_link_in_the_code_is_refused(checkout: Checkout, open_folder: Path) -> None:
    """It could lead to what somebody else can change, and a copy would follow it."""
    write(open_folder / "extra.py", "")
    (checkout.path / "src/samsesh/extra.py").symlink_to(open_folder / "extra.py")
    what, _ = refusal(checkout)
    assert "extra.py is a link" in what


def test_an_access_list_that_lets_others_write_is_refused(checkout: Checkout) -> None:
    """The mode shows a group that may write, and only the list who may: it is not read, but refused."""
    entries = [
        (0x01, 7, -1),
        (0x02, 7, STRANGER),
        (0x04, 5, -1),
        (0x10, 7, -1),
        (0x20, 5, -1),
    ]  # acl(5), acl_ea.h
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(checkout.path / "src/samsesh", "system.posix_acl_access", acl)
    except OSError as error:
        pytest.skip(f"this file system has no access lists: {error.strerror}")
    assert "others can write to" in refusal(checkout)[0]


def test_what_is_everyday_is_taken(checkout: Checkout, open_folder: Path) -> None:
    """A checkout of who called sudo, whose own group may write, as on distributions with umask 002; below a folder like
    /tmp. What root runs is a copy that is root's alone.
    """
    open_folder.chmod(0o1777)
    subprocess.run(["chown", "-R", f"{STRANGER}:0", str(checkout.path)], check=True)
    subprocess.run(["chmod", "-R", "g+w", str(checkout.path)], check=True)
    assert "belongs to" in refusal(checkout)[0]
    checkout.env["SUDO_UID"] = str(STRANGER)
    told = checkout.tell()
    code = Path(str(told["code"])).parent
    for path in (code, *code.rglob("*")):
        assert (path.stat().st_uid, path.stat().st_mode & 0o022) == (0, 0), path


def test_the_cache_is_shared_by_checkouts(checkout: Checkout, open_folder: Path) -> None:
    """A second checkout of the same user fetches nothing again; the cache is that user's alone."""
    checkout.tell()
    cache = checkout.environments / "cache"
    assert (cache.stat().st_uid, cache.stat().st_mode & 0o777) == (0, 0o700)
    again = open_folder / "again"
    shutil.copytree(checkout.path, again)
    checkout.path = again
    checkout.env["UV_OFFLINE"] = "1"
    checkout.tell()
