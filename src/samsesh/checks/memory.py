"""Memory that is left for the services."""

from collections.abc import Mapping
from pathlib import Path

from samsesh.diagnosis import Patient, Result

TITLE = "memory"
KB = 1024
MB = 1024 * KB
SHORT = 200 * MB  # bytes; with less, the kernel soon ends the largest program, which is Synapse


async def check(patient: Patient) -> Result:
    text = Path("/proc/meminfo").read_text()
    used = sum(service["memory_bytes"] or 0 for service in (await patient.status())["services"])
    return judged(numbers(text), used)


def numbers(text: str) -> dict[str, int]:
    """/proc/meminfo (proc(5)) in bytes."""
    words = [line.split() for line in text.splitlines()]
    return {word[0].rstrip(":"): int(word[1]) * KB for word in words if len(word) > 1}


def judged(found: Mapping[str, int], used: int) -> Result:
    """`used`: bytes of this server's services."""
    free, swap = found.get("MemAvailable", 0), found.get("SwapFree", 0)
    seen = f"{free // MB} MB of {found.get('MemTotal', 0) // MB} MB are free, and {swap // MB} MB of swap"
    ours = f"this server uses {used // MB} MB"
    if free + swap < SHORT:
        advice = "end other programs, add memory or swap, or: samsesh config set synapse.cache_factor 0.25"
        return Result("warning", f"memory is short: {free // MB} MB are free", f"{seen}; {ours}", advice)
    return Result("ok", f"{seen}; {ours}")
