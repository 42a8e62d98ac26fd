"""`samsesh link` and `samsesh completion`: a `samsesh` on PATH, and what shells complete of it."""

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

from samsesh.cli.app import UNASKED
from samsesh.errors import DONE, FAILED, SamseshError
from samsesh.home import Home

COMPLETE = "_SAMSESH_COMPLETE"  # set by the shells' functions; Typer answers them
Shell = StrEnum("Shell", ["bash", "zsh", "fish"])
_ZSH_FIRST_CALL = 'if [ "${funcstack[1]}" = _samsesh ]; then _samsesh_completion "$@"; fi'


def link(
    remove: Annotated[bool, typer.Option("--remove", help="Undo it.")] = False,
) -> None:
    """Put `samsesh` on PATH, with completion for bash, zsh and fish: for you, or as root for everybody.

    It is a link to this checkout in ~/.local/bin or /usr/local/bin. What is there already stays.

    Examples: `samsesh link`, `samsesh link --remove`.
    """
    from samsesh.cli.output import console
    from samsesh.ops import link as ops

    if remove:
        for path in ops.ours(os.environ):
            path.unlink()
            console.print(f"removed {path}")
        return
    _install()


def completion(
    shell: Annotated[Shell, typer.Argument(help="bash, zsh or fish.", show_default=False)],
) -> None:
    """Print what a shell needs to complete commands, options and settings; `samsesh link` installs it.

    Examples: `source <(samsesh completion bash)`, `samsesh completion fish | source`.
    """
    from samsesh.cli.output import write

    write(script(shell))


def script(shell: str) -> str:
    """The completion for one shell: Typer's, and a mark by which we know it again."""
    from typer import completion as typers

    from samsesh.ops.link import MARK

    text = typers.get_completion_script(  # type: ignore[attr-defined] # public, though not in an __all__
        prog_name="samsesh", complete_var=COMPLETE, shell=shell
    )
    first, rest = text.split("\n", 1) if shell == "zsh" else ("", text)  # `#compdef` has to be the first line
    last = [_ZSH_FIRST_CALL] if shell == "zsh" else []  # for zsh the file is the function at the first call
    return "\n".join(filter(None, [first, MARK, rest, *last])) + "\n"


def answer_shells() -> None:
    """Before the words are parsed: Typer's functions answer when a shell asks what could come next."""
    if COMPLETE in os.environ:
        from typer import completion as typers

        typers.completion_init()  # type: ignore[attr-defined]


def offer_later(home: Home) -> None:
    """At a first start on a terminal: goes on in a child, while this process waits to ask at its end. As root the child
    gives its rights up, and could no longer write to /usr/local.
    """
    from samsesh.ops import link as ops
    from samsesh.ops.privileges import as_owner, go_on_in_a_child

    silent = {*UNASKED, "--dry-run", "--foreground", "--no-start"} & set(sys.argv)
    if silent or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return
    try:
        ops.check(os.environ)
        with as_owner(home):
            needless = home.started or ops.is_linked(os.environ)
    except SamseshError:  # something else has the name; or the command itself will say what is wrong
        return
    if not needless:
        go_on_in_a_child(lambda code: _offer(home, code))


def _offer(home: Home, code: int) -> None:
    import termios

    from rich.prompt import Confirm

    from samsesh.cli.output import console, print_error
    from samsesh.ops import link as ops
    from samsesh.ops.privileges import as_owner

    try:
        with as_owner(home):
            started = home.started
        if code not in (DONE, FAILED) or not started:
            return
        termios.tcflush(sys.stdin, termios.TCIFLUSH)  # an Enter typed ahead was for another question
        question = (
            f"\nPut `samsesh` into {ops.places(os.environ).command.parent}, so that you can call it anywhere?"
        )
        if Confirm.ask(question, console=console, default=True):
            _install()
        else:
            console.print("Later: samsesh link")
    except SamseshError as error:
        print_error(error)
    except (KeyboardInterrupt, EOFError):
        console.print("\nLater: samsesh link")


def _install() -> None:
    from pathlib import Path

    from samsesh.cli.output import console
    from samsesh.ops import link as ops

    for path in ops.install(os.environ, {shell: script(shell) for shell in ops.SHELLS}):
        console.print(f"  {path}")
    where = ops.places(os.environ)
    if str(where.command.parent) not in os.environ.get("PATH", "").split(os.pathsep):
        console.print(
            f"{where.command.parent} is not on your PATH yet: log in again, or add it in your shell's settings"
        )
    if os.geteuid() != 0 and Path(os.environ.get("SHELL", "")).name == "zsh":
        console.print(f"For zsh, before compinit in ~/.zshrc: fpath+=({where.completions['zsh'].parent})")
