"""Where all services share a host by path: what is told apart by paths and ports, again for every kind of proxy."""

import pytest

from proxies.test_proxies import (
    test_calls,
    test_discovery,
    test_federation,
    test_pages,
    test_plain_http_leads_to_https,
    test_what_is_not_there,
)

__all__ = [
    "test_calls",
    "test_discovery",
    "test_federation",
    "test_pages",
    "test_plain_http_leads_to_https",
    "test_what_is_not_there",
]
pytestmark = pytest.mark.slow
SINGLE = "one.example.test"
