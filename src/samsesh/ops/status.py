"""What runs, as data: one verdict, then each service."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from samsesh.engine import Seen
from samsesh.facts import gather
from samsesh.model import Off, Unit
from samsesh.ops import addresses
from samsesh.ops.server import Server

PARTS = {
    "calls": "calls",
    "call-page": "the page for calls",
    "turn": "the relay",
    "web-client": "Element Web",
}


def status(server: Server) -> dict[str, Any]:
    """The shape of `status --json`, without its `notes`: {"ok", "verdict", "server_name", "engine", "addresses",
    "services", "off"}.
    """
    found = server.engine.look(server.plan)
    services = [_service(unit, found[unit.name]) for unit in server.plan.units]
    bad = [service for service in services if service["state"] != "running"]
    off = server.plan.offer.off
    return {
        "ok": not bad,
        "verdict": _verdict(services, bad, without(off)),
        "server_name": server.settings.server.name,
        "engine": server.engine.name,
        "addresses": dict(server.plan.offer.addresses),
        "services": services,
        "off": [asdict(one) for one in off],
    }


def notes(server: Server) -> list[str]:
    """What else people should know, in sentences. It asks the DNS, and waits for two seconds at most."""
    found = [
        addresses.changed(server.home, server.settings, gather()),
        *(file.warning for file in server.files),
    ]
    return list(filter(None, found))


def without(off: Sequence[Off], failing: Sequence[str] = ()) -> str:
    """What is missing, and why, at the end of a sentence without its full stop; empty if nothing is.

    `failing`: titles of services that can be spared.
    """
    missing = [*(PARTS[one.name] for one in off), *(f"the {title}" for title in failing)]
    if not missing:
        return ""
    *others, last = missing
    reasons = "; ".join(dict.fromkeys(one.reason for one in off))
    return f", without {', '.join(others)}{' and ' * bool(others)}{last}{': ' * bool(reasons)}{reasons}"


def _verdict(services: list[dict[str, Any]], bad: list[dict[str, Any]], missing: str) -> str:
    if not bad:
        return f"All {len(services)} services are running{missing}."
    if len(bad) == len(services) and all(service["state"] == "stopped" for service in bad):
        return "The server is stopped. Start it: samsesh up"
    names = ", ".join(f"{service['name']} is {service['state']}" for service in bad)
    return f"Something is wrong: {names}. See: samsesh logs {bad[0]['name']}"


def _service(unit: Unit, found: Seen) -> dict[str, Any]:
    return {
        "name": unit.name,
        "title": unit.title,
        "state": found.state,
        "reason": found.reason,
        "pid": found.pid,
        "uptime_seconds": found.uptime,
        "memory_bytes": found.memory,
        "address": unit.address,
        "version": unit.version,
    }
