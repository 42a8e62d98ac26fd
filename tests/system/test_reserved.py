"""Ports that the kernel keeps from connections: offered to root on a terminal, undone by destroy. In namespaces."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest

from conftest import Stack, free_offset, give_to_service_user
from samsesh import ports
from samsesh.errors import SamseshError
from samsesh.ops import privileges, reserved
from system.trouble import fine, needs_root

pytestmark = needs_root
SETTINGS = """
[server]
name = "example.org"
access = "domain"
address = "203.0.113.7"
[web]
client = "none"
[ports]
https = 40443
"""


@contextmanager
def apart() -> Iterator[tuple[str, ...]]:
    """A prefix for commands with a network of their own, and an empty /etc/sysctl.d."""
    script = "mount -t tmpfs samsesh-test /etc/sysctl.d && echo there && exec sleep 600"
    holder = subprocess.Popen(
        ["unshare", "--net", "--mount", "sh", "-c", script], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout and holder.stdout.readline() == "there\n"
        namespaces = (
            f"--{kind}=/proc/{holder.pid}/ns/{name}" for kind, name in (("mount", "mnt"), ("net", "net"))
        )
        yield ("nsenter", *namespaces)
    finally:
        holder.kill()
        holder.communicate()


@pytest.fixture
def inside() -> Iterator[tuple[str, ...]]:
    with apart() as prefix:
        yield prefix


def seen(inside: tuple[str, ...], path: Path) -> str:
    return subprocess.run([*inside, "cat", str(path)], capture_output=True, text=True).stdout.strip()


@pytest.mark.needs("turnserver")
def test_the_offer_and_its_end(inside: tuple[str, ...], homes: Path) -> None:
    """Asked on a terminal, once; then the kernel and a file of sysctl.d have the ports, until `destroy`."""
    stack = Stack(homes / "reserved", free_offset(), prefix=inside)
    stack.path.mkdir(mode=0o700)
    stack.home.settings_file.write_text(SETTINGS)
    give_to_service_user(stack.path)
    subprocess.run([*inside, "sh", "-c", f"echo 33000 >{ports.RESERVED}"], check=True)

    def up() -> Any:
        program, *more = stack.argv("up")
        return pexpect.spawn(
            program,
            more,
            env={**stack.env("up"), "TERM": "dumb"},
            timeout=120,
            encoding="utf-8",
            dimensions=(40, 400),
        )

    child = up()
    child.expect_exact("40443 (ports.https)")
    child.expect_exact("undoes it)?")
    child.sendline("y")
    child.expect_exact("reserved ")
    child.expect(pexpect.EOF)  # no name leads here, so nothing is started
    kept = ports.numbers(seen(inside, ports.RESERVED))
    assert {33000, 40443, 49160, 49200} <= kept
    assert f"{reserved.KEY} = {ports.spans(kept)}" in seen(inside, reserved.FILE)
    again = up()
    again.expect(pexpect.EOF)
    assert "undoes it" not in again.before
    done = fine(stack.cli("destroy", "--confirm", stack.path.name))
    assert "no longer reserved" in done.stderr
    assert seen(inside, ports.RESERVED) == "33000" and not seen(inside, reserved.FILE)


STEPS = """
import json, sys
from pathlib import Path
from samsesh import ports
from samsesh.home import Home
from samsesh.ops import reserved
from samsesh.write import set_kernel
one, two = Home(Path("/srv/one")), Home(Path("/srv/two"))
set_kernel(ports.RESERVED, "33000")
told = []
for work, home, text in ((reserved.reserve, one, "49160-49200"), (reserved.reserve, two, "40000"),
                         (reserved.release, one, ""), (reserved.release, one, ""), (reserved.release, two, "")):
    work(home, text) if text else work(home)
    told.append(ports.RESERVED.read_text().strip())
told.append(reserved.FILE.exists())
print(json.dumps(told))
"""


def test_several_servers_share_the_list(inside: tuple[str, ...]) -> None:
    """Each takes its own ports away, and what others had reserved before stays."""
    said = subprocess.check_output([*inside, sys.executable, "-c", STEPS], text=True, cwd="/")
    assert json.loads(said) == [
        "33000,49160-49200",
        "33000,40000,49160-49200",
        "33000,40000",
        "33000,40000",
        "33000",
        False,
    ]


def test_what_stays_root_does_one_thing(tmp_path: Path) -> None:
    """It still is root when the process is not; what it is told is judged, and a refusal comes back."""
    tmp_path.chmod(0o711)
    out = tmp_path / "out"

    def work(text: str) -> None:
        if text != "right":
            raise SamseshError(f"not {text}")
        out.write_text(str(os.geteuid()))

    done, refused = privileges.stay_root(work), privileges.stay_root(work)
    os.seteuid(65534)
    try:
        done("right")
        with pytest.raises(SamseshError, match="not wrong"):
            refused("wrong")
    finally:
        os.seteuid(0)
    assert out.read_text() == "0"
    with pytest.raises(SamseshError, match="not reserved"):
        reserved.reserve(Stack(tmp_path, 0).home, "22,80")
