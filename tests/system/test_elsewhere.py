"""What a server needs in other places than its home: a PostgreSQL of somebody else's, logs on a disk that fills up."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import SERVICES, Stack, free_offset, give_to_service_user
from samsesh.facts import gather
from samsesh.home import SERVICE_USER
from system.trouble import ROOT, fine, needs_root, own_mount, refused, wait_for

pytestmark = [pytest.mark.native, pytest.mark.slow]
AS_OWNER = ("setpriv", f"--reuid={SERVICE_USER}", f"--regid={SERVICE_USER}", "--clear-groups") if ROOT else ()
PASSWORD = "p:a/s?s#1"
QUOTED = "p%3Aa%2Fs%3Fs%231"


@contextmanager
def postgres(folder: Path, port: int) -> Iterator[Callable[[str], None]]:
    """A PostgreSQL at 127.0.0.1:port with password log-ins; gives what runs SQL in it."""
    folder.mkdir()
    give_to_service_user(folder)
    programs = gather().programs
    word = folder / "word"
    word.write_text(PASSWORD)
    give_to_service_user(folder)
    data = folder / "data"
    made = ("--username=owner", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", f"--pwfile={word}")
    subprocess.run(
        [*AS_OWNER, programs["initdb"], "-D", str(data), *made],
        check=True,
        capture_output=True,
        cwd="/",
        timeout=60,
    )
    place = ("-c", f"port={port}", "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*AS_OWNER, programs["postgres"], "-D", str(data), *place], stdout=log, stderr=log
        )

    def sql(statement: str) -> None:
        import psycopg2

        link = psycopg2.connect(
            host="127.0.0.1", port=port, user="owner", password=PASSWORD, dbname="postgres"
        )
        try:
            link.autocommit = True
            link.cursor().execute(statement)
        finally:
            link.close()

    def answers() -> bool:
        import psycopg2

        assert server.poll() is None, (folder / "log").read_text()
        try:
            sql("SELECT 1")
        except psycopg2.OperationalError:
            return False
        return True

    try:
        wait_for(answers, 30)
        yield sql
    finally:
        server.send_signal(signal.SIGINT)  # TERM would wait for clients that a failed test left
        server.wait(30)


def test_a_database_of_somebody_elses(new_home: Callable[[str], Stack], homes: Path) -> None:
    """`database.url`: no PostgreSQL of ours runs; a wrong password, locale or address is told before anything starts."""
    port = free_offset() + 60
    stack = new_home("external")
    url = f"postgresql://synapse:{QUOTED}@127.0.0.1:{port}/synapse"
    fine(stack.cli("config", "set", "database.url", url))
    refused(stack.cli("up", "--yes"), 1, f"127.0.0.1:{port}", "database.url", "start that server")
    with postgres(homes / "somebody", port) as sql:
        refused(stack.cli("up", "--yes"), 1, "password authentication failed")
        sql(f"CREATE ROLE synapse LOGIN PASSWORD '{PASSWORD}'")
        sql(
            "CREATE DATABASE synapse OWNER synapse TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        refused(stack.cli("up", "--yes"), 1, "LATIN1", "Synapse needs UTF8, C, C")
        sql("DROP DATABASE synapse")
        sql(
            "CREATE DATABASE synapse OWNER synapse TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
        stack.up()
        assert [service["name"] for service in stack.status()["services"]] == sorted(SERVICES - {"postgres"})
        asked = json.loads(
            fine(stack.cli("doctor", "--only", "database", "--only", "versions", "--json")).stdout
        )
        assert [check["status"] for check in asked["checks"]] == ["ok", "ok"]
        fine(stack.cli("user", "add", "alice", "--password-stdin", stdin="correct horse 1\n"))
        saved = json.loads(fine(stack.cli("backup", "create", "--json")).stdout)
        assert saved["ok"]
        shown = fine(stack.cli("config", "show")).stdout
        assert QUOTED not in shown and PASSWORD not in shown
        for path in stack.home.config_dir.rglob("*"):
            if path.is_file() and path.name != "pgpass":
                content = path.read_bytes()
                assert PASSWORD.encode() not in content and QUOTED.encode() not in content
        fine(stack.cli("down"))


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
