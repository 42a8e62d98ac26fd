"""A `samsesh` on PATH that leads to the launcher, and completion for shells: made once, never over something else."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from samsesh.errors import SamseshError
from samsesh.write import make_dir, make_link, write_file

SHELLS = ("bash", "zsh", "fish")
MARK = "# Completion for samsesh, written by `samsesh link`; `samsesh link --remove` takes it away."
FOR_ALL = Path("/usr/local")
OPEN, READABLE = 0o755, 0o644


@dataclass(frozen=True)
class Places:
    """Where the command is linked, and where each shell looks for completions."""

    command: Path
    completions: Mapping[str, Path]


def places(environ: Mapping[str, str]) -> Places:
    """As root those for everybody, else the user's own."""
    if os.geteuid() == 0:
        command, data = FOR_ALL / "bin", FOR_ALL / "share"
    else:
        home = Path(environ.get("HOME") or "~").expanduser()
        command = home / ".local/bin"
        data = Path(environ.get("XDG_DATA_HOME") or home / ".local/share")
    return Places(
        command / "samsesh",
        {
            "bash": data / "bash-completion/completions/samsesh",
            "zsh": data / "zsh/site-functions/_samsesh",
            "fish": data / "fish/vendor_completions.d/samsesh.fish",
        },
    )


def launcher(environ: Mapping[str, str]) -> Path:
    """The launcher that started us. Raises SamseshError if none did: an installed program is on PATH by itself."""
    path = Path(environ.get("SAMSESH_COMMAND", "")).resolve()
    if not path.is_file():
        raise SamseshError("samsesh was not started by the launcher of a checkout: there is nothing to link")
    return path


def is_linked(environ: Mapping[str, str]) -> bool:
    """Whether `samsesh` leads to our launcher already."""
    program = shutil.which("samsesh", path=environ.get("PATH"))
    return program is not None and Path(program).resolve() == launcher(environ)


def check(environ: Mapping[str, str]) -> None:
    """Raises SamseshError if something else has the name."""
    where = places(environ).command
    program = shutil.which("samsesh", path=environ.get("PATH")) or where
    for path in (where, Path(program)):
        if os.path.lexists(path) and path.resolve() != launcher(environ):
            raise SamseshError(f"{path} is something else, and stays", f"if you do not need it: rm {path}")


def install(environ: Mapping[str, str], scripts: Mapping[str, str]) -> list[Path]:
    """Link the command and write `scripts` (shell -> completion): what there is now. Twice changes nothing."""
    check(environ)
    where = places(environ)
    make_dir(where.command.parent, OPEN)
    if not os.path.lexists(where.command):
        make_link(where.command, launcher(environ))
    present = [where.command]
    for shell, script in scripts.items():
        path = where.completions[shell]
        if not path.exists() or _is_ours(path):
            make_dir(path.parent, OPEN)
            write_file(path, script, READABLE)
            present.append(path)
    return present


def ours(environ: Mapping[str, str]) -> list[Path]:
    """What `install` made and is still there."""
    where = places(environ)
    linked = where.command.is_symlink() and where.command.resolve() == launcher(environ)
    return [where.command] * linked + [path for path in where.completions.values() if _is_ours(path)]


def _is_ours(path: Path) -> bool:
    return path.is_file() and MARK in path.read_text(errors="replace")
