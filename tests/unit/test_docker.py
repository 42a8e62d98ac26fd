"""Bad days with Docker: what its own client says, as clear errors. A script says it here; no Docker is needed."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from samsesh.cli.notes import another_user
from samsesh.engines.compose import ComposeEngine
from samsesh.engines.compose.containers import CONTAINERS
from samsesh.engines.compose.docker import Docker, size
from samsesh.engines.compose.placement import version_of
from samsesh.engines.compose.see import health_of, seen
from samsesh.errors import SamseshError
from samsesh.facts import gather
from samsesh.home import Home
from samsesh.load import validate
from samsesh.model import Endpoint, Probe
from samsesh.ops.render import project_name

SERVER = '{"Client": {"Version": "28.2.2"}, "Server": {"Version": "%s", "Components": [{"Name": "%s"}]}}'


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH, for a `docker` of the test's."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def docker(says: Path, version: str, compose: str = "v2.29.1", stderr: str = "", code: int = 0) -> Docker:
    script = says / "docker"
    script.write_text(
        "#!/bin/sh\n"
        f'case "$1" in version) echo \'{version}\'; echo "{stderr}" >&2; exit {code};;\n'
        f'compose) [ -n "{compose}" ] || {{ echo "docker: unknown command: docker compose" >&2; exit 1; }}; '
        f"echo '{compose}';;\nesac\n"
    )
    script.chmod(0o755)
    return Docker("test", says)


def problem(found: Docker) -> SamseshError:
    with pytest.raises(SamseshError) as raised:
        found.check()
    assert raised.value.hint
    return raised.value


def test_no_docker(says: Path) -> None:
    """Where there is no Docker, it is said, with what to install and the way without it."""
    error = problem(Docker("test", says))
    assert "not installed" in error.message and "--engine native" in error.hint


def test_it_does_not_run(says: Path) -> None:
    """A daemon that is down is told from one that is closed to this user; its client's words are shown."""
    down = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
    error = problem(docker(says, '{"Client": {"Version": "28.2.2"}, "Server": null}', stderr=down, code=1))
    assert "not running" in error.message and error.detail == down
    closed = "permission denied while trying to connect to the Docker daemon socket"
    error = problem(docker(says, '{"Client": {"Version": "28.2.2"}, "Server": null}', stderr=closed, code=1))
    assert "may not use Docker" in error.message and "group docker" in error.hint


def test_too_old(says: Path) -> None:
    """Docker before 20.10 and Compose before 2.20 are named with their version; those from then on are taken."""
    assert "19.03.15 is too old" in problem(docker(says, SERVER % ("19.03.15", "Engine"))).message
    assert "2.17.3 is too old" in problem(docker(says, SERVER % ("20.10.24", "Engine"), "2.17.3")).message
    docker(says, SERVER % ("20.10.24+dfsg1", "Engine"), "2.20.0").check()
    docker(says, SERVER % ("28.2.2", "Engine"), "v5.2.0").check()
    docker(says, SERVER % ("4.9.3", "Podman Engine"), "v2.29.1").check()


def test_no_compose(says: Path) -> None:
    """Without the Compose plugin it is said what to install, and that version 1 is another program."""
    found = docker(says, SERVER % ("28.2.2", "Engine"), compose="")
    assert "no Compose plugin" in problem(found).message
    (says / "docker-compose").write_text("#!/bin/sh\n")
    (says / "docker-compose").chmod(0o755)
    assert "version 1" in problem(found).message


def test_states() -> None:
    """What Docker says of a container is told in our words, with the reason."""
    up = {"Status": "running", "Running": True, "Pid": 7, "StartedAt": "2026-01-31T12:00:00.123456789Z"}
    log = {"Status": "unhealthy", "Log": [{"Output": "curl: (7) no\nanswer "}]}
    assert seen({"State": {**up, "Health": {"Status": "healthy", "Log": []}}}).state == "running"
    assert seen({"State": {**up, "Health": {"Status": "starting", "Log": []}}}).state == "starting"
    failing = seen({"State": {**up, "Health": log}})
    assert (failing.state, failing.reason) == ("failing", "curl: (7) no answer")
    ended = {"Status": "exited", "ExitCode": 137, "OOMKilled": True, "Error": ""}
    assert seen({"State": ended}).state == "stopped" and "more memory" in health_of({"State": ended})
    assert seen({"State": {"Status": "restarting", "ExitCode": 1}}).state == "failing"


def test_words_of_docker() -> None:
    """Sizes as `docker stats` writes them, versions as images are tagged, names as Compose takes them."""
    assert [size(text) for text in ("45.5MiB ", "1.2GiB", "512B", "12kB", "--")] == [
        *(47_710_208, 1_288_490_188, 512, 12_000, 0),
    ]
    assert version_of("ghcr.io/element-hq/synapse:v1.163.2") == "1.163.2"
    for silent in ("registry:5000/coturn@sha256:abc", "coturn/coturn:latest", "coturn/coturn"):
        assert version_of(silent, "coturn/coturn:4.18.0-r0") == "4.18.0-r0"
    assert project_name("chat.example.org:8448") == "samsesh-chat-example-org-8448"
    assert project_name("[2001:db8::7]") == "samsesh-2001-db8-7"
    home = Home(Path("/srv/chat"))
    assert home.copy_of("tls.certificate", "a/key.pem") != home.copy_of("tls.certificate", "b/key.pem")


def test_a_colon_in_the_name_of_a_file_is_none_in_a_mount() -> None:
    """`chat:2026.pem`: Compose would read what follows as another path, and refuse the whole server."""
    assert ":" not in str(Home(Path("/srv/chat")).copy_of("tls.certificate", "tls/chat:2026.pem"))


@pytest.mark.parametrize(("answer", "well"), [(b"200 OK", True), (b"503 Not yet", False)])
def test_health_at_a_socket(tmp_path: Path, answer: bytes, well: bool) -> None:
    """What answers on a unix socket is asked there: the agent, without which coturn does not start."""
    path = tmp_path / "agent.sock"
    command = CONTAINERS["samsesh"].health(Probe("http", Endpoint(socket=path), "/ready"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        with subprocess.Popen([sys.executable, *command[1:]]) as asking:
            link, _ = listening.accept()
            with link:
                assert link.recv(99).startswith(b"GET /ready HTTP/1.0\r\n")
                link.sendall(b"HTTP/1.0 " + answer + b"\r\n\r\n")
            assert (asking.wait(10) == 0) is well


def test_a_home_of_odd_variables(tmp_path: Path) -> None:
    """Compose reads nothing of the home's .env: what it cannot make out there would keep `down` from working."""
    words = Docker("test", tmp_path).compose("down")
    assert words[words.index("--env-file") + 1] == "/dev/null"


def test_a_long_path(says: Path) -> None:
    """Sockets of containers are in the home: a folder in /tmp would be gone, or somebody else's, after a reboot."""
    docker(says, SERVER % ("28.2.2", "Engine"))
    ComposeEngine(Home(Path("/srv/short")), gather()).usable()
    with pytest.raises(SamseshError) as raised:
        ComposeEngine(Home(Path("/srv") / ("long" * 20)), gather()).usable()
    assert "too long" in raised.value.message and "--home" in raised.value.hint


def test_another_user_without_root_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`server.uid` that cannot be followed is one sentence; one that nobody set, or one's own, is nothing to tell."""
    settings = validate({"server": {"uid": 4321}}, Home(tmp_path))
    assert "server.uid (UID), 4321, is followed where root runs" in another_user(settings, 1000)
    with monkeypatch.context() as patched:
        patched.setenv("SAMSESH_CALLER", "root")
        patched.setattr(os, "geteuid", lambda: 1000)
        assert "root has not confirmed server.uid, 4321" in another_user(settings, 1000)
    assert another_user(settings, 4321) == another_user(validate({}, Home(tmp_path)), 1000) == ""
