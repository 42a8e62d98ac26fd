"""What `up` says when it is done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

from samsesh import stranger
from samsesh.cli import notes
from samsesh.cli.up import verdict
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


@pytest.mark.parametrize("server", [DOMAIN], indirect=True)
def test_without_a_certificate_it_is_not_ready(server: Server) -> None:
    """Where no certificate could be had, nobody is told that people can come, or that it renews itself."""
    every = server.access.names()
    assert verdict(Report(server, [])) == "SamSesh Chat is ready."
    assert any("renewed by themselves" in note for note in notes.after_up(server))
    told = verdict(Report(server, [], uncertified=every))
    assert told == "SamSesh Chat runs, but has no certificate yet: nobody reaches it by https."
    some = verdict(Report(server, [], uncertified=every[:1]))
    assert f"has no certificate for {every[0]} yet: nobody reaches it by https there." in some
    assert not any("renewed by themselves" in note for note in notes.after_up(server, every))


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
