"""`scripts/lock --releases`: computes what releases and images have to be, and writes it to src/samsesh/pins.toml.

Every release is fetched whole over https and every image's manifest is asked of its registry; what is written is the
SHA-256 of what came. What cannot be reached is left as it is, and named. So is a released file that is another than the
table says: published files do not change. An image's tag may lead to another build one day, which is taken.
Exit code 1 if anything was left as it was.
"""

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import parse_http_list, parse_keqv_list

import httpx2
import tomlkit

from samsesh import pins
from samsesh.artifacts import element_call, element_web, livekit
from samsesh.download import client, download
from samsesh.engines.compose.images import HUB, Image, table
from samsesh.errors import SamseshError
from samsesh.pins import Pin
from samsesh.releases import Release
from samsesh.settings import Artifacts
from samsesh.write import write_file

TABLE = Path(__file__).parents[1] / "src/samsesh/pins.toml"
HUB_API = "registry-1.docker.io"  # where Docker Hub's images are asked for
HUB_FOLDER = "library"  # of those whose path has no folder
# An index of all processors' manifests, or one manifest, as the OCI and Docker write them.
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ABOUT = (
    "What released files (SHA-256) and images (digest of the manifest, without its sha256:) have to be, computed by",
    "`scripts/lock --releases`. An empty value is not known yet.",
)


def main() -> int:
    options = argparse.ArgumentParser(
        prog="scripts/lock --releases", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    options.add_argument("--mirror", default=Artifacts().mirror, help="where releases are")
    options.add_argument("--registry", default="", help="an address in the place of every registry")
    options.add_argument("--table", default=TABLE, type=Path, help="the file that is read and written")
    given = options.parse_args()
    before = pins.read(given.table)
    releases = [release for module in (livekit, element_web, element_call) for release in module.releases()]
    asked = {
        **{("files", release.file): (release, given.mirror) for release in releases},
        **{("images", image.default): (image, given.registry) for image in table() if image.registry},
    }
    after: dict[str, dict[str, Pin]] = {"files": {}, "images": {}}
    left = 0
    for (part, name), (what, address) in asked.items():
        pin = getattr(before, part).get(name, Pin("", ""))
        try:
            pin = of_image(what, address, pin) if isinstance(what, Image) else of_file(what, address, pin)
            print(f"{name}: {pin.sha256}")
        except SamseshError as error:
            print(f"{name} is left as it was: {error.message}", file=sys.stderr)
            left += 1
        after[part][name] = pin
    write_file(given.table, dumped(after), 0o644)
    return 1 if left else 0


def of_file(release: Release, mirror: str, before: Pin) -> Pin:
    """Of a release as it is fetched now; SamseshError if it is not what it was."""
    url = with_tls(release.url(mirror))
    with tempfile.TemporaryDirectory(prefix="samsesh-lock-") as folder:
        sha256 = download(
            url, Path(folder) / release.file, limit=release.limit, progress=lambda what, done, total: None
        )
    if before.sha256 not in ("", sha256):
        raise SamseshError(
            f"{url} has the SHA-256 {sha256}, and the table says {before.sha256}: find out why", ""
        )
    return pin_of(sha256, url, before)


def of_image(image: Image, registry: str, before: Pin) -> Pin:
    """Of an image's manifest (OCI distribution specification, "Pulling manifests"), by the bytes that came."""
    host = HUB_API if image.registry == HUB else image.registry
    path = f"{HUB_FOLDER}/{image.path}" if image.registry == HUB and "/" not in image.path else image.path
    url = with_tls(f"{registry.rstrip('/') or f'https://{host}'}/v2/{path}/manifests/{image.tag}")
    headers = {"Accept": ", ".join(MANIFESTS)}
    try:
        with client(url) as http:
            answer = http.get(url, headers=headers)
            if answer.status_code == 401:
                token = token_of(http, answer.headers.get("www-authenticate", ""))
                answer = http.get(url, headers={**headers, "Authorization": f"Bearer {token}"})
            answer.raise_for_status()
    except (httpx2.HTTPError, ValueError, KeyError) as error:
        raise SamseshError(f"{url} could not be asked: {error or type(error).__name__}") from None
    sha256 = hashlib.sha256(answer.content).hexdigest()
    named = answer.headers.get("docker-content-digest", "")
    if answer.headers.get("content-type", "").partition(";")[0] not in MANIFESTS or named not in (
        "",
        f"sha256:{sha256}",
    ):
        raise SamseshError(f"{url} gave no manifest of an image, or not the one that its digest names")
    return pin_of(sha256, url, before)


def token_of(http: httpx2.Client, challenge: str) -> str:
    """A token to read with, for nobody in particular, from where a registry sends those who ask it for an image."""
    scheme, _, rest = challenge.partition(" ")
    words = parse_keqv_list(parse_http_list(rest))
    if scheme.lower() != "bearer":
        raise ValueError(f"it wants a log-in ({scheme})")
    query = {name: words[name] for name in ("service", "scope") if name in words}
    answer = http.get(with_tls(words["realm"]), params=query)
    answer.raise_for_status()
    said = answer.json()
    return str(said.get("token") or said["access_token"])


def with_tls(url: str) -> str:
    if not url.startswith("https://"):
        raise SamseshError(f"{url} is no address with TLS, and what it says counts for nothing")
    return url


def pin_of(sha256: str, url: str, before: Pin) -> Pin:
    source = f"computed of {url}"
    if before.sha256 == sha256 and before.source.startswith(source):
        return before
    return Pin(sha256, f"{source} on {datetime.now(UTC):%Y-%m-%d}")


def dumped(parts: Mapping[str, Mapping[str, Pin]]) -> str:
    document = tomlkit.document()
    for line in ABOUT:
        document.add(tomlkit.comment(line))
    for part, rows in parts.items():
        section = tomlkit.table()
        for name, pin in rows.items():
            row = tomlkit.inline_table()
            row.update({"sha256": pin.sha256, "source": pin.source})
            section.add(name, row)
        document.add(tomlkit.nl())
        document.add(part, section)
    return tomlkit.dumps(document)


if __name__ == "__main__":
    sys.exit(main())
