"""A server of the shape of the release pages, on loopback, with the bad days that those have."""

import hashlib
import io
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

from samsesh.artifacts.livekit import VERSION

FOLDER = f"/livekit/livekit/releases/download/v{VERSION}"
ARCHIVE = f"livekit_{VERSION}_linux_amd64.tar.gz"
PROGRAM = f"#!/bin/sh\necho livekit-server version {VERSION}\nexit\n".encode()
PADDING = Random(1).randbytes(3_000_000)  # does not compress: a download of several pieces


def tar(*members: tuple[str, bytes | str]) -> bytes:
    """A gzipped tar of files (bytes) and links (str)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def checksums(archive: bytes) -> bytes:
    other = f"{'0' * 64}  livekit_{VERSION}_windows_amd64.zip\n"
    return f"{other}{hashlib.sha256(archive).hexdigest()}  {ARCHIVE}\n".encode()


@dataclass
class Releases:
    """`files` by path; `trouble` is done, in turn, to requests for paths that end with its first part."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    trouble: list[tuple[str, Callable[[Any, bytes], None]]] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)  # path, Range

    def publish(self, archive: bytes, listed: bytes | None = None) -> None:
        self.files[f"{FOLDER}/{ARCHIVE}"] = archive
        self.files[f"{FOLDER}/checksums.txt"] = checksums(archive) if listed is None else listed

    def asked_for(self, name: str) -> list[str]:
        """The Range of each request for a file."""
        return [wanted for path, wanted in self.asked if path.endswith(name)]


def cut(handler: Any, content: bytes) -> None:
    """The connection breaks in the middle."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.close_connection = True


def trickle(handler: Any, content: bytes) -> None:
    """A few bytes now and then, for ever."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    for at in range(0, 600, 10):
        handler.wfile.write(content[at : at + 10])
        handler.wfile.flush()
        time.sleep(0.05)
    handler.close_connection = True


def busy(handler: Any, content: bytes) -> None:
    handler.send_error(503)


def elsewhere(handler: Any, content: bytes) -> None:
    """As release pages do: the file is on another host."""
    handler.send_response(302)
    handler.send_header("Location", f"{handler.path}?elsewhere")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@contextmanager
def serving() -> Iterator[Releases]:
    releases = Releases()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            wanted = self.headers.get("Range", "")
            if not query:
                releases.asked.append((path, wanted))
            content = releases.files.get(path)
            if content is None:
                self.send_error(404)
            elif releases.trouble and not query and path.endswith(releases.trouble[0][0]):
                releases.trouble.pop(0)[1](self, content)
            else:
                self.answer(content, int(wanted[6:-1]) if wanted else 0)

        def answer(self, content: bytes, start: int) -> None:
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:])

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: Any, client_address: Any) -> None:
            """Clients that are interrupted break their connections; that is no error here."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    releases.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield releases
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
