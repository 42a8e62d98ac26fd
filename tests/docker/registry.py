"""A registry (OCI distribution specification) of one image, whole or breaking off in its layer every time."""

import hashlib
import http.server
import io
import json
import random
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

KIND = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"
SIZE = 4_000_000


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _layer() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = SIZE
        tar.addfile(info, io.BytesIO(random.Random(1).randbytes(SIZE)))
    return packed.getvalue()


class _Registry(http.server.ThreadingHTTPServer):
    def __init__(self, *, breaks: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.breaks = breaks
        layer = _layer()
        self.layer = _digest(layer)
        diff = {"type": "layers", "diff_ids": [self.layer]}
        config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": diff}).encode()
        self.blobs = {_digest(config): config, self.layer: layer}
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": KIND,
                "config": {"mediaType": CONFIG, "size": len(config), "digest": _digest(config)},
                "layers": [{"mediaType": LAYER, "size": len(layer), "digest": self.layer}],
            }
        ).encode()
        self.digest = _digest(self.manifest)
        self.broken_off = 0  # how often


class _Answer(http.server.BaseHTTPRequestHandler):
    server: _Registry

    def do_GET(self) -> None:
        what = self.path.rpartition("/")[2]
        if "/manifests/" in self.path:
            self._say(KIND, self.server.manifest)
        elif what == self.server.layer and self.server.breaks:
            self._break_off(self.server.blobs[what])
        else:
            self._say("application/octet-stream", self.server.blobs.get(what, b"{}"))

    def do_HEAD(self) -> None:
        self.do_GET()

    def _say(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", _digest(body))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _break_off(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.server.broken_off += 1
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Nothing."""


@contextmanager
def serving(*, breaks: bool = False) -> Iterator[_Registry]:
    with _Registry(breaks=breaks) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        yield server
        server.shutdown()
