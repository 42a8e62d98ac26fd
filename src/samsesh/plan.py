"""The plan: what services offer, then what they run, from settings, secrets, facts and placement. Pure."""

from graphlib import CycleError, TopologicalSorter

from samsesh import registry
from samsesh.errors import SamseshError
from samsesh.model import Context, Plan, Unit, merge


def make_plan(context: Context) -> Plan:
    """Two passes over all services: offers first, since units are built from everybody's."""
    services = registry.services()
    offer = merge([service.offer(context) for service in services])
    units = [unit for service in services for unit in service.units(context, offer)]
    return Plan(units=in_order(units), offer=offer)


def in_order(units: list[Unit]) -> tuple[Unit, ...]:
    """Units so that each comes behind what it needs; otherwise by name, so that a plan is always the same."""
    by_name = {unit.name: unit for unit in sorted(units, key=lambda unit: unit.name)}
    sorter = TopologicalSorter({unit.name: unit.needs for unit in by_name.values()})
    try:
        order = list(sorter.static_order())
    except CycleError as error:
        raise SamseshError(f"services need each other in a circle: {' -> '.join(error.args[1])}") from None
    return tuple(by_name[name] for name in order)
