"""What a server needs in other places than its home: a PostgreSQL of somebody else's, logs on a disk that fills up."""

import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import trustme

from conftest import SERVICES, Stack, free_offset, give_to_service_user
from programs import postgres_with_tls
from samsesh.home import SERVICE_USER
from system.trouble import ROOT, fine, needs_root, own_mount, refused, wait_for

pytestmark = [pytest.mark.native, pytest.mark.slow]
AS_OWNER = ("setpriv", f"--reuid={SERVICE_USER}", f"--regid={SERVICE_USER}", "--clear-groups") if ROOT else ()
PASSWORD = "p:a/s?s#1"
QUOTED = "p%3Aa%2Fs%3Fs%231"


@dataclass(frozen=True)
class Somebodys:
    """A PostgreSQL at localhost:port that takes passwords, over TLS only; `ca`: the authority of its certificate."""

    port: int
    ca: Path

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        import psycopg2

        to = {"host": "localhost", "sslmode": "verify-full", "sslrootcert": str(self.ca)}
        link = psycopg2.connect(**to, port=self.port, user="owner", password=PASSWORD, dbname=database)
        try:
            link.autocommit = True
            cursor = link.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            link.close()

    def make(self, name: str, encoding: str = "UTF8") -> None:
        how = f"TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"
        self.sql(f"CREATE DATABASE {name} OWNER synapse {how}")

    def url(self, name: str, password: str = QUOTED) -> str:
        tls = "sslmode=verify-full&sslrootcert=database-ca.pem"
        return f"postgresql://synapse:{password}@localhost:{self.port}/{name}?{tls}"


@contextmanager
def postgres(folder: Path, port: int) -> Iterator[Somebodys]:
    """The distribution's, which is older than ours on Debian 12 and 13."""
    programs, env = postgres_with_tls()
    folder.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    (folder / "chain.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    (folder / "key.pem").chmod(0o600)
    (folder / "word").write_text(PASSWORD)
    give_to_service_user(folder)
    data = folder / "data"
    made = ("--username=owner", "--encoding=UTF8", "--locale=C", f"--pwfile={folder / 'word'}")
    subprocess.run(
        [*AS_OWNER, programs / "initdb", "-D", data, *made],
        check=True,
        capture_output=True,
        cwd="/",
        env={**os.environ, **env},
        timeout=60,
    )
    (data / "pg_hba.conf").write_text("hostssl all all all scram-sha-256\n")
    settings = {
        "port": port,
        "listen_addresses": "localhost",
        "unix_socket_directories": "",
        "ssl": "on",
        "ssl_cert_file": folder / "chain.pem",
        "ssl_key_file": folder / "key.pem",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*AS_OWNER, programs / "postgres", "-D", data, *options],
            stdout=log,
            stderr=log,
            cwd="/",
            env={**os.environ, **env},
        )
    there = Somebodys(port, folder / "ca.pem")

    def answers() -> bool:
        import psycopg2

        assert server.poll() is None, (folder / "log").read_text()
        try:
            there.sql("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    try:
        wait_for(answers, 30)
        yield there
    finally:
        server.send_signal(signal.SIGINT)  # TERM would wait for clients that a failed test left
        server.wait(30)


@contextmanager
def on_a_small_disk(stack: Stack) -> Iterator[Callable[[], None]]:
    """Gives what leaves 100 MB of it; without root the home is on a usual disk, and nothing happens."""
    if not ROOT:
        yield lambda: None
        return
    stack.path.mkdir()
    with own_mount(stack.path, "900m") as inside:
        subprocess.run([*inside, "chown", f"{SERVICE_USER}:", str(stack.path)], check=True)
        subprocess.run([*inside, "chmod", "700", str(stack.path)], check=True)
        stack.prefix = inside

        def fill() -> None:
            script = 'cd "$0" && fallocate -l $(($(df --output=avail -B1 . | tail -n 1) - 104857600)) filler'
            subprocess.run([*inside, "sh", "-c", script, str(stack.path)], check=True)

        try:
            yield fill
        finally:
            stopped = stack.cli("down")
            stack.prefix = ()
        fine(stopped)


def put(stack: Stack, name: str, content: bytes) -> None:
    """A file of the operator's in the home, which may be on a disk of its own."""
    subprocess.run(
        [*stack.prefix, *AS_OWNER, "tee", str(stack.path / name)], input=content, check=True, stdout=PIPE
    )


def answer(url: str, token: str = "", body: Any = None) -> tuple[int, Any]:
    request = urllib.request.Request(url, body and json.dumps(body).encode())
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as found:
            return found.status, json.load(found)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@needs_root
def test_a_full_log_disk(homes: Path) -> None:
    """Services go on where their logs cannot be written, and come back when they are killed or restarted."""
    stack = Stack(homes / "full-logs", free_offset())
    stack.home.logs_dir.mkdir(parents=True)
    give_to_service_user(stack.path)
    with own_mount(stack.home.logs_dir, "2m") as inside:
        subprocess.run([*inside, "chown", f"{SERVICE_USER}:", str(stack.home.logs_dir)], check=True)
        there = replace(stack, prefix=inside)
        there.up()
        try:
            fill = ["dd", "if=/dev/zero", f"of={stack.home.logs_dir}/filler", "bs=4k"]
            full = subprocess.run([*inside, *fill], capture_output=True, text=True)
            assert "No space left" in full.stderr
            assert there.status()["ok"]
            fine(there.cli("user", "add", "alice", "--password-stdin", stdin="correct horse 1\n"))
            fine(there.cli("restart", "synapse"))
            assert there.status()["ok"]
            assert "Traceback" not in there.cli("logs", "synapse").stderr
        finally:
            fine(there.cli("down"))


PEOPLE = "SELECT state_key FROM current_state_events WHERE type = 'm.room.member' AND membership = 'join'"


# As much of Synapse's tables as a backup, a restore and a look at them need.
TABLES = """
CREATE TABLE schema_version (version int); INSERT INTO schema_version VALUES (1);
CREATE TABLE users (name text); INSERT INTO users VALUES ('@alice:localhost');
CREATE TABLE e2e_one_time_keys_json (user_id text, device_id text, algorithm text, ts_added_ms bigint, key_id text);
INSERT INTO e2e_one_time_keys_json VALUES ('a', 'b', 'c', 1, 'old'), ('a', 'b', 'c', 2, 'new');
GRANT ALL ON ALL TABLES IN SCHEMA public TO synapse
"""


@pytest.fixture(scope="module")
def there(homes: Path) -> Iterator[Somebodys]:
    with postgres(homes / "somebody", free_offset() + 60) as found:
        found.sql(f"CREATE ROLE synapse LOGIN PASSWORD '{PASSWORD}'")
        yield found


def test_what_is_wrong_with_a_database_is_said(homes: Path, there: Somebodys) -> None:
    """Nobody there, another authority, a wrong password or encoding: before anything is started, with what to do."""
    stack = Stack(homes / "wrong", free_offset())
    stack.set({"database.url": there.url("wrong").replace(str(there.port), "9")})
    put(stack, "database-ca.pem", trustme.CA().cert_pem.bytes())
    refused(stack.cli("up", "--yes"), 1, "localhost:9", "database.url", "start that server")
    stack.set({"database.url": there.url("wrong", password="wrong")})
    refused(stack.cli("up", "--yes"), 1, f"localhost:{there.port}", "certificate verify failed")
    put(stack, "database-ca.pem", there.ca.read_bytes())
    refused(stack.cli("up", "--yes"), 1, "password authentication failed")
    stack.set({"database.url": there.url("wrong")})
    there.make("wrong", "LATIN1")
    refused(stack.cli("up", "--yes"), 1, "LATIN1", "Synapse needs UTF8, C, C")


def test_backup_and_restore_of_a_database_of_somebody_elses(homes: Path, there: Somebodys) -> None:
    """Over TLS, with a PostgreSQL older than ours: into an empty database that the environment names, or into our own;
    never over somebody's data, and no established server goes on with an empty one.
    """
    stack = Stack(homes / "first", free_offset())
    there.make("first")
    there.sql(TABLES, "first")
    stack.set({"database.url": there.url("first")})
    put(stack, "database-ca.pem", there.ca.read_bytes())
    saved = json.loads(fine(stack.cli("backup", "create", "--json")).stdout)
    archive = homes / "of-somebody.tar"
    archive.write_bytes(Path(saved["path"]).read_bytes())
    restore = ("restore", str(archive), "--no-start", "--trust-programs")
    there.make("second")
    second = Stack(homes / "second", free_offset(), {"SAMSESH_DATABASE_URL": there.url("second")})
    fine(second.cli(*restore))
    assert there.sql("SELECT name FROM users", "second") == [("@alice:localhost",)]
    assert there.sql("SELECT key_id FROM e2e_one_time_keys_json", "second") == [("new",)]
    third = Stack(homes / "third", free_offset())
    refused(third.cli(*restore), 1, "already has the data of a Matrix server", "name an empty one")
    assert third.home.empty and not third.home.settings_file.exists()
    there.make("empty")
    second.environ = {}
    second.set({"database.url": there.url("empty").replace("=database-ca", "=files/database-ca")})
    refused(second.cli("up", "--yes"), 1, "has none of the data of this server", "SAMSESH_DATABASE_URL")
    gone = fine(second.cli("destroy", "--confirm", "localhost"))
    assert "Not touched: the database empty at localhost" in gone.stdout
    own = Stack(homes / "own", free_offset(), {"SAMSESH_DATABASE_URL": ""})
    fine(own.cli(*restore))
    assert "postgresql://" not in own.home.settings_file.read_text() and own.home.started


def test_a_database_of_somebody_elses(new_home: Callable[[str], Stack], there: Somebodys) -> None:
    """`database.url` with sslmode verify-full: all runs but a PostgreSQL of ours, and a backup is taken from it. Rooms
    that all join are made on a started server, the admin API opens for this machine, little room on a disk is warned of.
    """
    stack = new_home("external")
    there.make("synapse")
    with on_a_small_disk(stack) as fill:
        stack.set(
            {"database.url": there.url("synapse"), "registration.auto_join_rooms": "#welcome:localhost"}
        )
        put(stack, "database-ca.pem", there.ca.read_bytes())
        stack.up()
        assert [service["name"] for service in stack.status()["services"]] == sorted(SERVICES - {"postgres"})
        asked = json.loads(
            fine(stack.cli("doctor", "--only", "database", "--only", "versions", "--json")).stdout
        )
        assert [check["status"] for check in asked["checks"]] == ["ok", "ok"]
        fine(stack.cli("user", "add", "alice", "--password-stdin", stdin="correct horse 1\n"))
        assert json.loads(fine(stack.cli("backup", "create", "--json")).stdout)["ok"]
        _rooms_that_all_join(stack, there, fill)
        _admin_api(stack)
        _nothing_told(stack)


def _rooms_that_all_join(stack: Stack, there: Somebodys, fill: Callable[[], None]) -> None:
    """A room that the setting names later is made, too, by an established server with little room on its disk; our own
    accounts are in none."""
    people = sorted(user for (user,) in there.sql(PEOPLE, "synapse"))
    assert people == ["@admin:localhost", "@alice:localhost"]
    stack.set(
        {"registration.auto_join_rooms": "#welcome:localhost,#news:localhost", "synapse.admin_api": "true"}
    )
    fine(stack.cli("down"))
    fill()
    done = stack.up()
    if ROOT:
        assert f"MB are free on the disk of {stack.path}: make room" in done.stderr
    fine(stack.cli("user", "add", "bert", "--password-stdin", stdin="correct horse 2\n"))
    fine(stack.cli("doctor", "--only", "database"))
    users = [user for (user,) in there.sql(PEOPLE, "synapse")]
    both = ("@admin:localhost", "@bert:localhost")  # alice came before there was the second one
    assert sorted(users) == sorted([*both, *both, "@alice:localhost"])


def _admin_api(stack: Stack) -> None:
    """`synapse.admin_api` is at its own port, for administrators, and nowhere else."""
    inner, outer = stack.url("admin_api"), stack.url("homeserver")
    login = {
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": "bert"},
        "password": "correct horse 2",
    }
    token = answer(f"{inner}/_matrix/client/v3/login", body=login)[1]["access_token"]
    version = "/_synapse/admin/v1/rooms"
    assert [answer(f"{inner}{version}", token=one)[0] for one in ("", token)] == [401, 403]
    fine(stack.cli("user", "admin", "bert", "--on"))
    status, found = answer(f"{inner}{version}", token=token)
    assert status == 200 and found["total_rooms"] == 2
    assert answer(f"{outer}{version}", token=token)[0] == 404
    assert answer(f"{inner}/", token=token)[0] == 404


def _nothing_told(stack: Stack) -> None:
    """The password is shown nowhere, and in no file but the one for libpq, which has it in a form of its own."""
    shown = fine(stack.cli("config", "show")).stdout
    assert QUOTED not in shown and PASSWORD not in shown
    find = ["grep", "-rlF", "-e", PASSWORD, "-e", QUOTED, str(stack.home.config_dir)]
    found = subprocess.run([*stack.prefix, *find], capture_output=True, text=True).stdout.split()
    assert not found
