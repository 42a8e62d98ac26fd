"""What a homeserver answers to a request about a delayed event, as far as it matters."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Answer:
    """The HTTP status, and the seconds that the homeserver wants us to wait, if it says so."""

    status: int
    retry_after: float | None


def retry_after(headers: Mapping[str, str], body: bytes) -> float | None:
    """The seconds to wait of a 429: `Retry-After` (seconds or a date), else Matrix's older `retry_after_ms`."""
    header = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    return _seconds(header) if header and _seconds(header) is not None else _from_body(body)


def _seconds(header: str) -> float | None:
    try:
        return _sane(float(header))
    except ValueError:
        pass
    try:
        return _sane(parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _from_body(body: bytes) -> float | None:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    said = found.get("retry_after_ms") if isinstance(found, dict) else None
    if not isinstance(said, int | float) or isinstance(said, bool):
        return None
    try:
        return _sane(float(said) / 1000)
    except OverflowError:
        return None


def _sane(seconds: float) -> float | None:
    return max(seconds, 0.0) if math.isfinite(seconds) else None
