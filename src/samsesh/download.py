"""Fetching one file over HTTP: what has come already is not fetched twice, and nothing unverified gets its name."""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from samsesh.errors import SamseshError
from samsesh.tools import bundle
from samsesh.write import explained, growing

if TYPE_CHECKING:  # it takes a while to load, and most commands fetch nothing
    import httpx2

PAUSES = (0.0, 1.0, 4.0)  # before each try
LONGEST = 1800  # s for one file, however steadily it trickles
HINT = (
    "check the connection (behind a proxy, set HTTPS_PROXY), or name a mirror: "
    "samsesh config set artifacts.mirror URL"
)

T = TypeVar("T")
Progress = Callable[[str, int, int], None]  # what, bytes that have come, bytes in all (0: not known)


def fetch_text(url: str, limit: int) -> str:
    """A small text file. Raises SamseshError where it cannot be had or is larger than `limit` bytes."""

    end = time.monotonic() + LONGEST

    def read() -> str:
        with client(url) as http, http.stream("GET", url) as response:
            response.raise_for_status()
            content = b""
            for piece in response.iter_bytes():
                content += piece
                _within(url, len(content), limit)
                _in_time(url, end)
        return content.decode(errors="replace")

    return _trying(url, read)


def download(url: str, target: Path, *, limit: int, progress: Progress, sha256: str = "") -> str:
    """Fetch `url` to `target` and return its SHA-256 in hex; what came before an interruption is used.

    Without `sha256` that is what came in this call only: nothing could tell whether a beginning was of the same file.

    Raises SamseshError where it cannot be had, is larger than `limit` bytes, or is not the file that `sha256` names.
    """
    part = target.with_name(target.name + ".part")
    with explained(part):
        if not sha256:
            part.unlink(missing_ok=True)
        had = part.exists()
        found = _fetch(url, part, limit, progress)
        if had and sha256 and found != sha256:  # the beginning may have been of another file
            part.unlink()
            found = _fetch(url, part, limit, progress)
        if sha256 and found != sha256:
            part.unlink()
            raise SamseshError(
                f"{url} is not the file that its checksum names ({found[:12]}..., not {sha256[:12]}...)",
                "it was altered or damaged on its way: try again, or from another mirror (artifacts.mirror)",
            )
        part.replace(target)
    return found


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(url: str, part: Path, limit: int, progress: Progress) -> str:
    end = time.monotonic() + LONGEST
    _trying(url, lambda: _receive(url, part, limit, progress, end))
    return sha256_of(part)


def _receive(url: str, part: Path, limit: int, progress: Progress, end: float) -> None:
    import httpx2

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with client(url) as http, http.stream("GET", url, headers=headers) as response:
        if response.status_code == 416:  # nothing comes after what we have: it was whole, or of another file
            if response.headers.get("content-range") == f"bytes */{have}":
                return
            part.unlink()
            raise httpx2.ReadError("what had come of it before does not fit")
        response.raise_for_status()
        if have and response.headers.get("content-range", "").split("-")[0] != f"bytes {have}":
            part.unlink()
            have = 0
            if response.status_code == 206:
                raise httpx2.ReadError("another part than the one asked for came")
        total = have + int(response.headers.get("content-length", 0))
        _within(url, total, limit)
        with growing(part) as out:
            for piece in response.iter_raw():  # as it comes: nothing is lost with a connection that breaks
                have += out.write(piece)
                _within(url, have, limit)
                progress(url.rpartition("/")[2], have, total if total >= have else 0)
                _in_time(url, end)


def client(url: str, **options: Any) -> "httpx2.Client":
    """Follows redirects of `url`; from https none to an address without TLS, on no hop: it is not even asked."""
    import httpx2

    def refuse(request: "httpx2.Request") -> None:
        if request.url.scheme != "https":
            raise SamseshError(f"{url} leads to an address without TLS, {request.url}", HINT)

    hooks = {"request": [refuse]} if url.startswith("https:") else {}
    timeout = httpx2.Timeout(30, connect=10)
    tls = httpx2.create_ssl_context()
    if file := bundle(os.environ):
        tls.load_verify_locations(file)
    return httpx2.Client(timeout=timeout, follow_redirects=True, event_hooks=hooks, verify=tls, **options)


def _within(url: str, size: int, limit: int) -> None:
    if size > limit:
        raise SamseshError(f"{url} is larger than {limit // 1_000_000} MB, which it never was", HINT)


def _in_time(url: str, end: float) -> None:
    if time.monotonic() > end:
        raise SamseshError(f"{url} did not come within {LONGEST / 60:.0f} minutes", HINT)


def _trying(url: str, attempt: Callable[[], T]) -> T:
    """Try a few times, with pauses, what may be better the next time."""
    import httpx2

    problem = ""
    for pause in PAUSES:
        time.sleep(pause)
        try:
            return attempt()
        except httpx2.HTTPStatusError as error:
            status = error.response.status_code
            problem = f"the answer was {status}"
            if status < 500 and status != 429:
                break
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            problem = str(error) or type(error).__name__
    raise SamseshError(f"{url} could not be fetched: {problem}", HINT)
