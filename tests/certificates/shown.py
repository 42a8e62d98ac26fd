"""What is shown at a TLS port to who asks for a name: connected to on loopback, since no DNS knows the tests' names."""

import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 5


@dataclass(frozen=True)
class Shown:
    """A certificate that was verified, the name included, and what was agreed on."""

    names: tuple[str, ...]
    issuer: str  # common name
    until: float
    serial: str
    protocol: str  # "h2", "http/1.1" or ""
    version: str


def handshake(port: int, host: str, root: Path, alpn: tuple[str, ...] = (), at: str = "127.0.0.1") -> Shown:
    """Raises ssl.SSLError where the certificate does not count, or there is none."""
    trust = ssl.create_default_context(cafile=str(root))
    if alpn:
        trust.set_alpn_protocols(list(alpn))
    with (
        socket.create_connection((at, port), SECONDS) as link,
        trust.wrap_socket(link, server_hostname=host) as session,
    ):
        found: dict[str, Any] = session.getpeercert() or {}
        issuer = {key: value for part in found["issuer"] for key, value in part}
        return Shown(
            tuple(value for _, value in found["subjectAltName"]),
            issuer.get("commonName", ""),
            ssl.cert_time_to_seconds(found["notAfter"]),
            found["serialNumber"],
            session.selected_alpn_protocol() or "",
            session.version() or "",
        )


def refused(port: int, host: str, root: Path, at: str = "127.0.0.1") -> bool:
    """Whether no certificate that counts is shown for that name."""
    try:
        handshake(port, host, root, at=at)
    except (ssl.SSLError, ConnectionError):
        return True
    return False


def ask(
    port: int, host: str, path: str, root: Path | None, extra: str = ""
) -> tuple[int, dict[str, str], bytes]:
    """GET over HTTP/1.1: (status, headers by small names, body). Without `root`: plain http."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as link:
        session: socket.socket = link
        if root:
            trust = ssl.create_default_context(cafile=str(root))
            session = trust.wrap_socket(link, server_hostname=host)
        with session:
            head = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n{extra}\r\n"
            session.sendall(head.encode())
            data = b"".join(iter(lambda: session.recv(65_536), b""))
    top, _, body = data.partition(b"\r\n\r\n")
    first, *rest = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    return int(first.split()[1]), headers, body


def soon(
    port: int, host: str, root: Path, *, other_than: str = "", seconds: float = 30, at: str = "127.0.0.1"
) -> Shown:
    """What is shown once it counts, and has another serial number than that."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = handshake(port, host, root, at=at)
            if found.serial != other_than:
                return found
        except OSError as error:
            if time.monotonic() > end:
                raise AssertionError(f"nothing that counts for {host}: {error}") from None
        assert time.monotonic() < end, "it is still the old one"
        time.sleep(0.2)
