"""Makes the folder that a unit's first start needs, such as the database's."""

import shutil
from pathlib import Path

from samsesh.engine import Say
from samsesh.model import Prepare, Step
from samsesh.run import run
from samsesh.write import make_dir


def prepare(wanted: Prepare, say: Say) -> None:
    """Make the folder whole or not at all: in a new one beside it, which then takes its name."""
    say(wanted.what)
    new = wanted.folder.with_name(wanted.folder.name + ".new")
    if new.exists():
        shutil.rmtree(new)
    make_dir(new)
    for step in wanted.steps:
        _step(step, new, wanted)
    new.rename(wanted.folder)


def _step(step: Step, folder: Path, wanted: Prepare) -> None:
    command = [word.replace("{folder}", str(folder)) for word in step.command]
    stdin = step.stdin.reveal().encode() if step.stdin else b""
    run(command, stdin=stdin, timeout=wanted.seconds, what=wanted.what, env={"TZ": "UTC"})
