"""Bad input and bad days: floods, slow and huge bodies, servers that are down, wrong settings, the end of the service."""

import http.client
import json
import signal
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from programs import free_port
from rtc.homeservers import USERINFO, Homeservers
from rtc.running import KEY, SECRET, Authority, Local, Rtc, Run, clean_environ, current, wait_for

UNAUTHORIZED = {"errcode": "M_UNAUTHORIZED", "error": "The request could not be authorised."}
NOT_JSON = {"errcode": "M_NOT_JSON", "error": "Error reading request"}
HEAD = "POST /get_token HTTP/1.1\r\nHost: localhost\r\n"


def raw(rtc: Rtc, *parts: bytes) -> bytes:
    """What comes back on one connection until the service closes it."""
    host, _, port = rtc.environ["LIVEKIT_JWT_BIND"].partition(":")
    with socket.create_connection((host, int(port)), 40) as link:
        for part in parts:
            link.sendall(part)
        found = b""
        while data := link.recv(65_536):
            found += data
        return found


def test_too_large(rtc: Rtc) -> None:
    """A huge body is refused by its announced length, unread; or as soon as it is too long. The connection ends."""
    announced = raw(rtc, f"{HEAD}Content-Length: 10000000000\r\n\r\n".encode())
    chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
    chunked = raw(rtc, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode(), chunk * 5)
    for answer in (announced, chunked):
        assert answer.startswith(b"HTTP/1.1 400") and json.loads(answer.partition(b"\r\n\r\n")[2]) == NOT_JSON
        assert b"access-control-allow-origin: *" in answer


@pytest.mark.parametrize("start", ["GET /", "GET / HTTP/1.1\r\nX-", "GET / HTTP/1.1\r\nX: "])
def test_endless_head(rtc: Rtc, start: str) -> None:
    """A request line or header without end is not kept in memory: the connection ends."""
    with suppress(ConnectionError):
        assert raw(rtc, start.encode(), *[b"x" * 65_536] * 40) == b""


def test_a_connection_serves_many(rtc: Rtc) -> None:
    """Heads of requests on one connection do not add up."""
    link = rtc.connect()
    for _ in range(20):
        link.request("GET", "/healthz", headers={"X": "x" * 60_000})
        assert link.getresponse().read() == b""
    link.close()


@pytest.mark.slow
@pytest.mark.parametrize("head", [b"", b"POST /get_token HTTP/1.1\r\n"])
def test_slow_head(rtc: Rtc, head: bytes) -> None:
    """A connection on which no request comes is closed after ten seconds."""
    began = time.monotonic()
    with suppress(ConnectionError):
        assert raw(rtc, head) == b""
    assert 9 < time.monotonic() - began < 15


@pytest.mark.slow
def test_too_slow(rtc: Rtc) -> None:
    """A body that does not come is given up after ten seconds, as bad JSON."""
    began = time.monotonic()
    answer = raw(rtc, f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == NOT_JSON and 9 < time.monotonic() - began < 15


def test_hung_up(rtc: Rtc) -> None:
    """A client that goes away in the middle leaves no trace of a defect."""
    host, _, port = rtc.environ["LIVEKIT_JWT_BIND"].partition(":")
    for _ in range(20):
        with socket.create_connection((host, int(port))) as link:
            link.sendall(f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
    assert rtc.ask("GET", "/healthz").status == 200
    assert "defect" not in rtc.logged() and '"library"' not in rtc.logged()


@pytest.mark.parametrize("end", ["closed", "reset", "no HTTP"])
def test_pipelined_and_broken(run: Run, end: str) -> None:
    """Several requests at once on a connection that then breaks are no error: nobody is there to be answered."""
    rtc = run()
    host, _, port = rtc.environ["LIVEKIT_JWT_BIND"].partition(":")
    with socket.create_server(("127.0.0.1", 0)) as slow:
        body = json.dumps(current(f"127.0.0.1:{slow.getsockname()[1]}")).encode()
        request = f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body
        with socket.create_connection((host, int(port))) as link:
            link.sendall(request * 3 + (b"\0no HTTP\r\n\r\n" if end == "no HTTP" else b""))
            slow.accept()[0].close()  # the first is under way
            if end == "reset":
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_for(lambda: '"refused"' in rtc.logged(), "the request under way ends")
    assert rtc.stop() == 0
    assert '"library"' not in rtc.logged() and '"error"' not in rtc.logged().replace('"error":', "")


def test_upgrade_is_no_news(run: Run) -> None:
    """A request for another protocol is answered as any other, without advice about libraries in the log."""
    rtc = run()
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "x"}
    assert rtc.ask("GET", "/healthz", headers=headers).status == 200
    assert rtc.post("/get_token", {}, headers).status == 400
    raw(rtc, b"\0no HTTP\r\n\r\n")
    assert rtc.stop() == 0 and '"library"' not in rtc.logged()


def test_homeserver_down(rtc: Rtc, homeserver: Local) -> None:
    """A homeserver that is not there is an unauthorised request; it counts again as soon as it is back."""
    stub = Homeservers(None)
    port = free_port()
    assert rtc.post("/get_token", current(f"localhost:{port}")).json == UNAUTHORIZED
    stub.stop()
    assert rtc.post("/get_token", current(homeserver.name)).status == 200


def test_plain_http_is_no_homeserver(rtc: Rtc) -> None:
    """Without TLS nobody is believed."""
    stub = Homeservers(None)
    port = stub.listen("127.0.0.1")
    assert rtc.post("/get_token", current(f"localhost:{port}")).json == UNAUTHORIZED
    stub.stop()
    assert stub.hits == []


def test_unknown_authority_and_wrong_name(rtc: Rtc, authority: Authority) -> None:
    """Certificates are checked: by whom they are, and for whom."""
    stub = Homeservers(authority.issue("elsewhere.example"))
    port = stub.listen("127.0.0.1")
    assert rtc.post("/get_token", current(f"localhost:{port}")).json == UNAUTHORIZED
    stub.stop()
    assert stub.hits == []


@pytest.mark.slow
def test_slow_homeserver(rtc: Rtc, homeserver: Local) -> None:
    """A homeserver that does not answer is given up after 30 seconds, and holds up nobody else meanwhile."""
    host, _, port = rtc.environ["LIVEKIT_JWT_BIND"].partition(":")
    body = json.dumps(current(homeserver.name, token="slow")).encode()
    began = time.monotonic()
    with socket.create_connection((host, int(port)), 60) as link:
        link.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert rtc.post("/get_token", current(homeserver.name)).status == 200
        assert time.monotonic() - began < 5
        assert link.recv(65_536).startswith(b"HTTP/1.1 401")
    assert 28 < time.monotonic() - began < 35


@pytest.mark.slow
def test_slow_livekit(run: Run, homeserver: Local) -> None:
    """A LiveKit that does not answer is an error after ten seconds."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        rtc = run(LIVEKIT_FULL_ACCESS_HOMESERVERS=homeserver.name, LIVEKIT_URL=f"ws://127.0.0.1:{port}")
        answer = rtc.post("/get_token", current(homeserver.name))
    assert (answer.status, answer.json["error"]) == (500, "Unable to create room on SFU")


def test_own_homeserver(run: Run, authority: Authority, tmp_path: Path) -> None:
    """Our homeserver is asked where it is, over its socket or plain http, and believed for its own name alone."""
    stub = Homeservers(None)
    stub.listen(str(tmp_path / "hs.sock"))
    port = stub.listen("127.0.0.1")
    for url, forwarded in ((f"unix:{tmp_path}/hs.sock", "127.0.0.1"), (f"http://127.0.0.1:{port}", None)):
        rtc = run(
            SAMSESH_RTC_HOMESERVER="ours.example",
            SAMSESH_RTC_HOMESERVER_URL=url,
            SAMSESH_RTC_ALLOW_PRIVATE=None,
        )
        assert rtc.post("/get_token", current("ours.example")).status == 200
        assert stub.hits[-1]["forwarded"] == forwarded and stub.hits[-1]["path"].startswith(USERINFO)
        assert rtc.post("/get_token", current("ours.example", token="ann@other.example")).json == UNAUTHORIZED
        assert rtc.post("/get_token", current(f"127.0.0.1:{port}")).json == UNAUTHORIZED
    stub.stop()
    assert rtc.post("/get_token", current("ours.example")).json == UNAUTHORIZED


def test_own_homeserver_gets_the_leaves(run: Run, tmp_path: Path) -> None:
    """Leaves of our own users are sent over the same socket; no log tells their ID, by which anybody could."""
    stub = Homeservers(None)
    stub.listen(str(tmp_path / "hs.sock"))
    rtc = run(
        SAMSESH_RTC_HOMESERVER="ours.example",
        SAMSESH_RTC_HOMESERVER_URL=f"unix:{tmp_path}/hs.sock",
        LIVEKIT_FULL_ACCESS_HOMESERVERS="ours.example",
        SAMSESH_RTC_STATE=str(tmp_path / "state.db"),
        LIVEKIT_LOG_LEVEL="debug",
    )
    body = current("ours.example", delay_id="syd_known_to_few", delay_timeout=300)
    assert rtc.post("/delegate_delayed_leave", body).status == 200
    sent = "/delayed_events/syd_known_to_few/send"
    wait_for(lambda: stub.hits[-1]["path"].endswith(sent), "the leave is sent")
    wait_for(lambda: "sent" in rtc.logged(), "the log says so")
    assert "waiting" in rtc.logged() and "syd_known_to_few" not in rtc.logged()
    assert ip_address(stub.hits[-1]["forwarded"]) in ip_network("100::/64")  # each job is counted for itself
    stub.stop()


def test_listens_on_a_socket(run: Run, homeserver: Local, tmp_path: Path) -> None:
    """unix:/path: a file left by a dead process is replaced, one in use is not, and it is removed at the end."""
    path = tmp_path / "rtc.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    rtc = run(LIVEKIT_JWT_BIND=f"unix:{path}")
    assert rtc.post("/get_token", current(homeserver.name)).status == 200
    second = subprocess.run(
        rtc.command, env={**clean_environ(), **rtc.environ}, capture_output=True, text=True, timeout=30
    )
    assert second.returncode == 1 and f"cannot listen on unix:{path}" in second.stderr
    assert rtc.stop() == 0 and not path.exists()


def test_port_taken(rtc: Rtc) -> None:
    """A port in use: one sentence, what to do, exit code 1."""
    again = subprocess.run(
        rtc.command, env={**clean_environ(), **rtc.environ}, capture_output=True, text=True, timeout=30
    )
    assert again.returncode == 1
    assert "cannot listen on 127.0.0.1" in again.stderr and "LIVEKIT_JWT_BIND" in again.stderr
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize("host", ["a..b", "nowhere.invalid"])
def test_a_host_that_is_none(host: str) -> None:
    """A name that is none or is not known: one sentence, what to do, exit code 1."""
    command = [sys.executable, "-m", "samsesh", "rtc-auth"]
    environ = {**clean_environ(), **GOOD, "LIVEKIT_JWT_BIND": f"{host}:8080"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and f"cannot listen on {host}:8080" in done.stderr
    assert "LIVEKIT_JWT_BIND" in done.stderr and "Traceback" not in done.stderr


def test_every_address_by_default(run: Run) -> None:
    """`:port` means every address of both families."""
    port = free_port()
    rtc = run(LIVEKIT_JWT_BIND=f"127.0.0.1:{port}")
    assert rtc.stop() == 0
    rtc.environ["LIVEKIT_JWT_BIND"] = f":{port}"
    rtc.log.write_text("")
    rtc.start()
    for address in ("127.0.0.1", "::1"):
        socket.create_connection((address, port), 5).close()
    assert rtc.stop() == 0


def test_nobody_reads_its_log_any_more() -> None:
    """Without its process manager, which read what it writes, it answers and ends as always."""
    rtc = [sys.executable, "-m", "samsesh", "rtc-auth"]
    port = free_port()
    environ = {"LIVEKIT_URL": "ws://127.0.0.1:9", "LIVEKIT_KEY": KEY, "LIVEKIT_SECRET": SECRET}
    environ |= {"LIVEKIT_JWT_BIND": f"127.0.0.1:{port}", "LIVEKIT_FULL_ACCESS_HOMESERVERS": "example.org"}
    with subprocess.Popen(
        rtc, env={**clean_environ(), **environ}, stderr=subprocess.PIPE, cwd="/"
    ) as service:
        assert service.stderr
        try:
            assert b"listening" in service.stderr.readline()
            service.stderr.close()
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            link.request("GET", "/healthz")
            assert link.getresponse().status == 200  # it listens to signals, too
            link.close()
            service.terminate()
            assert service.wait(20) == 0
        finally:
            service.kill()


def test_the_end(run: Run, homeserver: Local) -> None:
    """SIGTERM: what is under way is answered, what only now arrives hears 503, and the exit code is 0."""
    rtc = run()
    host, _, port = rtc.environ["LIVEKIT_JWT_BIND"].partition(":")
    body = json.dumps(current(homeserver.name)).encode()
    with socket.create_connection((host, int(port)), 20) as link:
        link.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode())
        assert rtc.ask("GET", "/healthz").status == 200  # so the head above has been read
        rtc.process.send_signal(signal.SIGTERM)
        wait_for(lambda: '"stopping"' in rtc.logged(), "it heard the signal")
        link.sendall(body)
        answer = link.recv(65_536)
        while b"}\n" not in answer:
            answer += link.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 503") and b"access-control-allow-origin: *" in answer
    found = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert found == {"errcode": "M_UNKNOWN", "error": "Service is shutting down"}
    assert rtc.process.wait(20) == 0


def test_the_end_with_a_slow_homeserver(run: Run, homeserver: Local) -> None:
    """SIGTERM while a homeserver does not answer: an error that a page can read, in time, and exit code 0."""
    rtc = run()
    host, _, port = rtc.environ["LIVEKIT_JWT_BIND"].partition(":")
    body, before = json.dumps(current(homeserver.name, token="slow")).encode(), len(homeserver.stub.hits)
    with socket.create_connection((host, int(port)), 20) as link:
        link.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_for(lambda: len(homeserver.stub.hits) > before, "the homeserver is asked")
        rtc.process.send_signal(signal.SIGTERM)
        answer = link.recv(65_536)
        while b"}\n" not in answer and (more := link.recv(65_536)):
            answer += more
    assert answer.startswith(b"HTTP/1.1 503") and b"access-control-allow-origin: *" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"] == "Service is shutting down"
    assert rtc.process.wait(20) == 0 and '"library"' not in rtc.logged()


GOOD = {
    "LIVEKIT_URL": "wss://livekit.example.org",
    "LIVEKIT_KEY": "key",
    "LIVEKIT_SECRET": "secret",
    "LIVEKIT_FULL_ACCESS_HOMESERVERS": "example.org",
}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *((name, "") for name in GOOD),
        ("LIVEKIT_KEY_FILE", "/nonexistent"),
        ("LIVEKIT_KEY_FILE", "/etc/hostname"),
        ("LIVEKIT_KEY_FROM_FILE", "/nonexistent"),
        ("LIVEKIT_SECRET_FROM_FILE", "/nonexistent"),
        ("LIVEKIT_JWT_BIND", "nonsense"),
        ("LIVEKIT_JWT_BIND", ":99999"),
        ("LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS", "-1"),
        ("LIVEKIT_SANITY_CHECK_INTERVAL_SECONDS", "soon"),
        ("LIVEKIT_CS_API_URL_OVERRIDES", "example.org"),
        ("LIVEKIT_CS_API_URL_OVERRIDES", "a=b,=c"),
        ("SAMSESH_RTC_STRICT", "perhaps"),
        ("SAMSESH_RTC_HOMESERVER", "example.org"),
        ("SAMSESH_RTC_HOMESERVER_URL", "http://localhost"),
        ("SAMSESH_RTC_LIVEKIT_API_URL", "ftp://localhost"),
        ("SAMSESH_RTC_LIVEKIT_API_URL", "http://localhost:port"),
        ("SAMSESH_RTC_ALLOW_PRIVATE", "10.0.0.0/8,nonsense"),
        ("SAMSESH_RTC_UPDATE_OWN_METADATA", "maybe"),
        ("SAMSESH_RTC_WEBHOOK_BIND", "unix:/webhook"),
        ("SAMSESH_RTC_WEBHOOK_BIND", "127.0.0.1:8080"),  # where all else is
        ("SAMSESH_RTC_MEMBERS", "unix:/members"),
        ("SAMSESH_RTC_MEMBERS_KEY_FILE", "/etc/hostname"),
    ],
)
def test_wrong_settings(variable: str, value: str) -> None:
    """A wrong variable is named, by itself or with the one that it goes with: exit code 2, and no secret shown."""
    command = [sys.executable, "-m", "samsesh", "rtc-auth"]
    environ = {**clean_environ(), **GOOD, "LIVEKIT_SECRET": "hidden-word", variable: value}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2, done.stderr
    assert variable in done.stderr and "hidden-word" not in done.stderr and "Traceback" not in done.stderr


def test_keys_from_files(run: Run, homeserver: Local, tmp_path: Path) -> None:
    """Keys come from one file or from two, with line ends or without."""
    both, key, secret = (tmp_path / name for name in ("both", "key", "secret"))
    both.write_text("filekey:filesecret-that-is-long-enough-for-all\n")
    key.write_text("filekey\r\n")
    secret.write_text("filesecret-that-is-long-enough-for-all\n")
    import jwt

    ways: list[dict[str, Any]] = [
        {"LIVEKIT_KEY_FILE": str(both)},
        {"LIVEKIT_KEY_FROM_FILE": str(key), "LIVEKIT_SECRET_FROM_FILE": str(secret)},
    ]
    for way in ways:
        rtc = run(LIVEKIT_KEY=None, LIVEKIT_SECRET=None, **way)
        token = rtc.post("/get_token", current(homeserver.name)).json["jwt"]
        assert jwt.decode(token, "filesecret-that-is-long-enough-for-all", ["HS256"])["iss"] == "filekey"


def test_help_names_every_variable() -> None:
    """What the service reads is in its help, and needs no home and no settings."""
    import re

    from samsesh.rtc import config

    source = Path(config.__file__).read_text()
    read = set(re.findall(r'"((?:LIVEKIT|SAMSESH_RTC)_[A-Z_]+)"', source))
    command = [sys.executable, "-m", "samsesh", "rtc-auth", "--help"]
    shown = subprocess.run(command, env=clean_environ(), capture_output=True, text=True, timeout=30).stdout
    assert len(read) > 15 and {name for name in read if name not in shown} == set()
