"""The one table of what published files and images have to be: SHA-256 by a file's name, or by an image's name and tag.

`pins.toml` beside this file holds it; `scripts/lock --releases` computes the values where the publishers can be reached.
A value holds whatever an address, a mirror or a list of checksums there says. An empty one is not known yet.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("pins.toml")


@dataclass(frozen=True)
class Pin:
    """`sha256` in hex, of a file or of an image's manifest; empty: not known. `source`: where the value comes from."""

    sha256: str
    source: str


@dataclass(frozen=True)
class Pins:
    """`files` by their names, which hold the version; `images` by `path:tag` as Docker is given it."""

    files: Mapping[str, Pin]
    images: Mapping[str, Pin]

    def file(self, name: str) -> str:
        """SHA-256 of a released file in hex; empty where it is not known."""
        return self.files[name].sha256 if name in self.files else ""

    def digest(self, image: str) -> str:
        """`sha256:...` of an image; empty where it is not known."""
        pin = self.images.get(image)
        return f"sha256:{pin.sha256}" if pin and pin.sha256 else ""


def read(table: Path | None = None) -> Pins:
    data = tomllib.loads((table or TABLE).read_text())
    return Pins(
        **{part: {name: Pin(**row) for name, row in data[part].items()} for part in ("files", "images")}
    )
