"""Static files are compressed once and handed out by a real Caddy: fewer bytes, and never those of an earlier content."""

import gzip
import os
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import brotli
import httpx2
import pytest

from programs import element_call_pages, free_port
from samsesh import compress
from samsesh.cache import Origin, check_kept, compress_kept, is_compressed, keeping
from samsesh.engines.native.files import put
from samsesh.errors import SamseshError
from samsesh.facts import gather
from samsesh.formats import to_caddy_json
from samsesh.model import Endpoint, File, Route
from samsesh.services.gateway.handlers import route_json

CADDY = gather().programs.get("caddy", "")
BROWSER = "gzip, deflate, br, zstd"  # Chromium's and Firefox's Accept-Encoding over https
Get = Callable[..., httpx2.Response]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pages as they are served: text that repeats itself, something small, and a picture."""
    folder = tmp_path / "cache/pages-1"
    folder.parent.mkdir()
    with keeping(folder, Origin("by this test")) as new:
        (new / "assets").mkdir()
        (new / "index.html").write_text("<!doctype html><p>hello</p>" * 200)
        (new / "assets/a.js").write_text("\n".join(f"export const a{n} = {n}" for n in range(2000)))
        (new / "assets/small.css").write_text("p {}")
        (new / "assets/picture.png").write_bytes(os.urandom(5000))
    return folder


@pytest.fixture
def get(folder: Path, tmp_path: Path) -> Iterator[Get]:
    """Asks a real Caddy with the gateway's route for these files, and does not decode what comes."""
    yield from serving(tmp_path, Route("call", root=folder, headers={"Cache-Control": "public"}))


def serving(work: Path, *routes: Route) -> Iterator[Get]:
    port = free_port()
    made = list(map(route_json, routes))
    server = {"listen": [f"127.0.0.1:{port}"], "automatic_https": {"disable": True}, "routes": made}
    config = {"admin": {"disabled": True}, "apps": {"http": {"servers": {"call": server}}}}
    (work / "caddy.json").write_bytes(to_caddy_json(config))
    command = [CADDY, "run", "--config", str(work / "caddy.json")]
    with subprocess.Popen(command, env={"HOME": str(work)}, stderr=subprocess.DEVNULL) as caddy:
        transport = httpx2.HTTPTransport(retries=8)  # until it listens
        with httpx2.Client(transport=transport, trust_env=False, timeout=60) as client:

            def get(path: str, encoding: str = BROWSER, **headers: str) -> httpx2.Response:
                url, sent = f"http://127.0.0.1:{port}/{path}", {"Accept-Encoding": encoding, **headers}
                with client.stream("GET", url, headers=sent) as answer:
                    answer.raw = b"".join(answer.iter_raw())  # type: ignore[attr-defined]  # for the tests
                return answer

            try:
                yield get
            finally:
                caddy.terminate()


def raw(answer: httpx2.Response) -> bytes:
    content: bytes = answer.raw  # type: ignore[attr-defined]  # of `get`
    return content


@pytest.mark.needs("caddy")
def test_a_browser_gets_the_best_that_it_takes(folder: Path, get: Get) -> None:
    """Brotli, else gzip, else as it is; with the file's own type, a tag for each, and parts of what was compressed."""
    plain = (folder / "assets/a.js").read_bytes()
    assert get("assets/a.js").headers["Content-Encoding"] == "zstd"  # until it is compressed, at each request
    compress_kept(folder, print)
    br, gz = get("assets/a.js"), get("assets/a.js", "gzip")
    assert (br.headers["Content-Encoding"], gz.headers["Content-Encoding"]) == ("br", "gzip")
    assert (
        brotli.decompress(raw(br)) == plain == gzip.decompress(raw(gz)) == raw(get("assets/a.js", "identity"))
    )
    answers = [br, gz, get("assets/a.js", "identity")]
    assert len({answer.headers["ETag"] for answer in answers}) == 3
    for answer in answers:
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert answer.headers["Vary"] == "Accept-Encoding" and answer.headers["Cache-Control"] == "public"
    again = get("assets/a.js", **{"If-None-Match": br.headers["ETag"]})
    assert again.status_code == 304 and raw(again) == b""
    part = get("assets/a.js", Range="bytes=10-29")
    assert part.status_code == 206 and raw(part) == raw(br)[10:30]
    part = get("assets/a.js", "identity", Range="bytes=10-29")
    assert part.status_code == 206 and raw(part) == plain[10:30]
    assert get("").headers["Content-Encoding"] == "br" and "text/html" in get("").headers["Content-Type"]
    for name in ("assets/small.css", "assets/picture.png"):
        assert "Content-Encoding" not in get(name).headers and not compress.is_done(folder / name)


@pytest.mark.needs("caddy")
def test_a_changed_file_is_never_served_as_it_was(folder: Path, get: Get) -> None:
    """What was compressed of the earlier content goes with the change; a change while it is compressed is seen, too."""
    page = folder / "index.html"
    compress.compress(page)
    assert compress.is_done(page) and get("").headers["Content-Encoding"] == "br"
    new = b"<!doctype html><p>welcome</p>" * 200
    put(File(page, new, mode=0o644, live=True))
    assert not compress.is_done(page) and raw(get("", "identity")) == new
    assert gzip.decompress(raw(get("", "gzip"))) == new


def test_a_change_meanwhile_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that gets a new content while the old one is compressed stays without."""
    page = folder / "index.html"

    def slowly(content: bytes) -> dict[str, bytes]:
        page.with_name("new").write_bytes(b"another")
        page.with_name("new").replace(page)
        return {".br": b"of the old one"}

    monkeypatch.setattr(compress, "compressed", slowly)
    compress.compress(page)
    assert not compress.is_done(page) and not page.with_name("index.html.br").exists()


def test_what_is_kept_stays_as_it_was_kept(folder: Path) -> None:
    """What we compressed does not count as a change of what was fetched; what somebody else put there does."""
    compress_kept(folder, print)
    assert is_compressed(folder)
    check_kept(folder, "the pages")
    assert not list(folder.parent.glob(".*"))
    (folder / "assets/a.js.br").write_bytes(brotli.compress(b"evil()"))
    with pytest.raises(SamseshError, match="was changed since"):
        check_kept(folder, "the pages")
    with keeping(folder, Origin("by this test")) as new:
        (new / "index.html").write_text("<p>" * 2000)
        (new / "index.html.gz").write_bytes(b"the publisher's own")
    check_kept(folder, "the pages")
    assert not is_compressed(folder) and not (folder / "index.html.gz").exists()


@pytest.mark.needs("caddy")
def test_what_containers_answer_is_compressed_on_its_way(folder: Path, tmp_path: Path) -> None:
    """Their pages are files, too; what the gateway puts into a page of its own it takes as it is."""
    plain = (folder / "assets/a.js").read_bytes()
    (tmp_path / "page").mkdir()
    (tmp_path / "page/index.html").write_text('{{httpInclude "/upstream/index.html"}}ours')
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        container = Endpoint("127.0.0.1", server.server_address[1])
        upstream = Route("call", ("/upstream/*",), upstream=container, strip="/upstream")
        page = Route("call", ("/",), root=tmp_path / "page", template=True)
        for get in serving(tmp_path, upstream, page, Route("call", upstream=container)):
            script, made = get("assets/a.js"), get("", "gzip")
            assert script.headers["Content-Encoding"] == "zstd" and len(raw(script)) < len(plain) / 2
            assert raw(get("assets/a.js", "identity")) == plain
            assert gzip.decompress(raw(made)).decode() == (folder / "index.html").read_text() + "ours"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """A container's web server, without words."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name above
        pass


@pytest.mark.slow
@pytest.mark.needs("caddy")
def test_element_call_is_a_quarter_smaller(tmp_path: Path) -> None:
    """What a browser loads of the real Element Call's page, script and style, against what Caddy made at each request."""
    real, folder = element_call_pages(), tmp_path / "call"
    names = [
        "index.html",
        *(f"assets/{path.name}" for kind in ("js", "css") for path in real.glob(f"assets/index-*.{kind}")),
    ]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(real / name, folder / name)
    for get in serving(tmp_path, Route("call", root=folder)):
        before = {name: len(raw(get(name))) for name in names}
        for name in names:
            compress.compress(folder / name)
        after = {name: len(raw(get(name))) for name in names}
    assert sum(after.values()) < 0.75 * sum(before.values()), (before, after)
