"""New configuration is judged by the programs that are to run with it, before anything that runs is touched."""

from collections.abc import Iterable, Iterator
from itertools import takewhile

from samsesh.engine import Change, Say
from samsesh.errors import SamseshError
from samsesh.load import FREE
from samsesh.model import Context, Judge, Unit
from samsesh.ops.server import Server, placement
from samsesh.plan import make_plan
from samsesh.run import last_lines
from samsesh.write import holds


def must_pass(server: Server, changes: Iterable[Change], say: Say) -> list[str]:
    """Have every program judge its configuration where that changed. Gives warnings; raises with all that is refused.

    `changes`: what the engine is going to do.
    """
    if not (units := list(due(server, changes))):
        return []
    say(f"looking whether the new configuration is taken: {', '.join(unit.name for unit in units)}")
    context = Context(
        server.settings,
        server.secrets,
        server.facts,
        placement(server.home, server.settings, server.facts, judged=True),
    )
    plan = make_plan(context)
    warnings, refused = list[str](), list[SamseshError]()
    for unit in (plan.unit(unit.name) for unit in units):
        assert unit.judge is not None  # else it is not due
        judged = server.engine.judge(plan, unit, unit.judge, say)
        words = last_lines(judged.said)
        setting = setting_behind(unit.judge, words)
        if judged.taken:
            warnings += unread(unit, unit.judge, judged.said)
        elif setting or not unit.spare:  # a version that changed its mind keeps nothing else from starting
            refused.append(_refusal(unit, setting, words))
    if refused:
        *before, last = refused
        goes_on = "; what runs goes on as it is" if server.engine.running() else ""
        raise SamseshError(
            "\n".join([*(f"{error.message}\n  {error.hint}" for error in before), last.message + goes_on]),
            last.hint,
            detail="\n".join(error.detail for error in refused),
        )
    return warnings


def due(server: Server, changes: Iterable[Change]) -> Iterator[Unit]:
    """Units that can judge files and have others than before, or another version.

    A first start is judged if settings pass something to a program that we know nothing about. What can be spared is
    not judged while nothing runs: it keeps nothing from starting.
    """
    unknown = server.settings.extra.synapse or server.settings.synapse.appservices
    if not server.home.started and not unknown:
        return
    changes = list(changes)
    again = {change.unit for change in changes if change.action == "restart"}
    runs = any(change.action in ("restart", "keep") for change in changes)
    for unit in server.plan.units:
        if unit.judge is None or (unit.spare and not runs):
            continue
        files = [file for file in unit.judge.files if not file.live]
        if unit.name in again or not all(
            holds(server.engine.on_host(file.path), file.content) for file in files
        ):
            yield unit


def unread(unit: Unit, judge: Judge, said: str) -> list[str]:
    """Warnings of keys that somebody wrote and the program never looks at."""
    found = []
    for line in said.splitlines():
        word, _, rest = line.partition(" ")
        key, _, near = rest.partition(" ")
        table = ".".join(takewhile(lambda part: not part.isdigit(), key.split(".")))  # up to a list in it
        setting = judge.keys.get(table, "")
        if word == "unread" and setting.startswith(FREE):
            meant = f"; did you mean {near}?" if near else ""
            found.append(f"{setting}: the {unit.title} knows no {key}, and leaves it aside{meant}")
    return found


def setting_behind(judge: Judge, said: str) -> str:
    """The setting that a program's words are about: by the key before a colon, else by what is named first, else ""."""
    path = said.partition(":")[0].split(".")
    for end in range(len(path), 0, -1):
        if setting := judge.keys.get(".".join(path[:end])):
            return setting
    named = [(said.find(key), key) for key in judge.keys if key in said and key and not key.isalpha()]
    return judge.keys[min(named)[1]] if named else judge.keys.get("", "")


def _refusal(unit: Unit, setting: str, words: str) -> SamseshError:
    if not setting:
        return SamseshError(
            f"the {unit.title} does not take its new configuration",
            "its own words are below; change what they name, then: samsesh up",
            detail=words,
        )
    return SamseshError(
        f"{setting}: the {unit.title} does not take it",
        f"its own words are below; correct it, or take it away: samsesh config unset {setting}",
        detail=words,
    )
