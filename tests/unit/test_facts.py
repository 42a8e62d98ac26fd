"""What the machine is, and what it would have to be."""

from dataclasses import replace

import pytest

from samsesh.facts import NATIVE_PACKAGES, gather


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"system": "Darwin"}, "needs Linux; this is Darwin"),
        ({"libc": "musl"}, "this one has musl"),
        ({"libc": ""}, "needs a Linux with glibc"),
        ({"machine": "riscv64"}, "this is riscv64"),
        ({"versions": {}}, "packages are not installed: matrix-synapse"),
    ],
)
def test_platforms_without_the_packages(change: dict[str, object], words: str) -> None:
    """Where the native engine cannot run, one sentence says what it needs and what this is."""
    here = replace(
        gather(), system="Linux", libc="glibc", machine="x86_64", versions=dict.fromkeys(NATIVE_PACKAGES, "1")
    )
    assert here.native_obstacle() == ""
    assert words in replace(here, **change).native_obstacle()  # type: ignore[arg-type]


def test_this_machine() -> None:
    """What the tests run on can run the native engine, and loopback is known."""
    facts = gather()
    assert facts.native_obstacle() == ""
    assert "127.0.0.1" in facts.loopback
    assert facts.memory > 256 * 1024 * 1024
    assert {"postgres", "initdb", "pg_dump", "pg_restore", "caddy", "python"} <= facts.programs.keys()
