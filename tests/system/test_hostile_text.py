"""Names that strangers choose, shown by the commands of a real server: nothing in them acts."""

import json
import subprocess
import unicodedata
import urllib.error
import urllib.request
from typing import Any

import pytest

from conftest import Stack, give_to_service_user
from synapse_module.homeserver import Person
from system.test_rooms import old_room, person
from system.trouble import wait_for

pytestmark = pytest.mark.slow
LINK = "\x1b]8;;https://evil.test\x1b\\here\x1b]8;;\x1b\\"
RECORD = "2026-01-31 12:00:00,000 - synapse.app - 1 - CRITICAL - None - forged"
HOSTILE = f"{LINK}\x1b[2J\x9b31m\u202egnp\u2066\u2028[link=https://evil.test]x[/link]\r\n{RECORD}"
DEVICE = f"{LINK}\x1b[2J\x9b31m\u202egnp\r\n@root:localhost"  # at most 100 characters
BIDI = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")


def harmless(done: "subprocess.CompletedProcess[str]") -> str:
    """What a command wrote, which has nothing that steers a terminal or forges a line."""
    told = done.stdout + done.stderr
    assert not [line for line in told.split("\n") if line.startswith("Traceback")]
    for letter in told:
        assert letter in "\t\n" or unicodedata.category(letter) not in ("Cc", "Zl", "Zp"), repr(letter)
        assert unicodedata.bidirectional(letter) not in BIDI, repr(letter)
    assert not [line for line in told.split("\n") if line.startswith((RECORD, "@root:"))]
    return told


@pytest.fixture(scope="module")
def stranger(stack: Stack) -> Person:
    """Somebody whose names are hostile: of the account, a device and a room."""
    found = person(stack)
    found.ask("PUT", f"/profile/{found.user_id}/displayname", {"displayname": HOSTILE})
    found.ask("PUT", f"/devices/{found.device_id}", {"display_name": DEVICE})
    return found


def test_display_names(stack: Stack, stranger: Person) -> None:
    """`user list` and `user show` print account and device names as text on one line; `--json` gives them whole."""
    harmless(stack.cli("user", "list"))
    told = harmless(stack.cli("user", "show", stranger.user_id))
    assert "\\x1b]8;;https://evil.test" in told and "[link=https://evil.test]x[/link]" in told
    done = stack.cli("user", "show", stranger.user_id, "--json")
    harmless(done)
    shown = json.loads(done.stdout)
    assert shown["display_name"] == HOSTILE
    assert [device["name"] for device in shown["devices"]] == [DEVICE]


def test_names_of_rooms(stack: Stack, stranger: Person) -> None:
    """`rooms allow-calls` prints a room's name as text on one line."""
    room = old_room(stranger, "11")
    stranger.ask("PUT", f"/rooms/{room}/state/m.room.name/", {"name": HOSTILE})

    def listed() -> str:
        told = harmless(stack.cli("rooms", "allow-calls", room))
        return told if "x1b" in told else ""

    assert wait_for(listed)
    done = stack.cli("rooms", "allow-calls", room, "--json")
    harmless(done)
    assert HOSTILE in [entry["name"] for entry in json.loads(done.stdout)]


def log_in(stack: Stack, name: str) -> int:
    """A log-in with a wrong password; the status of the answer."""
    data: dict[str, Any] = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": name},
        "password": "wrong",
        "initial_device_display_name": HOSTILE,
    }
    url = stack.url("homeserver") + "/_matrix/client/v3/login"
    request = urllib.request.Request(url, json.dumps(data).encode(), method="POST")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=30)
    caught.value.close()
    return caught.value.code


def test_failed_log_ins_forge_no_record(stack: Stack) -> None:
    """What somebody tries to log in as is one record of Synapse's log, in its file, in `logs` and for the doctor."""
    assert log_in(stack, f"mallory\n{RECORD}\n{HOSTILE}") in (400, 403)
    told = wait_for(
        lambda: [line for line in harmless(stack.cli("logs", "synapse")).split("\n") if "mallory" in line]
    )
    assert any("mallory\\n2026-01-31" in line for line in told)
    harmless(stack.cli("logs"))
    harmless(stack.cli("logs", "-n", "1000", "--since", "10m"))
    harmless(stack.cli("doctor", "--only", "logs"))
    if stack.environ:  # in containers
        return
    for path in (stack.home.logs_dir / "synapse.log", stack.home.logs_dir / "synapse/homeserver.log"):
        lines = path.read_bytes().decode().split("\n")
        assert any("mallory" in line for line in lines)
        assert not [line for line in lines if line.startswith("2026-01-31 12:00:00,000")]
        assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    "words",
    [
        ("user", "show", HOSTILE),
        ("user", "add", HOSTILE, "--password-stdin"),
        ("rooms", "allow-calls", f"#{HOSTILE}:localhost"),
        ("invite", "revoke", HOSTILE),
        ("invite", "create", "--expires", HOSTILE),
        ("logs", HOSTILE),
        ("logs", "--since", HOSTILE),
        ("config", "get", HOSTILE),
        ("config", "set", "server.access", HOSTILE),
        ("config", "set", "brand.accent", HOSTILE),
        ("doctor", "--only", HOSTILE),
        ("restart", HOSTILE),
        ("restore", f"/nowhere/{HOSTILE}"),
        ("backup", "verify", f"/nowhere/{HOSTILE}"),
        ("backup", "create", "-o", f"/nowhere/{HOSTILE}"),
        ("images", HOSTILE),
        (HOSTILE,),
        (f"--{HOSTILE}",),
        ("up", f"--{HOSTILE}"),
        ("up", "--port-offset", HOSTILE),
        ("ports", "--firewall", HOSTILE),
    ],
    ids=lambda words: " ".join(word for word in words if HOSTILE not in word) or "command",
)  # fmt: skip
def test_errors_that_repeat_a_word(stack: Stack, words: tuple[str, ...]) -> None:
    """A word that came from elsewhere, such as a file's name, is repeated in an error as text."""
    done = stack.cli(*words, stdin="x\n")
    assert done.returncode in (1, 2)
    harmless(done)


def test_names_of_files(stack: Stack) -> None:
    """The backups' folder is listed, and a home named, without what their names have in them."""
    path = stack.home.backups_dir / f"x{LINK.replace('/', '')}\u202e\n.tar"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(b"no backup")
    give_to_service_user(path.parent)
    try:
        assert "\\x1b]8" in harmless(stack.cli("backup", "list"))
        harmless(stack.cli("backup", "list", "--json"))
    finally:
        path.unlink()
    for name in ("\x1b[2J", "\u202e", "a\nb"):
        other = Stack(stack.path.with_name(f"x{name}"), 1)
        for command in ("status", "up", "logs"):
            done = other.cli(command)
            assert done.returncode in (1, 2)
            harmless(done)
