"""How `up` ends: what went wrong, whether people can come, where, and the first administrator's password."""

import os
import stat
import sys

from samsesh.cli.notes import after_up, fingerprint, for_people
from samsesh.cli.output import console, print_error, print_rows, warn
from samsesh.ops.deploy import Report
from samsesh.ops.service import reboot_warning
from samsesh.ops.service_account import password_shown
from samsesh.ops.status import without


def print_report(report: Report) -> None:
    """What a person wants to know once the chat runs; if more is to be got, which may take minutes, the rest is printed
    behind that.
    """
    for warning in (*report.server.warnings, *report.warnings):
        warn(warning)
    if report.backup:
        console.print(f"A backup from before the change of version is in {report.backup}")
    if not report.to_get:
        print_end(report)
    elif report.changed or report.first_admin:
        console.print(f"\nThe chat {'runs' if report.uncertified or report.unproven else 'is ready'}:\n")
        _print_people(report)


def print_end(report: Report) -> None:
    """What went wrong, then whether people can come, where, and the first administrator: the last on the screen."""
    for error in report.failed:
        print_error(error)
    console.print(f"\n{verdict(report)}\n", style="bold")
    notes = fingerprint(report.server)
    if report.changed or report.failed:
        reboot = reboot_warning(report.server.home)
        notes = [*after_up(report.server, report.uncertified), *([reboot] if reboot else [])]
    notes += [f"{off.name} is off; {off.advice}" for off in report.server.plan.offer.off]
    if report.later:
        notes.append(f"Trying again in the background: {', '.join(report.later)}. See: samsesh status")
    for note in notes:
        console.print(f"- {note}")
    if notes:
        console.print()
    _print_people(report)


def _print_people(report: Report) -> None:
    """Where people come in, and the first administrator, whose password counts as shown only once it was written."""
    print_rows(for_people(report.server.plan.offer.addresses), indent="  ")
    if not report.first_admin:
        return
    name, password = report.first_admin
    console.print(f"\nAdministrator: {name}")
    if not password:
        return
    if _is_seen(in_foreground=report.manager is not None):
        console.print(f"Password:      {password}   (shown only now)")
        sys.stdout.flush()
        password_shown(report.server.home)
    else:
        console.print(
            "Password:      printed by the first `samsesh up` in a terminal; here it would stay in a log"
        )


def _is_seen(*, in_foreground: bool) -> bool:
    """Whether somebody reads what is printed: not in a service's log, which is kept, nor in /dev/null, as cron's."""
    if sys.stdout.isatty():
        return True
    return not in_foreground and not stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)


def verdict(report: Report) -> str:
    """Whether people can come, and what is missing."""
    name, uncertified = report.server.settings.brand.name, report.uncertified
    missing = without(report.server.plan.offer.off, report.lacking)
    also = f" It runs{missing.removeprefix(',')}." if missing else ""
    if uncertified:
        every = set(uncertified) >= set(report.server.access.names())
        which = "" if every else f" for {', '.join(uncertified)}"
        reach = f"nobody reaches it by https{' there' * bool(which)}"
        return f"{name} runs, but has no certificate{which} yet: {reach}.{also}"
    if report.unproven:
        return f"{name} runs, but see above: people may not be able to log in.{also}"
    if report.changed:
        return f"{name} is ready{missing}."
    return f"Nothing to do: {name} runs as the settings say{missing}."
