"""Accounts of this machine for one test."""

import pwd
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def account(*options: str) -> Iterator[pwd.struct_passwd]:
    """Somebody with a name and a group of their own, gone afterwards. For root."""
    name = f"samsesh-t{uuid.uuid4().hex[:8]}"
    subprocess.run(["useradd", "--no-create-home", "--user-group", *options, name], check=True)
    try:
        yield pwd.getpwnam(name)
    finally:
        subprocess.run(["userdel", name], check=True)
