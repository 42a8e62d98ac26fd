"""Released files of other projects: what each has to be, and how it is fetched.

What has to be the file's SHA-256: that of the settings, else that of the table (`pins.py`). Where neither knows it, the
file comes over https only, and its SHA-256 is recorded: it has to be the same from then on.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from samsesh import pins
from samsesh.cache import Origin, Search, check_kept, check_recorded, origin_of, record, recorded
from samsesh.download import download, fetch_text
from samsesh.errors import SamseshError
from samsesh.settings import Artifacts

LONGEST_LIST = 100_000
DIGITS = 16  # of a hash in the name of a folder


@dataclass(frozen=True)
class Release:
    """A file of a release, as GitHub publishes them. `limit` in bytes; `checksums`: the list of checksums beside it."""

    title: str
    repository: str  # "livekit/livekit"
    version: str
    file: str
    limit: int
    setting: str  # of [artifacts], for its SHA-256
    checksums: str = ""

    def base(self, mirror: str) -> str:
        return f"{mirror.rstrip('/')}/{self.repository}/releases/download/v{self.version}"

    def url(self, mirror: str, file: str = "") -> str:
        return f"{self.base(mirror)}/{file or self.file}"

    def asked(self, want: Artifacts) -> str:
        """What has to be the file's content, in short: its SHA-256, else where it comes from; empty for what everybody
        gets. Homes that ask for the same share what is kept, others do not.
        """
        if known := self.known(want):
            return known[:DIGITS]
        usual = want.mirror == Artifacts().mirror
        return "" if usual else hashlib.sha256(want.mirror.encode()).hexdigest()[:DIGITS]

    def known(self, want: Artifacts) -> str:
        """The SHA-256 that it has to have, in hex; empty where nobody has said."""
        named: str = getattr(want, self.setting)
        return named or pins.read().file(self.file)


@dataclass(frozen=True)
class Fetched:
    """A file that is what it has to be."""

    archive: Path
    origin: Origin


@contextmanager
def fetched(search: Search, release: Release) -> Iterator[Fetched]:
    """Fetch a release to the cache, where it is while it is unpacked; what nothing vouches for is recorded if that
    succeeds.

    Raises SamseshError where it cannot be had, is not what it has to be, or would come without TLS and unknown.
    """
    search.must_be_online()
    known = release.known(search.want)
    url = release.url(search.want.mirror)
    if not known and not url.startswith("https://"):
        raise SamseshError(
            f"{release.file} is not pinned, and {search.want.mirror} is an address without TLS: anybody on the way "
            "could put in another program",
            f"name its SHA-256: samsesh config set artifacts.{release.setting} HASH; or a mirror with https",
        )
    search.say(f"fetching {release.title} {release.version}")
    sha256 = known or _listed(search, release)
    archive = search.cache / release.file
    sha256 = download(url, archive, limit=release.limit, progress=search.progress, sha256=sha256)
    try:
        if not known:
            check_recorded(search.cache, release.file, sha256)
        how = "checksum verified" if known else "not pinned, over https"
        yield Fetched(archive, Origin(f"the official release, {how}, from {url.rpartition('/')[0]}", sha256))
        if not known:
            record(search.cache, release.file, sha256)
    finally:
        archive.unlink()


def kept(search: Search, release: Release, folder: Path) -> Origin:
    """How a folder of the cache was got, which has `Release.asked` in its name. Raises SamseshError if it is not as it
    was when it was kept, or comes from where this home does not get it.
    """
    check_kept(folder, release.title)
    # What an earlier version kept has no origin: where a release was recorded, it came from that.
    origin = origin_of(folder) or Origin(f"kept in {search.cache}", recorded(search.cache, release.file))
    came_from = origin.how.rpartition(" from ")[2]
    usual = (release.base(search.want.mirror), origin.how)
    if (
        origin.sha256 and not release.known(search.want) and came_from not in usual
    ):  # as earlier versions kept it
        raise SamseshError(
            f"the kept {release.title} comes from {came_from}, where this server was not told to get it",
            "it is fetched again if that is possible",
        )
    return origin


def _listed(search: Search, release: Release) -> str:
    """The SHA-256 that the publisher's own list says, if there is one: it finds damage, and vouches for nothing."""
    if not release.checksums:
        return ""
    url = release.url(search.want.mirror, release.checksums)
    for line in fetch_text(url, LONGEST_LIST).splitlines():
        row = re.fullmatch(r"([0-9a-f]{64})[ *]+(\S+)", line.strip())
        if row and row[2] == release.file:
            check_recorded(search.cache, release.file, row[1])
            return row[1]
    raise SamseshError(f"{url} does not list {release.file}", "it is no complete mirror: choose another")
