"""A server of the shape of the release pages, and of a registry of images, on loopback, with the bad days they have."""

import hashlib
import io
import json
import ssl
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any
from urllib.parse import quote

import trustme

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
    logins: list[str] = field(default_factory=list)  # header `Authorization` of each request for a file

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


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, releases: Releases) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.releases = releases

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that are interrupted break their connections; that is no error here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        releases = self.server.releases
        path, _, query = self.path.partition("?")
        wanted = self.headers.get("Range", "")
        if not query:
            releases.asked.append((path, wanted))
            releases.logins.append(self.headers.get("Authorization", ""))
        if path.startswith("/v2/"):
            self.answer_manifest(path)
            return
        content = json.dumps({"token": query}).encode() if path == "/token" else releases.files.get(path)
        if content is None:
            self.send_error(404)
        elif releases.trouble and not query and path.endswith(releases.trouble[0][0]):
            releases.trouble.pop(0)[1](self, content)
        else:
            self.answer(content, int(wanted[6:-1]) if wanted else 0)

    def answer(self, content: bytes, start: int) -> None:
        if start >= len(content):
            self.say(416, {"Content-Range": f"bytes */{len(content)}"})
        elif start:
            part = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
            self.say(206, part, content[start:])
        else:
            self.say(200, {}, content)

    def answer_manifest(self, path: str) -> None:
        """OCI distribution specification; a token as Docker's registries ask for it: here, it is the question for it."""
        releases = self.server.releases
        scope = f"repository:{path.removeprefix('/v2/').partition('/manifests/')[0]}:pull"
        token = f"service=images&scope={quote(scope, safe='')}"
        manifest = releases.manifests.get(path)
        if self.headers.get("Authorization") != f"Bearer {token}":
            challenge = f'Bearer realm="{releases.url}/token",service="images",scope="{scope}"'
            self.say(401, {"WWW-Authenticate": challenge})
        elif manifest is None:
            self.say(404, {})
        else:
            digest = releases.digest or f"sha256:{hashlib.sha256(manifest).hexdigest()}"
            self.say(200, {"Content-Type": INDEX_TYPE, "Docker-Content-Digest": digest}, manifest)

    def say(self, status: int, headers: Mapping[str, str], content: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


def tls_of(authority: trustme.CA) -> ssl.SSLContext:
    """TLS as `localhost`, by that authority."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    return tls


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Releases]:
    """Over plain http, or with TLS as `localhost`."""
    releases = Releases()
    server = Server(releases)
    if tls:
        # The handshake is done in the connection's own thread.
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    releases.url = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield releases
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
