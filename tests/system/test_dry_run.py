"""`up --dry-run` through a server's life: what it shows is what `up` would do, and it leaves nothing behind."""

from collections.abc import Callable

import pytest

from conftest import SERVICES, Stack
from system.trouble import fine


def preview(own: Stack) -> tuple[set[str], set[str]]:
    """(units that would be started, names of files that would be written)."""
    done = fine(own.cli("up", "--dry-run", "--port-offset", str(own.offset)))
    words = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    nothing = done.stdout.strip().endswith("Nothing to do.")
    acting = {line[1].split()[0] for line in words if line[0] in ("start", "restart", "stop")}
    written = {line[1].rpartition("/")[2] for line in words if line[0] == "write"}
    assert nothing == (not acting and not written), done.stdout
    return acting, written


@pytest.mark.native
@pytest.mark.slow
def test_the_dry_run_through_a_servers_life(new_home: Callable[[str], Stack]) -> None:
    """Everything in an empty home, nothing while the server runs, and the starts alone once it is stopped."""
    own = new_home('dry run\'s "Büro" 50% $x\\;#')  # characters that need care in every syntax, and work
    units = set(SERVICES)
    acting, written = preview(own)
    assert acting == units
    assert {"homeserver.yaml", "caddy.json", "postgresql.conf", "pgpass", "supervisord.conf"} <= written
    assert own.home.empty
    own.up()
    assert {f"{unit}.log" for unit in units} <= {path.name for path in own.home.logs_dir.iterdir()}
    assert preview(own) == (set(), set())
    fine(own.cli("down"))
    assert preview(own) == (units, set())
