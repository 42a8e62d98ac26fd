"""What the doctor makes of the agent's word."""

from typing import Any

import pytest

from samsesh.checks.certificates_handed_on import judged

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({}, "ok", "coturn"),
        ({"problem": "a is not the key of b"}, "failed", "a is not the key of b"),
        ({"handed_on": 0.0, "until": 0.0}, "warning", "chat.test"),
        ({"until": NOW - 1}, "failed", "has ended"),
    ],
)
def test_judgement(change: dict[str, Any], status: str, word: str) -> None:
    """Handed on is well; what is refused, still missing or over is told."""
    job = {"name": "coturn", "host": "chat.test", "handed_on": NOW - 60, "until": NOW + 86_400, "problem": ""}
    found = judged([{**job, **change}], NOW)
    assert found.status == status
    assert word in found.summary
    assert "never" not in found.seen


def test_an_agent_without_certificates() -> None:
    """One that only renews the relay has none to hand on."""
    assert judged([], NOW).status == "skipped"
