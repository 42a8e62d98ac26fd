"""Measures the authorization service: tokens a second and memory, printed as JSON.

    PYTHON scripts/bench_rtc.py [--seconds 8] [--livekit]
PYTHON is that of the tests' environment, with this checkout's code in it. Everything runs on this machine: the service,
a homeserver that answers every token over TLS and says of everybody that they are in the room, and 16 connections that
ask as fast as they can. `--livekit` measures users with full access, too, whose room is made in the livekit-server of
PATH or SAMSESH_TEST_LIVEKIT.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import trustme
import uvloop

CONNECTIONS = 16
WARM_SECONDS = 2.0
KEY, SECRET = "benchkey", "a-secret-of-the-bench-that-is-long-enough"
TARGETS = {"per second": 900, "p99, ms": 30, "memory (PSS), MB": 90}


class Homeserver(asyncio.Protocol):
    """Answers every request with one user, whatever it asks; connections are kept."""

    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.seen = b""

    def data_received(self, data: bytes) -> None:
        self.seen += data
        while b"\r\n\r\n" in self.seen:
            _, _, self.seen = self.seen.partition(b"\r\n\r\n")
            self.transport.write(self.answer)


class Members(asyncio.Protocol):
    """Says of everybody that they are in the room (samsesh/synapse_module/members.py)."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        *lines, self.rest = (self.rest + data).split(b"\n")
        asked = [json.loads(line)["id"] for line in lines if line.startswith(b"{")]  # not the key
        self.transport.write(b"".join(b'{"id": %d, "joined": true}\n' % id_ for id_ in asked))


class Client(asyncio.Protocol):
    """One connection that asks again as soon as it was answered."""

    def __init__(self, request: bytes, taken: list[float]) -> None:
        self.request, self.taken = request, taken
        self.seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.began = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.seen += data
        if self.seen.endswith(b"}\n"):  # the end of every answer
            if not self.seen.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"not a token: {self.seen.decode()}")
            self.taken.append(time.perf_counter() - self.began)
            self.seen = b""
            self.ask()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


async def homeserver(port: int, certificate: str, members: str) -> None:
    body = json.dumps({"sub": f"@ann:localhost:{port}"}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    Homeserver.answer = head.encode() + body
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    loop = asyncio.get_running_loop()
    async with await loop.create_unix_server(Members, members):
        server = await loop.create_server(Homeserver, "127.0.0.1", port, ssl=context)
        await server.serve_forever()


async def load(port: int, request: bytes, seconds: float) -> dict[str, float]:
    loop, taken = asyncio.get_running_loop(), []
    links = [
        (await loop.create_connection(lambda: Client(request, taken), "127.0.0.1", port))[0]
        for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(WARM_SECONDS)
    taken.clear()
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    per_second, milliseconds = len(taken) / (time.perf_counter() - began), sorted(1000 * one for one in taken)
    for link in links:
        link.abort()
    cuts = statistics.quantiles(milliseconds, n=100)
    return {"per second": round(per_second), "p50, ms": round(cuts[49], 1), "p99, ms": round(cuts[98], 1)}


def pss(pid: int) -> float:
    """MB of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    own = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:"))
    return own + sum(pss(int(child)) for child in children)


def cpu_seconds(pid: int) -> float:
    """Of a process so far: what it needs of a machine that others use, too."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(command: list[str], url: str, environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that answers at `url`, ended at the end."""
    process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError):
                try:
                    with contextlib.suppress(urllib.error.HTTPError):
                        urllib.request.urlopen(url, timeout=1).close()  # noqa: S310 - a URL of ours
                except urllib.error.URLError as error:
                    if not isinstance(error.reason, ssl.SSLError):
                        raise
                break
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended at once")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(20)


def measure(folder: Path, environ: dict[str, str], seconds: float, livekit: str | None) -> dict[str, float]:
    """One run of the service; `livekit` is the program where rooms are to be made, too."""
    port, stub, sfu = free_port(), free_port(), free_port()
    name = f"localhost:{stub}"
    service = {
        **environ,
        "LIVEKIT_URL": f"ws://127.0.0.1:{sfu}",
        "LIVEKIT_KEY": KEY,
        "LIVEKIT_SECRET": SECRET,
        "LIVEKIT_JWT_BIND": f"127.0.0.1:{port}",
        "LIVEKIT_FULL_ACCESS_HOMESERVERS": name if livekit else "nobody.invalid",
        "SAMSESH_RTC_ALLOW_PRIVATE": "127.0.0.0/8",
        "SAMSESH_RTC_MEMBERS": f"unix:{folder}/{stub}.sock",
        "SAMSESH_RTC_MEMBERS_KEY_FILE": str(folder / "key"),
        "SSL_CERT_FILE": str(folder / "ca.pem"),
    }
    member = {"id": "member", "claimed_user_id": f"@ann:{name}", "claimed_device_id": "DEVICE"}
    openid = {"access_token": "token", "token_type": "Bearer", "matrix_server_name": name, "expires_in": 3600}
    asked = {"room_id": "!room:localhost", "slot_id": "m.call#ROOM", "openid_token": openid, "member": member}
    body = json.dumps(asked).encode()
    head = f"POST /get_token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    request = head.encode() + b"\r\n\r\n" + body
    me = [
        sys.executable,
        __file__,
        "--homeserver",
        str(stub),
        str(folder / "server.pem"),
        f"{folder}/{stub}.sock",
    ]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(me, f"https://localhost:{stub}/", environ))
        if livekit:
            config = folder / "livekit.json"  # which is YAML, too
            rtc = {
                "tcp_port": free_port(),
                "udp_port": free_port(),
                "use_external_ip": False,
                "node_ip": "127.0.0.1",
            }
            config.write_text(json.dumps({"port": sfu, "keys": {KEY: SECRET}, "rtc": rtc}))
            stack.enter_context(
                running([livekit, "--config", str(config)], f"http://127.0.0.1:{sfu}/", environ)
            )
        command = [sys.executable, "-I", "-m", "samsesh", "rtc-auth"]
        process = stack.enter_context(running(command, f"http://127.0.0.1:{port}/healthz", service))
        idle, used = pss(process.pid), cpu_seconds(process.pid)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found = runner.run(load(port, request, seconds))
        milliseconds = (
            1000 * (cpu_seconds(process.pid) - used) / (found["per second"] * (seconds + WARM_SECONDS))
        )
        found |= {"processor time a token, ms": round(milliseconds, 2)}
        return {**found, "memory idle (PSS), MB": round(idle), "memory (PSS), MB": round(pss(process.pid))}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--livekit", action="store_true")
    parser.add_argument("--homeserver", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.homeserver:
        port, certificate, members = options.homeserver
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(homeserver(int(port), certificate, members))
    livekit = os.environ.get("SAMSESH_TEST_LIVEKIT") or shutil.which("livekit-server")
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("LIVEKIT_", "SAMSESH_RTC_"))
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "key").write_text("a key")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(folder / "ca.pem")
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
        found = {"targets": TARGETS, "get_token": measure(folder, environ, options.seconds, None)}
        if options.livekit and livekit:
            found["get_token with full access"] = measure(folder, environ, options.seconds, livekit)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
