"""What `up` says when it is done."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from samsesh import secrets, stranger
from samsesh.cli import notes
from samsesh.cli.ending import print_report, verdict
from samsesh.cli.reports import print_status
from samsesh.engine import Change
from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.ops.deploy import Report
from samsesh.ops.server import Server, open_server


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Server:
    """One that is planned from settings, in TOML."""
    home = Home(tmp_path / "home")
    home.prepare()
    home.settings_file.write_text(request.param)
    return open_server(home, {})


DOMAIN = '[server]\nname = "example.org"\naccess = "domain"\n'
CHANGED = [Change("gateway", "start")]
RUNS = "SamSesh Chat runs, but has no certificate"
WITHOUT = "without Element Web and calls: element-web is not there yet; livekit-server is not there yet"


@pytest.mark.parametrize("server", [DOMAIN + "[turn]\nenabled = false\n"], indirect=True)
def test_without_a_certificate_it_is_not_ready(server: Server) -> None:
    """Where no certificate could be had, nobody is told that people can come, or that it renews itself."""
    every = server.access.names()
    assert verdict(Report(server, CHANGED)) == f"SamSesh Chat is ready, {WITHOUT}."
    assert any("renewed by themselves" in note for note in notes.after_up(server))
    told = verdict(Report(server, CHANGED, uncertified=every))
    assert told == f"{RUNS} yet: nobody reaches it by https. It runs {WITHOUT}."
    some = verdict(Report(server, CHANGED, uncertified=every[:1]))
    assert some == f"{RUNS} for {every[0]} yet: nobody reaches it by https there. It runs {WITHOUT}."
    assert not any("renewed by themselves" in note for note in notes.after_up(server, every))


@pytest.mark.parametrize(
    "server", ['[web]\nclient = "none"\n[calls]\nprovider = "off"\n[turn]\nenabled = false\n'], indirect=True
)
def test_the_verdict_names_what_is_missing(server: Server) -> None:
    """What is off because nobody wants it is not missing; a relay that failed is, and so is a log-in."""
    assert verdict(Report(server, CHANGED)) == "SamSesh Chat is ready."
    assert verdict(Report(server, [])) == "Nothing to do: SamSesh Chat runs as the settings say."
    failed = Report(server, CHANGED, lacking=("relay (coturn)",))
    assert verdict(failed) == "SamSesh Chat is ready, without the relay (coturn)."
    closed = Report(server, CHANGED, unproven=SamseshError("a client could not log in"))
    assert verdict(closed) == "SamSesh Chat runs, but see above: people may not be able to log in."


@pytest.mark.parametrize("server", ['[server]\nname = "localhost"\n'], indirect=True)
@pytest.mark.parametrize("error", ["", "no client could log in"])
@pytest.mark.parametrize("changes", [CHANGED, []], ids=["started", "nothing-to-do"])
def test_up_ends_with_addresses_and_password(
    server: Server, capfd: pytest.CaptureFixture[str], error: str, changes: list[Change]
) -> None:
    """Whatever failed before, and also if there is nothing to do: a start that was killed told nobody. What was printed
    is kept no longer.
    """
    secrets.keep(server.home, secrets.UNSHOWN, "a-password")
    report = Report(server, changes, first_admin=("@admin:localhost", "a-password"))
    if error:
        report.failed = (report.unproven,) = (SamseshError(error),)
    print_report(report)
    out, err = capfd.readouterr()
    *_, web, homeserver, admin, _, name, password = out.splitlines()
    assert "http://localhost:8080" in web and "http://localhost:8008" in homeserver
    assert "http://localhost:8081" in admin
    assert name == "Administrator: @admin:localhost" and password.split()[:2] == ["Password:", "a-password"]
    assert error in err and bool(error) == ("samsesh: " in err)
    assert secrets.read(server.home, secrets.UNSHOWN) is None


@pytest.mark.parametrize("server", ['[server]\nname = "localhost"\n'], indirect=True)
@pytest.mark.parametrize("target", ["/dev/null", "/dev/full"])
def test_a_password_that_nobody_read_is_kept(
    server: Server, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """cron's start goes to /dev/null, and what cannot be written was not shown: the next `up` prints it."""
    secrets.keep(server.home, secrets.UNSHOWN, "a-password")
    report = Report(server, CHANGED, first_admin=("@admin:localhost", "a-password"))
    with Path(target).open("w") as out:
        monkeypatch.setattr(sys, "stdout", out)
        try:
            print_report(report)
        except OSError:
            assert target == "/dev/full"
        monkeypatch.undo()
        with suppress(OSError):
            out.close()
    assert secrets.read(server.home, secrets.UNSHOWN) == "a-password"


@pytest.mark.parametrize("server", ['[server]\nname = "localhost"\n'], indirect=True)
def test_no_log_of_a_service_has_the_password(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    """A server in the foreground writes to a journal that is kept: it says who prints the password."""
    secrets.keep(server.home, secrets.UNSHOWN, "a-password")
    report = Report(server, CHANGED, first_admin=("@admin:localhost", "a-password"))
    with subprocess.Popen(["true"]) as manager:
        report.manager = manager
        print_report(report)
    assert "a-password" not in "".join(capfd.readouterr())
    assert secrets.read(server.home, secrets.UNSHOWN) == "a-password"


def test_status_shows_where_people_come_in(capsys: pytest.CaptureFixture[str]) -> None:
    """Behind the verdict the addresses that people open, and what is not there with what to do."""
    found = {
        "ok": True,
        "verdict": "All 4 services are running, without the relay: coturn could not be got.",
        "addresses": {
            "web": "https://192.0.2.1:8080",
            "call": "https://192.0.2.1:8082",
            "turn": "turn:192.0.2.1",
        },
        "services": [],
        "off": [{"name": "turn", "reason": "coturn could not be got", "advice": "get it: samsesh up"}],
        "notes": ["The SHA-256 fingerprint of its root, to compare: AB:CD"],
    }
    print_status(found)
    verdict, web, call, _, off, note = capsys.readouterr().out.splitlines()
    assert verdict == found["verdict"] and web.endswith("192.0.2.1:8080") and call.endswith("192.0.2.1:8082")
    assert off == "turn is off; get it: samsesh up" and note.endswith("AB:CD")


@pytest.mark.parametrize("server", [DOMAIN + '[tls]\nmode = "internal"\n'], indirect=True)
def test_an_authority_of_its_own_is_told(server: Server) -> None:
    """Also under a domain people learn where they take the root in, and by what they know it."""
    ca = trustme.CA()
    folder = server.home.path / "data/gateway/pki/authorities/local"
    folder.mkdir(parents=True)
    ca.cert_pem.write_to_path(str(folder / "root.crt"))
    told = "\n".join(notes.after_up(server))
    assert "https://chat.example.org/trust" in told
    fingerprint = stranger.root_fingerprint(server)
    assert len(fingerprint) == 95 and fingerprint in told


def test_where_home_belongs(tmp_path: Path) -> None:
    """Behind the command it is refused, and it is said where it stands."""
    command = [sys.executable, "-m", "samsesh", "status", "--home", "/nowhere"]
    environ = {**os.environ, "SAMSESH_HOME": str(tmp_path), "SAMSESH_COMMAND": "./samsesh"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "./samsesh --home DIR status" in done.stderr
