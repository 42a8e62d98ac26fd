"""coturn planned for a machine and a version that a test makes up."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from samsesh.engines.native.placement import NativePlacement
from samsesh.facts import gather
from samsesh.home import Home
from samsesh.load import validate
from samsesh.model import Context, Turn
from samsesh.secrets import preview
from samsesh.services import coturn


@dataclass(frozen=True)
class Placed(NativePlacement):
    """On a machine with these addresses."""

    mine: tuple[str, ...] = ()

    def own(self, address: str) -> bool:
        return address in self.mine


def context(
    tmp_path: Path, version: str, media: list[str], mine: tuple[str, ...] = (), turn: Any = None
) -> Context:
    home = Home(tmp_path)
    settings = validate({"calls": {"media_addresses": media}, "turn": turn or {}}, home)
    facts = replace(
        gather(), programs={"turnserver": "/usr/bin/turnserver"}, versions={"turnserver": version}
    )
    return Context(settings, preview(home), facts, Placed(home, settings, facts, mine=mine))


def configured(context: Context) -> tuple[Turn, dict[str, Any]]:
    offered = coturn.offer(context).turn
    assert offered
    conf = coturn.turnserver_conf(context, offered)
    return offered, {name: value for name, value in conf.items() if value not in (False, [])}
