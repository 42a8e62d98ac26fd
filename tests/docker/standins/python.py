"""python: Debian's Python and pip under the names that the official image has."""

from docker.base import PYTHON
from docker.standin import StandIn

STAND_IN = StandIn(
    "python",
    PYTHON,
    'RUN ln -s /usr/bin/python3 /usr/local/bin/python\nCMD ["python3"]',
)
