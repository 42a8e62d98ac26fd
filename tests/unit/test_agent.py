"""The agent: which certificate is in force, what is done when it is another, and what is refused."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme
from cryptography import x509

from samsesh import pairs
from samsesh.agent import daily, jobs, serve, stand_in
from samsesh.agent.jobs import Job
from samsesh.errors import SettingsError
from samsesh.pairs import Pair
from samsesh.write import write_file

CA = trustme.CA()
HOST = "chat.example.org"


def place(pair: Pair, host: str = HOST, *, key_of: trustme.LeafCert | None = None) -> trustme.LeafCert:
    """A new certificate in these files."""
    issued = CA.issue_cert(host)
    pair.certificate.parent.mkdir(parents=True, exist_ok=True)
    pair.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    pair.key.write_bytes((key_of or issued).private_key_pem.bytes())
    return issued


def stored(storage: Path, issuer: str, host: str = HOST) -> Pair:
    """Files where Caddy puts them."""
    name = pairs.safe(host)
    folder = storage / "certificates" / issuer / name
    return Pair(folder / f"{name}.crt", folder / f"{name}.key")


@pytest.mark.parametrize(
    ("host", "folder"),
    [
        ("Chat.Example.org", "chat.example.org"),
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8::1", "2001-db8--1"),
        ("*.example.org", "wildcard_.example.org"),
    ],
)
def test_folders_are_named_as_caddy_names_them(host: str, folder: str) -> None:
    """certmagic's KeyBuilder.Safe, for names and for addresses."""
    assert pairs.safe(host) == folder


def test_the_newest_of_all_authorities_counts(tmp_path: Path) -> None:
    """Whoever signed last; but the gateway's own authority and strangers are two things."""
    for moment, issuer in enumerate(
        ("acme-v02.api.letsencrypt.org-directory", "127.0.0.1-14000-dir", "local")
    ):
        pair = stored(tmp_path, issuer)
        place(pair)
        os.utime(pair.certificate, (moment, moment))
    assert pairs.newest(tmp_path, HOST, own=False) == stored(tmp_path, "127.0.0.1-14000-dir")
    assert pairs.newest(tmp_path, HOST, own=True) == stored(tmp_path, "local")
    assert pairs.newest(tmp_path, "other.example.org", own=False) is None
    assert pairs.newest(tmp_path / "nowhere", HOST, own=False) is None


@pytest.mark.parametrize("end", [datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC), datetime(2061, 1, 2, tzinfo=UTC)])
def test_the_end_of_a_certificate(tmp_path: Path, end: datetime) -> None:
    """Read without a library, as the library reads it, in both of its forms; 0 for what is none."""
    pair = Pair(tmp_path / "c.pem", tmp_path / "k.pem")
    issued = CA.issue_cert(HOST, not_after=end)
    pair.certificate.write_bytes(issued.cert_chain_pems[0].bytes())
    assert pair.until() == end.timestamp()
    pair.certificate.write_text("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    assert pair.until() == 0


def test_what_cannot_be_used_is_said(tmp_path: Path) -> None:
    """A key of another certificate, no certificate at all, a file that is not there."""
    pair = Pair(tmp_path / "c.pem", tmp_path / "k.pem")
    place(pair, key_of=CA.issue_cert(HOST))
    assert "is not the key of" in pair.problem()
    place(pair)
    assert pair.problem() == ""
    pair.certificate.write_text("no certificate")
    assert "cannot be read" in pair.problem()
    place(pair)
    pair.key.unlink()
    assert "No such file" in pair.problem()


def test_a_certificate_is_handed_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before there is one, one that nobody signed; then the real one, whole and private; a half-written one never."""
    pair, copy = stored(tmp_path, "somebody"), tmp_path / "coturn/turns.pem"
    job = Job("coturn", HOST, storage=tmp_path, copy=copy)
    job.look()
    first = x509.load_pem_x509_certificate(copy.read_bytes())
    names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [HOST]
    assert b"PRIVATE KEY" in copy.read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o600
    issued = place(pair)
    job.look()  # it may still be being written
    job.look()
    whole = copy.read_bytes()
    assert whole.startswith(pair.certificate.read_bytes().rstrip())
    assert whole.endswith(pair.key.read_bytes())
    assert copy.stat().st_mode & 0o777 == 0o600
    place(pair, key_of=issued)
    for _ in range(3):
        job.look()
    assert copy.read_bytes() == whole
    assert "is not the key of" in job.state()["problem"]
    place(pair)
    job.look()
    job.look()
    assert copy.read_bytes() != whole
    assert job.state()["problem"] == ""
    assert job.state()["until"] == pair.until()
    assert capsys.readouterr().err.count("is not the key of") == 1


def test_the_gateway_loads_what_changed_while_the_agent_was_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate renewed meanwhile is in the copy at the first look, and in the gateway; the same one is not loaded
    again. Where the files are gone, the copy stays as it is.
    """
    pair, copy = Pair(tmp_path / "chain.pem", tmp_path / "key.pem"), tmp_path / "copy.pem"
    place(pair)
    write_file(copy, pair.content())
    loaded: list[Path] = []

    def load_anew(admin: Path) -> str:
        loaded.append(admin)
        return ""

    monkeypatch.setattr(jobs, "_load_anew", load_anew)

    def started() -> Job:
        return Job(
            "gateway",
            HOST,
            certificate=pair.certificate,
            key=pair.key,
            copy=copy,
            admin=tmp_path / "caddy.sock",
        )

    for renewed in (False, True):
        if renewed:
            place(pair)
        started().look()
        assert copy.read_bytes() == pair.content() and len(loaded) == renewed
    pair.key.unlink()
    before = copy.read_bytes()
    job = started()
    job.look()
    assert copy.read_bytes() == before and "key.pem" in job.problem and len(loaded) == 1


@contextmanager
def program(name: str, pidfile: Path, age: float) -> Iterator["subprocess.Popen[bytes]"]:
    """A process whose command line begins with `name`, and which ends at any signal."""
    with subprocess.Popen([name, "-c", "import time; time.sleep(60)"], executable=sys.executable) as running:
        while not Path(f"/proc/{running.pid}/cmdline").read_bytes():  # in the middle of exec
            time.sleep(0.01)
        pidfile.write_text(str(running.pid))
        started = time.time() - age
        os.utime(pidfile, (started, started))
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize(
    ("name", "age", "told"), [("turnserver", 60, True), ("turnserver", 0, False), ("postgres", 60, False)]
)
def test_only_a_coturn_that_is_up_is_signalled(tmp_path: Path, name: str, age: float, told: bool) -> None:
    """Another program that got its number never, and none that is too young to take a signal."""
    pair, pidfile = Pair(tmp_path / "c.pem", tmp_path / "k.pem"), tmp_path / "turnserver.pid"
    place(pair)
    with program(name, pidfile, age) as running:
        job = Job("coturn", HOST, certificate=pair.certificate, key=pair.key, pidfile=pidfile)
        job.look()
        if told:
            assert running.wait(10) == -signal.SIGUSR2
        else:
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(0.5)


def test_a_coturn_that_has_read_it_is_left_alone(tmp_path: Path) -> None:
    """One that was started behind the last change knows it."""
    pair, pidfile = Pair(tmp_path / "c.pem", tmp_path / "k.pem"), tmp_path / "turnserver.pid"
    place(pair)
    for path in (pair.certificate, pair.key):
        os.utime(path, (time.time() - 600,) * 2)
    with program("turnserver", pidfile, 60) as running:
        Job("coturn", HOST, certificate=pair.certificate, key=pair.key, pidfile=pidfile).look()
        with pytest.raises(subprocess.TimeoutExpired):
            running.wait(0.5)


def test_it_answers_and_ends_at_once(tmp_path: Path) -> None:
    """As the engine starts it: ready once it has looked, its state for the doctor, and gone on TERM."""
    place(pair := stored(tmp_path, "local"))
    where, config = tmp_path / "agent.sock", tmp_path / "agent.json"
    job = {
        "name": "coturn",
        "host": HOST,
        "storage": str(tmp_path),
        "own": True,
        "copy": str(tmp_path / "t.pem"),
    }
    task = {"name": "a task", "command": ["/nonexistent"], "stamp": str(tmp_path / "stamp")}
    config.write_text(json.dumps({"socket": str(where), "jobs": [job], "daily": [task]}))
    command = [sys.executable, "-m", "samsesh", "agent", "--config", str(config)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as agent:
        try:
            end = time.monotonic() + 20
            while not where.exists():
                assert agent.poll() is None and time.monotonic() < end
                time.sleep(0.02)
            assert asked(where, "/ready")[0] == 200
            assert asked(where, "/nothing")[0] == 404
            (state,) = json.loads(asked(where, "/state")[1])
            assert (state["host"], state["until"], state["problem"]) == (HOST, pair.until(), "")
            began = time.monotonic()
        finally:
            agent.terminate()
        agent.wait(5)
        assert time.monotonic() - began < 1
        assert agent.stderr
        assert "the certificate of chat.example.org for coturn counts until" in agent.stderr.read()


def asked(where: Path, path: str) -> tuple[int, str]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(5)
        link.connect(str(where))
        link.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        told = b"".join(iter(lambda: link.recv(4096), b"")).decode()
    head, _, body = told.partition("\r\n\r\n")
    return int(head.split()[1]), body


def test_a_broken_configuration_is_told(tmp_path: Path) -> None:
    """Its path, and what to do."""
    config = tmp_path / "agent.json"
    for text in ("", "{}", '{"socket": "/x", "jobs": [{"nonsense": 1}]}'):
        config.write_text(text)
        with pytest.raises(SettingsError, match=r"agent\.json"):
            serve.read(config)


def test_a_daily_task_is_started_when_it_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A day after it succeeded last, never twice at once; one that fails is said, and tried again after an hour."""
    stamp, ran, script = tmp_path / "stamp", tmp_path / "ran", tmp_path / "task"
    script.write_text(f"#!/bin/sh\necho >>{ran}\n[ -e {tmp_path}/good ] && touch {stamp}\n")
    script.chmod(0o755)
    monkeypatch.setattr(daily, "LOG", tmp_path / "log")
    now = time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: now, time=time.time)
    monkeypatch.setattr(daily, "time", clock)
    task = daily.Daily("a task", [str(script)], stamp)

    def looks() -> int:
        task.look()
        if task._process:
            task._process.wait(30)
        task.look()
        return ran.read_text().count("\n") if ran.exists() else 0

    assert looks() == 0  # others start, too
    now += daily.FIRST
    assert looks() == 1
    assert "a task failed" in capsys.readouterr().err
    (tmp_path / "good").touch()
    assert looks() == 1
    now += daily.HOUR
    assert looks() == 2
    now += daily.HOUR
    assert looks() == 2
    os.utime(stamp, (time.time() - daily.DAY,) * 2)
    assert looks() == 3


def test_one_job_keeps_no_other_waiting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A full disk for one is said, and the other is done."""
    place(stored(tmp_path, "local"))
    bad = Job("coturn", HOST, storage=tmp_path, own=True, copy=Path("/proc/nowhere/turns.pem"))
    good = Job("other", HOST, storage=tmp_path, own=True, copy=tmp_path / "turns.pem")
    jobs.look([bad, good])
    assert (tmp_path / "turns.pem").exists()
    assert "/proc/nowhere" in bad.state()["problem"]
    assert "\tERROR\t" in capsys.readouterr().err


def test_addresses_get_a_stand_in_too() -> None:
    """What is an address is written as one."""
    certificate = x509.load_pem_x509_certificate(stand_in.made("2001:db8::1"))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert str(names.get_values_for_type(x509.IPAddress)[0]) == "2001:db8::1"
