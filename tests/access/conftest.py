"""A network of its own for a public server, and an authority that its machine trusts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from access.network import Network, network
from access.public import OWN


@pytest.fixture(scope="module")
def folder(homes: Path, request: pytest.FixtureRequest) -> Path:
    made = homes / f"public-{request.path.stem}"
    made.mkdir(mode=0o755)
    return made


@pytest.fixture(scope="module")
def net(folder: Path) -> Iterator[Network]:
    with network(folder, f"{OWN}/24") as made:
        yield made


@pytest.fixture(scope="module")
def ca(folder: Path) -> trustme.CA:
    """An authority that the server's machine trusts."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(folder / "root.pem"))
    (folder / "root.pem").chmod(0o644)
    return made
