"""Finds services, engines and checks by their being there: a new one is a new file."""

import pkgutil
from importlib import import_module
from types import ModuleType

import samsesh.services


def services() -> list[ModuleType]:
    """Modules of samsesh/services, by name; each has `offer(context)` and `units(context, offer)`."""
    return [import_module(f"samsesh.services.{name}") for name in names_in(samsesh.services)]


def checks() -> dict[str, ModuleType]:
    """Modules of samsesh/checks, by name; `diagnosis.py` says what each has. Found by name, since they lie above us."""
    package = import_module("samsesh.checks")
    return {name: import_module(f"samsesh.checks.{name}") for name in names_in(package)}


def names_in(package: ModuleType) -> list[str]:
    return sorted(found.name for found in pkgutil.iter_modules(package.__path__))
