"""How the program speaks: results to standard output, progress and problems to standard error."""

import json
import sys
from typing import Any

from rich.console import Console

from samsesh.errors import SamseshError

console = Console(soft_wrap=True, highlight=False)
errors = Console(stderr=True, soft_wrap=True, highlight=False)


def say(text: str) -> None:
    """One line of progress."""
    errors.print(f"  {text}", style="dim", markup=False)


def warn(text: str) -> None:
    errors.print(f"! {text}", style="yellow", markup=False)


def print_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=1, ensure_ascii=False) + "\n")


def print_error(error: SamseshError) -> None:
    errors.print(f"samsesh: {error.message}", style="bold red", markup=False)
    if error.hint:
        errors.print(f"  {error.hint}", markup=False)
    if error.detail:
        errors.print(error.detail, style="dim", markup=False)
