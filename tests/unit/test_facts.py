"""What the machine is, and what it would have to be."""

from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from programs import free_port
from samsesh.engines.native import kept
from samsesh.errors import SamseshError
from samsesh.facts import NATIVE_PACKAGES, gather
from samsesh.model import Database, File, Offer, Plan
from samsesh.run import run


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


def test_programs_of_postgresql_speak_tls(tmp_path: Path) -> None:
    """Those from PyPI were built without it, and would refuse a server elsewhere; ours are not asked to."""
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(authority)
    where: dict[str, str | int] = {"host": "127.0.0.1", "port": free_port(), "user": "a", "dbname": "b"}
    tls: dict[str, str | int] = {"sslmode": "verify-full", "sslrootcert": str(authority)}
    passfile = File(tmp_path / "pgpass", b"")
    elsewhere = Plan((), Offer(database=Database({**where, **tls}, passfile, unit=None)))
    for tool in ("pg_dump", "psql"):
        command, env = kept.postgres_tool(gather(), elsewhere, tool)
        with pytest.raises(SamseshError) as refused:
            run([*command, "--no-password"], env=env)
        assert "Connection refused" in refused.value.detail
    ours = Plan((), Offer(database=Database(where, passfile, unit="postgres")))
    assert "LD_PRELOAD" not in kept.postgres_tool(gather(), ours, "pg_dump")[1]
