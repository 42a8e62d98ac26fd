"""`samsesh restore`."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from samsesh.cli.app import Yes
from samsesh.errors import FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from samsesh.ops.foreign import Choice

DATABASE = ("database.url", "SAMSESH_DATABASE_URL")  # the setting, and the variable that names it
# A backup that only root may read is opened before the rights of root are given up.
_opened: dict[str, BinaryIO] = {}


def open_as_root(argv: list[str]) -> None:
    """Open the archive that the command line names, where nobody else can have put something in its place. Any other, and
    what is no file, is left for the command itself, which may less.
    """
    from samsesh import owners
    from samsesh.ops.restore import open_archive

    for word in argv[argv.index("restore") + 1 :]:
        path = Path(word).absolute()
        if not word.startswith("-") and path.is_file() and not owners.way_changed_by(path):
            _opened[word] = open_archive(path)


def restore(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(help="A backup, or - for standard input.", show_default=False)],
    port_offset: Annotated[int | None, typer.Option(help="Shift every default port by so much.")] = None,
    engine: Annotated[
        Literal["compose"] | None,
        typer.Option(help="As root: confirm that a server which was in containers is to be there again."),
    ] = None,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Start the server afterwards.")] = True,
    trust: Annotated[
        bool,
        typer.Option("--trust-programs", help="Take programs, images, modules and [extra] from it unasked."),
    ] = False,
    yes: Yes = False,
) -> None:
    """Bring a backup's server back, in an empty home. It is the same server: do not let both run on one name.

    Settings that choose what runs are shown first and asked for; with --yes, or without a terminal, they are left out.
    The variable SAMSESH_DATABASE_URL names a PostgreSQL of yours to restore into; empty, it is one of our own.

    Examples: `samsesh restore FILE`, `samsesh --home /srv/chat restore FILE --port-offset 1000`.
    """
    from samsesh.cli.notes import for_people
    from samsesh.cli.output import console, print_error, print_rows, say
    from samsesh.ops import restore as ops

    with _open(file) as archive:
        report = ops.restore(
            ctx.obj,
            archive,
            given=_given(port_offset, os.environ),
            start=start,
            trusted=lambda choices: _trusted(choices, trust=trust, asking=not yes),
            say=say,
        )
    console.print(f"Restored into {ctx.obj.path}.")
    if report is None:
        console.print("Start it with: samsesh up")
        return
    for error in report.failed:
        print_error(error)
    print_rows(for_people(report.server.plan.offer.addresses), indent="  ")
    if report.failed:
        raise typer.Exit(FAILED)


def _given(port_offset: int | None, environ: "Mapping[str, str]") -> dict[str, Any]:
    """Settings that this command names in place of the backup's."""
    setting, variable = DATABASE
    ports = {} if port_offset is None else {"ports.offset": port_offset}
    return {**ports, **({setting: environ[variable] or None} if variable in environ else {})}


def _trusted(choices: "Sequence[Choice]", *, trust: bool, asking: bool) -> bool:
    """Show what of a backup chooses what runs on this machine, and ask; the answer is no if nobody is to be asked."""
    from rich.prompt import Confirm

    from samsesh.cli.output import errors, warn
    from samsesh.text import one_line

    warn("This backup chooses what runs on this machine:")
    for choice in choices:
        errors.print(f"    {one_line(choice.shown)}")
    if trust:
        return True
    question = "Take it? Only if you trust whoever made the backup as yourself"
    asking = asking and sys.stdin.isatty() and sys.stderr.isatty()
    if asking and Confirm.ask(question, console=errors, default=False):
        return True
    warn("It is left out. To have it after all:")
    for choice in choices:
        errors.print(f"    {one_line(choice.again)}")
    return False


def _open(file: str) -> BinaryIO:
    import shutil
    import tempfile

    from samsesh.ops.restore import open_archive

    if file != "-":
        return _opened.get(file) or open_archive(Path(file))
    spool: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(sys.stdin.buffer, spool)
    return spool
