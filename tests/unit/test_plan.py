"""The plan: units in the order of their needs, offers merged, the same for the same settings."""

from pathlib import Path

import pytest

from samsesh.errors import SamseshError
from samsesh.model import Endpoint, Offer, Probe, Route, Unit, merge
from samsesh.plan import in_order
from samsesh.registry import services

NOWHERE = Probe("http", Endpoint("127.0.0.1", 1))


def unit(name: str, *needs: str) -> Unit:
    return Unit(name, name, (name,), NOWHERE, needs=needs)


def test_needs_come_first() -> None:
    """A unit comes behind what it needs, and otherwise by name, however the list was."""
    units = [unit("c"), unit("b", "z"), unit("a", "b"), unit("z")]
    for given in (units, units[::-1]):
        names = [found.name for found in in_order(given)]
        assert names.index("z") < names.index("b") < names.index("a")
        assert names == [found.name for found in in_order(units)]


def test_a_circle_is_told() -> None:
    """Units that need each other in a circle are an error that names them."""
    with pytest.raises(SamseshError, match=r"in a circle: .*a"):
        in_order([unit("a", "b"), unit("b", "a")])


def test_offers_are_merged() -> None:
    """Lists are joined, documents are merged, of single things the first counts."""
    first = Offer(routes=(Route("api"),), well_known_client={"a": 1}, admin_api=Endpoint(socket=Path("/one")))
    second = Offer(
        routes=(Route("web"),), well_known_client={"b": 2}, admin_api=Endpoint(socket=Path("/two"))
    )
    both = merge([first, second])
    assert [route.listener for route in both.routes] == ["api", "web"]
    assert both.well_known_client == {"a": 1, "b": 2}
    assert both.admin_api == Endpoint(socket=Path("/one"))


def test_services_are_found_by_being_there() -> None:
    """Every module in services/ takes part, and has both functions of the contract."""
    names = [service.__name__.rpartition(".")[2] for service in services()]
    assert names == sorted(names)
    assert {"postgres", "synapse", "gateway", "welcome"} <= set(names)
    for service in services():
        assert callable(service.offer) and callable(service.units)
