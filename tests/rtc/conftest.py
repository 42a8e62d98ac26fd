"""The running service, and what it talks to."""

import json
import socket
import subprocess
from collections.abc import Iterator

import pytest
import trustme
from hypothesis import settings

from programs import free_port, livekit_server
from rtc.homeservers import Homeservers
from rtc.running import KEY, SECRET, Authority, Local, Rtc, Run, wait_for

settings.register_profile("repeat", deadline=None, derandomize=True, database=None)
settings.load_profile("repeat")


def livekit_binary() -> str:
    """The livekit-server to test with; skips the test where there is none."""
    return str(livekit_server())


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    found = Authority(tmp_path_factory.mktemp("ca"), trustme.CA())
    found.ca.cert_pem.write_to_path(found.bundle)
    return found


@pytest.fixture(scope="session")
def homeserver(authority: Authority) -> Iterator[Local]:
    stub = Homeservers(authority.issue("localhost"))
    port = stub.listen("127.0.0.1")
    yield Local(stub, f"localhost:{port}", f"https://localhost:{port}")
    stub.stop()


@pytest.fixture(scope="session")
def run(authority: Authority, homeserver: Local, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Starts services with these variables over the usual ones; None leaves one out. They end with the tests."""
    running: list[Rtc] = []

    def start(**variables: str | None) -> Rtc:
        usual: dict[str, str | None] = {
            "LIVEKIT_URL": "ws://127.0.0.1:9",
            "LIVEKIT_KEY": KEY,
            "LIVEKIT_SECRET": SECRET,
            "LIVEKIT_FULL_ACCESS_HOMESERVERS": "full.invalid",
            "LIVEKIT_JWT_BIND": f"127.0.0.1:{free_port()}",
            "LIVEKIT_LOG_LEVEL": "debug",
            "SAMSESH_RTC_ALLOW_PRIVATE": "127.0.0.0/8",
            "SSL_CERT_FILE": authority.bundle,
        }
        environ = {name: value for name, value in {**usual, **variables}.items() if value is not None}
        found = Rtc(environ, tmp_path_factory.mktemp("rtc") / "log")
        running.append(found.start())
        return found

    yield start
    for one in running:
        one.stop()


@pytest.fixture(scope="session")
def rtc(run: Run) -> Rtc:
    """A service that knows our homeserver as anyone's, without full access."""
    return run()


@pytest.fixture(scope="session")
def webhook_bind() -> str:
    """Where LiveKit sends its webhooks."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def livekit(tmp_path_factory: pytest.TempPathFactory, webhook_bind: str) -> Iterator[str]:
    """A LiveKit of these tests; its URL."""
    folder, port = tmp_path_factory.mktemp("livekit"), free_port()
    rtc = {"tcp_port": free_port(), "udp_port": free_port(), "use_external_ip": False, "node_ip": "127.0.0.1"}
    config = {
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "keys": {KEY: SECRET},
        "rtc": {**rtc, "enable_loopback_candidate": True},
        "room": {"auto_create": False},
        "webhook": {"api_key": KEY, "urls": [f"http://{webhook_bind}/sfu_webhook"]},
    }
    (folder / "livekit.yaml").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        command = [livekit_binary(), "--config", str(folder / "livekit.yaml")]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: answers(port) or process.poll() is not None, "LiveKit answers")
        assert process.poll() is None, (folder / "log").read_text()
        yield f"ws://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def answers(port: int) -> bool:
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0
