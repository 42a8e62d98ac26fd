"""One Docker engine for the session, and upstream's images in it, as stand-ins."""

from collections.abc import Iterator

import pytest

from docker.engine import Engine, running
from docker.images import ensure_all


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with running() as found:
        yield found


@pytest.fixture(scope="session")
def images(engine: Engine) -> dict[str, str]:
    """Name in our table -> the image, which is there: stand-ins of all that upstream publishes, and ours."""
    return ensure_all(engine)
