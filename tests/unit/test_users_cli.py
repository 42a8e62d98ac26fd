"""`samsesh user` and `samsesh invite` as commands."""

import subprocess
import sys


def test_commands_are_listed_without_slow_imports() -> None:
    """--help must be fast: the modules of the commands import neither httpx2 nor pydantic."""
    code = (
        "import sys, samsesh.cli.users, samsesh.cli.invites;"
        "sys.exit(bool({'httpx2', 'pydantic', 'rich.table'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
