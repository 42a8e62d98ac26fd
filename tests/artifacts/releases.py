"""A server of the shape of the release pages, and of a registry of images, on loopback, with the bad days they have."""

import hashlib
import io
import json
import ssl
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any
from urllib.parse import quote

from samsesh.artifacts.livekit import VERSION

FOLDER = f"/livekit/livekit/releases/download/v{VERSION}"
ARCHIVE = f"livekit_{VERSION}_linux_amd64.tar.gz"
PROGRAM = f"#!/bin/sh\necho livekit-server version {VERSION}\nexit\n".encode()
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
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
    manifests: dict[str, bytes] = field(
        default_factory=dict
    )  # of images, by path; only with a token, as registries do
    digest: str = ""  # in place of the right one

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
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Releases]:
    """Over plain http, or with TLS as `localhost`."""
    releases = Releases()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            wanted = self.headers.get("Range", "")
            if not query:
                releases.asked.append((path, wanted))
            if path.startswith("/v2/"):
                self.answer_manifest(path)
                return
            if path == "/token":
                self.answer(json.dumps({"token": query}).encode(), 0)
                return
            content = releases.files.get(path)
            if content is None:
                self.send_error(404)
            elif releases.trouble and not query and path.endswith(releases.trouble[0][0]):
                releases.trouble.pop(0)[1](self, content)
            else:
                self.answer(content, int(wanted[6:-1]) if wanted else 0)

        def answer_manifest(self, path: str) -> None:
            """OCI distribution specification; tokens as Docker's registries give them."""
            scope = f"repository:{path.removeprefix('/v2/').partition('/manifests/')[0]}:pull"
            manifest = releases.manifests.get(path)
            token = f"service=images&scope={quote(scope, safe='')}"
            if self.headers.get("Authorization") != f"Bearer {token}":
                self.send_response(401)
                challenge = f'Bearer realm="{releases.url}/token",service="images",scope="{scope}"'
                self.send_header("WWW-Authenticate", challenge)
                manifest = b""
            elif manifest is None:
                self.send_response(404)
                manifest = b""
            else:
                self.send_response(200)
                self.send_header("Content-Type", INDEX_TYPE)
                self.send_header(
                    "Docker-Content-Digest",
                    releases.digest or f"sha256:{hashlib.sha256(manifest).hexdigest()}",
                )
            self.send_header("Content-Length", str(len(manifest)))
            self.end_headers()
            self.wfile.write(manifest)

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
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    releases.url = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{server.server_port}"
    try:
        yield releases
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
