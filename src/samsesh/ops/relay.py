"""The relay whose packages we unpacked: nobody but us brings it up to date."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from samsesh.artifacts import turnserver
from samsesh.artifacts.turnserver.unpacked import Comparison, comparison
from samsesh.home import Home
from samsesh.load import load
from samsesh.ops import programs
from samsesh.ops.server import Server, open_server

UNIT = "coturn"


def renew(home: Home, environ: Mapping[str, str], say: Callable[[str], None]) -> bool:
    """Compare it with the distribution's, unpack that if it is another, and restart a relay that is older.

    True if it was restarted. Raises SamseshError if the distribution cannot be asked.
    """
    settings = load(home, environ).settings
    if turnserver.NAME not in programs.wanted(settings):
        return False
    search = programs.search(home, settings, say)
    if turnserver.renew(search) and (artifact := turnserver.at_hand(search)):
        with home.lock("renew-relay", say):
            programs.remember(home, {turnserver.NAME: programs.data(artifact)})
    with home.lock("renew-relay", say):
        server = open_server(home, environ)
        if not _runs_an_older(server):
            return False
        server.engine.restart(
            server.plan, [UNIT], say
        )  # as it was started last: settings that changed wait for `up`
        home.audit("renew-relay", version=server.facts.versions.get(turnserver.NAME, ""))
    return True


def unpacked(server: Server) -> Path | None:
    """The folder with the relay of these settings; None if it is somebody else's, or none."""
    about = server.home.state().get("artifacts", {}).get(turnserver.NAME)
    wanted = turnserver.NAME in programs.wanted(server.settings)
    return Path(about["path"]).parent if wanted and about and about.get("env") else None


def _runs_an_older(server: Server) -> bool:
    """Another server of this user may have renewed it: they share the folder."""
    folder = unpacked(server)
    record: Comparison | None = comparison(folder) if folder else None
    if record is None or UNIT not in {unit.name for unit in server.plan.units}:
        return False
    uptime = server.engine.look(server.plan)[UNIT].uptime
    return uptime is not None and time.time() - uptime < record.unpacked
