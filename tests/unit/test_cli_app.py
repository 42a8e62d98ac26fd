"""How commands are declared: help, `--yes`, `--no-color`, completion."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from samsesh.cli import link
from samsesh.cli.app import GROUPS
from samsesh.cli.main import app, run
from samsesh.errors import SamseshError


def cli(*words: str) -> int:
    """Exit code of a command, in this process: starting one takes long, and that is not what is tested."""
    try:
        run(list(words))
    except SamseshError as error:
        return error.code
    except SystemExit as end:
        return int(end.code or 0)
    raise AssertionError


def program(*words: str, **env: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "samsesh", *words]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SAMSESH", "NO_COLOR"))}
    return subprocess.run(command, capture_output=True, text=True, env={**kept, **env}, timeout=60)


def names() -> list[str]:
    groups = [str(group.name) for group in app.registered_groups]
    return [str(command.name) for command in app.registered_commands if not command.hidden] + groups


def test_every_command_is_in_one_group() -> None:
    """The help shows each of them once, by what people want."""
    grouped = [name for members in GROUPS.values() for name in members]
    assert sorted(grouped) == sorted(names())


@pytest.mark.parametrize("width", [80, 60])
def test_help_is_plain_and_fits(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups, no boxes, no line longer than the terminal; examples stand alone, to be copied."""
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "argv", ["samsesh", "--help"])
    assert cli("--help") == 0
    whole = capsys.readouterr().out
    places = [whole.index(f"\n{title}:\n") for title in GROUPS]
    assert places == sorted(places)
    for command in ("up", "rtc-auth", "install-service"):
        assert cli(command, "--help") == 0
    each = capsys.readouterr().out
    assert "\n  samsesh up --yes --port-offset 1000\n" in each
    for line in (whole + each).splitlines():
        assert len(line) <= width or line.startswith("  samsesh "), line
        assert line.isascii()


def test_yes_is_taken_by_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Who automates need not know which command asks; nothing else is passed over."""
    assert cli("version", "--json", "--yes") == cli("version", "-y") == 0
    assert cli("version", "--yes", "--no") == cli("version", "--", "--yes") == 2


def test_no_colours() -> None:
    """`--no-color`, also behind the command, is what NO_COLOR is."""
    words = ["config", "get", "no.such"]
    assert "\x1b[1;31m" in program(*words, FORCE_COLOR="1").stderr
    for plain in (
        program(*words, "--no-color", FORCE_COLOR="1"),
        program(*words, FORCE_COLOR="1", NO_COLOR="1"),
    ):
        assert plain.returncode == 2 and "31m" not in plain.stderr


def test_bash_completes(tmp_path: Path) -> None:
    """Commands, what they take, and settings, in a real bash, by the script that is installed."""
    samsesh = tmp_path / "samsesh"
    samsesh.write_text(f'#!/bin/sh\nexec {sys.executable} -m samsesh "$@"\n')
    samsesh.chmod(0o755)
    script = (
        'eval "$SCRIPT"; complete_line() { read -ra COMP_WORDS <<<"$1"; [[ $1 == *" " ]] && COMP_WORDS+=("");'
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _samsesh_completion samsesh; echo "${COMPREPLY[@]}"; };'
        'complete_line "samsesh do"; complete_line "samsesh config get server.na"; complete_line "samsesh completion "'
    )
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SCRIPT": link.script("bash")}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env, timeout=120)
    assert done.stdout.split("\n")[:3] == ["down doctor", "server.name", "bash zsh fish"], done.stderr


def test_completion_is_printed_for_each_shell(capsys: pytest.CaptureFixture[str]) -> None:
    """The mark by which we know our own is in each; zsh wants `#compdef` in the first line."""
    for shell in ("bash", "zsh", "fish"):
        assert cli("completion", shell) == 0
        text = capsys.readouterr().out
        assert text == link.script(shell) and "samsesh link --remove" in text
    assert link.script("zsh").startswith("#compdef samsesh\n")
    assert cli("completion", "tcsh") == 2
