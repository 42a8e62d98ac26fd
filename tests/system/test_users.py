"""Accounts and invitations by the commands, on a whole running server."""

import json
from typing import Any

import pytest

PASSWORD = "long enough for all"


def test_an_account_by_command(stack: Any) -> None:
    """The documented interface: `user add --password-stdin`, `user list --json`, and errors by exit code."""
    made = stack.cli("user", "add", "commander", "--admin", "--password-stdin", stdin=PASSWORD + "\n")
    assert made.returncode == 0, made.stderr
    listed = json.loads(stack.cli("user", "list", "--json").stdout)
    user = next(user for user in listed if user["name"].startswith("@commander:"))
    assert user["admin"]
    assert not user["deactivated"]
    again = stack.cli("user", "add", "commander", "--password-stdin", stdin=PASSWORD + "\n")
    assert again.returncode == 1
    assert "user password commander" in again.stderr
    assert stack.cli("user", "deactivate", "commander", "--yes").returncode == 0


@pytest.mark.parametrize(
    ("words", "stdin", "reason"),
    [
        (("user", "add", "short", "--password-stdin"), "abc\n", "registration.password_min_length"),
        (("user", "add", "Not Valid", "--password-stdin"), PASSWORD + "\n", "user name"),
        (("user", "add", "noterminal"), "", "--password-stdin"),
        (("invite", "create", "--expires", "soon"), "", "7d"),
    ],
)
def test_wrong_usage_by_command(stack: Any, words: tuple[str, ...], stdin: str, reason: str) -> None:
    """Wrong usage ends with 2, the reason and what to do, and no traceback."""
    done = stack.cli(*words, stdin=stdin)
    assert done.returncode == 2, done.stderr
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_an_invitation_by_command(stack: Any) -> None:
    """`invite create --json` gives a token and a link; revoked, it is gone."""
    made = json.loads(stack.cli("invite", "create", "--uses", "2", "--expires", "1d", "--json").stdout)
    assert made["token"] in made["link"]
    assert stack.cli("invite", "revoke", made["token"]).returncode == 0
    assert made["token"] not in stack.cli("invite", "list", "--json").stdout
