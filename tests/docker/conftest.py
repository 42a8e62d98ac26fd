"""One Docker engine for the session, and upstream's images in it, as stand-ins."""

from collections.abc import Iterator

import pytest

from docker.engine import Engine, running
from docker.images import ensure_all
from samsesh.facts import outward_addresses


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with running() as found:
        yield found


@pytest.fixture(scope="session")
def images(engine: Engine) -> dict[str, str]:
    """Name in our table -> the image, which is there: stand-ins of all that upstream publishes, and ours."""
    return ensure_all(engine)


@pytest.fixture(scope="session")
def address() -> str:
    """One of this machine's that is not loopback."""
    for found in outward_addresses():
        if ":" not in found:
            return found
    pytest.skip("this machine has no IPv4 address but loopback")
