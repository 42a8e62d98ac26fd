"""Starts one unit below supervisord: waits for its needs, binds it to our life, and becomes the program.

Run as a plain file with the unit's specification (JSON) as its argument; the standard library only, so that it starts in
milliseconds. `answers` is also what the engine asks with.

Specification: {"name", "command": [...], "env": {...}, "needs": [probe...], "death_signal", "supervisor_pid", "starts",
"keep_low_ports"}; a probe is {"name", "kind", "socket" | "host" and "port", "path"}.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import struct
import sys
import time
from typing import Any

PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_NO_NEW_PRIVS = 1, 15, 38
NAME = "samsesh-start"  # of a process that is past Python's own start, in which a signal can get lost
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
NEEDS_SECONDS = 600
CALM_SECONDS = 60  # a start so long ago says nothing about this one
LONGEST_PAUSE = 8  # between starts of a program that keeps ending
POSTGRES_PROTOCOL = 196608  # version 3.0 in a start-up packet (PostgreSQL manual, 54.7)


def answers(probe: dict[str, Any], timeout: float = 2.0) -> tuple[bool, str]:
    """(ready, reason) of one probe; never raises."""
    try:
        with _connect(probe, timeout) as link:
            if probe["kind"] == "stun":
                return _stun(link)
            return _postgres(link) if probe["kind"] == "postgres" else _http(link, probe["path"])
    except FileNotFoundError:
        return False, "its socket is not there yet"
    except ConnectionRefusedError:
        return False, "nothing listens yet"
    except TimeoutError:
        return False, "no answer in time"
    except OSError as error:
        return False, f"no connection: {error.strerror or error}"


def _connect(probe: dict[str, Any], timeout: float) -> socket.socket:
    family = (
        socket.AF_UNIX if probe.get("socket") else socket.AF_INET6 if ":" in probe["host"] else socket.AF_INET
    )
    link = socket.socket(family, socket.SOCK_DGRAM if probe["kind"] == "stun" else socket.SOCK_STREAM)
    link.settimeout(timeout)
    try:
        link.connect(probe["socket"] if family == socket.AF_UNIX else (probe["host"], probe["port"]))
    except BaseException:
        link.close()
        raise
    return link


def _http(link: socket.socket, path: str) -> tuple[bool, str]:
    link.sendall(
        f"GET {path} HTTP/1.0\r\nHost: localhost\r\n"
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\r\n".encode()
    )
    status = link.recv(64).split(b" ")
    if len(status) < 2 or not status[0].startswith(b"HTTP/"):
        return False, "it does not speak HTTP"
    return status[1] == b"200", f"HTTP status {status[1].decode('latin-1')}"


def _postgres(link: socket.socket) -> tuple[bool, str]:
    """A start-up packet is answered by an authentication request (R) when connections are taken, else by an error (E)."""
    parameters = b"user\0samsesh_probe\0database\0postgres\0\0"
    link.sendall(struct.pack("!ii", len(parameters) + 8, POSTGRES_PROTOCOL) + parameters)
    reply = link.recv(512)
    if reply[:1] == b"R":
        return True, "takes connections"
    if b"C57P03" in reply:  # cannot_connect_now
        return False, "it is starting up"
    # Any other error is an answer of a running server: it knows no such user, or has no room for one more.
    return reply[:1] == b"E", "it ended the connection" if not reply else "takes connections"


def _stun(link: socket.socket) -> tuple[bool, str]:
    """A binding request (RFC 8489, 6): type, length, magic cookie, transaction; answered with the same transaction."""
    request = struct.pack("!HHI", 0x0001, 0, 0x2112A442) + os.urandom(12)
    link.settimeout(0.5)  # lost or not listening: the caller asks again
    link.send(request)
    reply = link.recv(512)
    return reply[8:20] == request[8:], "answers" if reply[8:20] == request[8:] else "it does not speak STUN"


def wait_for_needs(spec: dict[str, Any]) -> None:
    """Wait until everything that this unit needs answers; say once in its log what is waited for."""
    end = time.monotonic() + NEEDS_SECONDS
    for probe in spec["needs"]:
        ready, reason = answers(probe)
        if not ready:
            say(f"waiting for {probe['name']}: {reason}")
        while not ready:
            if time.monotonic() > end:
                say(f"gave up waiting for {probe['name']}: {reason}")
                sys.exit(1)
            time.sleep(0.1)
            ready, reason = answers(probe)


def pause_if_it_keeps_ending(path: str) -> None:
    """A program that ends again and again is started more and more slowly, never given up."""
    now = time.time()
    try:
        with open(path, encoding="ascii") as file:
            earlier = [float(line) for line in file.read().split()]
    except (OSError, ValueError):
        earlier = []
    recent = [moment for moment in earlier if 0 <= now - moment < CALM_SECONDS]
    if len(recent) > 1:
        time.sleep(min(LONGEST_PAUSE, 2 ** (len(recent) - 2)))
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write("\n".join(f"{moment:.1f}" for moment in [*recent[-8:], time.time()]))
    except OSError:
        pass  # a full disk must not keep a service down


def die_with_supervisor(spec: dict[str, Any]) -> None:
    """Ask the kernel to end us with supervisord, so that nothing of ours runs on unseen and twice."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, getattr(signal, "SIG" + spec["death_signal"]))
    try:
        with open(spec["supervisor_pid"], encoding="ascii") as file:
            expected = int(file.read())
    except (OSError, ValueError):
        expected = os.getppid()
    if os.getppid() != expected:  # it died before we asked
        sys.exit(1)


def give_up_rights(spec: dict[str, Any]) -> None:
    """Leave it what it needs, and no program that it starts more: set-uid bits and capabilities of files do not count."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if not spec["keep_low_ports"]:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def say(text: str) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
    print(f"{stamp} [samsesh] {text}", file=sys.stderr, flush=True)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # PostgreSQL is stopped by it, also while we wait
    ctypes.CDLL(None).prctl(PR_SET_NAME, NAME.encode())
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    die_with_supervisor(spec)
    give_up_rights(spec)
    pause_if_it_keeps_ending(spec["starts"])
    wait_for_needs(spec)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.umask(0o077)
    os.chdir("/")  # nothing is loaded or read from a folder that others write to
    os.execve(spec["command"][0], spec["command"], spec["env"])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
