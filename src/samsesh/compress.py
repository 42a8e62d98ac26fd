"""Static files are compressed once, beside themselves, for the gateway to hand out as they are (Caddy: `precompressed`).

Caddy does not compare the two: whoever changes a file drops what was compressed of it (`drop_stale`).
"""

import gzip
import os
from contextlib import suppress
from pathlib import Path

from samsesh.write import write_file

KINDS = frozenset(
    (".css", ".html", ".ico", ".js", ".json", ".mjs", ".svg", ".tflite", ".ttf", ".txt", ".wasm", ".xml")
)
ENDINGS = (".br", ".gz")
SMALLEST = 1024  # bytes; below, a packet is a packet
# Brotli's best level takes 6 s for Element Call's script of 2.4 MB and makes it a quarter smaller than zstd does at each
# request; level 9 takes 3 s and makes it a sixth smaller.
LARGE = 4_000_000  # bytes
BEST, FAST = 11, 9
WORTH = 0.9  # of the size; what stays above is left as it is


def is_beside(path: Path) -> bool:
    """Whether this is what was compressed of the file beside it."""
    return path.suffix in ENDINGS and path.with_suffix("").suffix in KINDS and path.with_suffix("").is_file()


def can_be(path: Path) -> bool:
    return path.suffix in KINDS and path.is_file() and path.stat().st_size >= SMALLEST


def compressed(content: bytes) -> dict[str, bytes]:
    """Ending -> content, of both ways in which browsers take it; without those that save next to nothing."""
    import brotli  # what only one process in the background needs

    both = {
        ".br": brotli.compress(content, quality=FAST if len(content) > LARGE else BEST),
        ".gz": gzip.compress(content, compresslevel=9, mtime=0),
    }
    return {ending: data for ending, data in both.items() if len(data) < WORTH * len(content)}


def beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def compress(path: Path) -> None:
    """Put what is compressed of a file beside it, with its time. A file that changes meanwhile stays without."""
    before = path.stat()
    for ending, data in compressed(path.read_bytes()).items():
        target = beside(path, ending)
        write_file(target, data, before.st_mode & 0o777)
        with suppress(FileNotFoundError):  # another start found it before it had its time
            os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    drop_stale(path)


def is_done(path: Path) -> bool:
    return any(_is_of(path, beside(path, ending)) for ending in ENDINGS)


def drop_stale(path: Path) -> None:
    """Remove what was compressed of an earlier content. Call it when the file has its new one."""
    for ending in ENDINGS:
        target = beside(path, ending)
        if target.is_file() and not _is_of(path, target):
            target.unlink()


def _is_of(path: Path, target: Path) -> bool:
    return target.is_file() and path.is_file() and target.stat().st_mtime_ns == path.stat().st_mtime_ns
