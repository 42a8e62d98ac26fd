"""The doctor's runner: needs, times, broken checks, what is told, and what is new since the last time."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samsesh import diagnosis
from samsesh.cli import output
from samsesh.cli.doctor import print_outcomes, verdict
from samsesh.diagnosis import Check, NeedError, Outcome, Patient, Result, aside, choose, examine
from samsesh.errors import USAGE, SamseshError, SettingsError
from samsesh.home import Home
from samsesh.ops import doctor_history

STATUSES = ("ok", "warning", "failed", "skipped")


def patient() -> Patient:
    return Patient(cast("Any", SimpleNamespace()))


def gives(result: Any, after: float = 0) -> Callable[[Patient], Awaitable[Any]]:
    async def check(patient: Patient) -> Any:
        await asyncio.sleep(after)
        if isinstance(result, BaseException):
            raise result
        return result

    return check


def made(
    id_: str, result: Any = None, *, needs: tuple[str, ...] = (), seconds: float = 5, **more: Any
) -> Check:
    return Check(id_, id_, gives(result or Result("ok", "fine"), **more), needs, seconds=seconds)


def run(*checks: Check) -> dict[str, Outcome]:
    return {one.check.id: one for one in asyncio.run(examine(patient(), choose(checks)))}


def test_all_run_at_once() -> None:
    """Checks do not wait for each other unless they need to, and each has its own time."""
    began = time.monotonic()
    found = run(*(made(f"c{number}", after=0.3) for number in range(20)))
    assert time.monotonic() - began < 1.5
    assert all(0.3 <= one.seconds < 1 for one in found.values())


@pytest.mark.parametrize(
    ("status", "runs"), [("ok", True), ("warning", True), ("failed", False), ("skipped", False)]
)
def test_a_check_runs_when_what_it_needs_is_good(status: Any, runs: bool) -> None:
    """Ok and warning are good enough; else it is skipped and says for what, and so is what needs it in turn."""
    found = run(made("a", Result(status, "so")), made("b", needs=("a",)), made("c", needs=("b",)))
    assert found["b"].result.status == ("ok" if runs else "skipped")
    if not runs:
        assert found["b"].result.summary == "needs a" and found["c"].result.summary == "needs b"
        assert found["b"].seconds == 0


def test_a_check_that_hangs_has_failed_and_cleans_up() -> None:
    """Its time is over, it may tidy up, and nobody waits for one that does not end."""
    tidied: list[str] = []

    async def hangs(patient: Patient) -> Result:
        try:
            await asyncio.sleep(60)
        finally:
            tidied.append("yes")
        return Result("ok", "never")

    async def blocks(patient: Patient) -> Result:
        await aside(lambda: time.sleep(3))
        return Result("ok", "never")

    began = time.monotonic()
    found = run(Check("h", "h", hangs, seconds=0.2), Check("b", "b", blocks, seconds=0.2), made("x"))
    assert time.monotonic() - began < 2
    assert tidied == ["yes"]
    for id_ in ("h", "b"):
        assert found[id_].result.status == "failed"
        assert "not done within 0.2 s" in found[id_].result.summary
    assert found["x"].result.status == "ok"


def test_a_broken_check_is_told_as_such_without_its_words() -> None:
    """The kind of the error and where it was, never its text, which could hold a secret; the others go on."""
    found = run(
        made("a", KeyError("hunter2")), made("b", "no result"), made("c"), made("d", asyncio.CancelledError())
    )
    assert "defect (KeyError)" in found["a"].result.summary
    assert "test_diagnosis.py, line" in found["a"].result.seen
    assert "hunter2" not in str(found["a"].data())
    assert "defect (str)" in found["b"].result.summary
    assert "defect (CancelledError)" in found["d"].result.summary
    assert [found[id_].result.status for id_ in "abcd"] == ["failed", "failed", "ok", "failed"]


def test_an_error_of_ours_is_a_finding() -> None:
    """A SamseshError says what is wrong and what to do, as everywhere."""
    found = run(made("a", SamseshError("the server is not running", "start it: samsesh up", detail="log")))[
        "a"
    ]
    assert found.result == Result("failed", "the server is not running", "log", "start it: samsesh up")


def test_what_lacks_its_ground_is_skipped() -> None:
    """A check may find out itself that it cannot look: that is no failure of its own."""
    assert run(made("a", NeedError("needs light")))["a"].result == Result("skipped", "needs light")


def test_one_entry_of_the_json() -> None:
    """The fields that programs rely on are there, in their types."""
    data = run(made("a", Result("warning", "s", "x", "do")))["a"].data()
    seconds = data.pop("seconds")
    assert isinstance(seconds, float)
    expected = {"id": "a", "title": "a", "status": "warning", "summary": "s", "seen": "x", "advice": "do"}
    assert data == expected


def test_checks_that_need_each_other_are_refused() -> None:
    """A circle is an error, not a wait without end; so is a need that is nobody's name."""
    with pytest.raises(SettingsError, match="circle"):
        choose([made("a", needs=("b",)), made("b", needs=("a",))])
    with pytest.raises(SettingsError, match="no check 'gone'"):
        choose([made("a", needs=("gone",))])


CHECKS = [
    made("disk"),
    made("services"),
    Check("calls-media", "", gives(None), ("calls-token",), ("calls",)),
    Check("calls-token", "", gives(None), ("services",), ("calls",)),
    Check("turn-relay", "", gives(None), (), ("turn", "calls")),
    Check("calls-hours", "", gives(None), (), ("long",)),  # only if it is named
]


@pytest.mark.parametrize(
    ("groups", "ids", "chosen"),
    [
        ([], [], ["calls-media", "calls-token", "disk", "services", "turn-relay"]),
        (["calls"], [], ["calls-media", "calls-token", "services", "turn-relay"]),
        (["turn"], [], ["turn-relay"]),
        (["basics"], [], ["disk", "services"]),
        (["disk"], [], ["disk"]),
        ([], ["disk", "calls-token"], ["calls-token", "disk", "services"]),
        (["turn"], ["disk"], ["disk", "turn-relay"]),
        (["turn", "long"], [], ["calls-hours", "turn-relay"]),
        ([], ["calls-hours"], ["calls-hours"]),
    ],
)
def test_what_is_chosen(groups: list[str], ids: list[str], chosen: list[str]) -> None:
    """Groups, ids, and what those need, by id."""
    assert [check.id for check in choose(CHECKS, groups, ids)] == chosen


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    """Exit code 2 and the right spelling."""
    for groups, ids, near in ((["cals"], [], "calls"), ([], ["dsik"], "disk")):
        with pytest.raises(SettingsError) as refused:
            choose(CHECKS, groups, ids)
        assert refused.value.code == USAGE
        assert near in refused.value.hint
    with pytest.raises(SettingsError) as refused:
        choose(CHECKS, ["xyzzy"])
    assert "turn-relay" in refused.value.hint


@given(st.dictionaries(st.integers(0, 11), st.tuples(st.sets(st.integers(0, 11)), st.sampled_from(STATUSES))))
def test_nothing_runs_on_what_is_not_good(graph: dict[int, tuple[set[int], Any]]) -> None:
    """Whatever needs what: a check is asked exactly when all that it needs is good, and everyone has an outcome."""
    checks = [
        made(
            f"c{id_}",
            Result(status, "so"),
            needs=tuple(f"c{need}" for need in sorted(needs) if need < id_ and need in graph),
        )
        for id_, (needs, status) in graph.items()
    ]
    told: list[Outcome] = []
    outcomes = asyncio.run(examine(patient(), choose(checks), told.append))
    assert (
        {one.check.id for one in outcomes} == {check.id for check in checks} == {one.check.id for one in told}
    )
    by = {one.check.id: one.result for one in outcomes}
    for one in outcomes:
        good = all(by[need].status in diagnosis.GOOD for need in one.check.needs)
        assert (one.result.summary == "so") == good
        assert told.index(one) > max(
            (told.index(o) for o in told if o.check.id in one.check.needs), default=-1
        )


def test_what_is_learnt_once_outlives_the_one_who_asked_first() -> None:
    """Shared facts are asked for once; a check that runs out of time does not take them from the others."""
    asked: list[int] = []

    async def learn() -> str:
        asked.append(1)
        await asyncio.sleep(0.3)
        return "known"

    async def check(patient: Patient) -> Result:
        return Result("ok", await patient.once("fact", learn))

    found = run(Check("a", "", check, seconds=0.1), Check("b", "", check), Check("c", "", check))
    assert [found[id_].result.status for id_ in "abc"] == ["failed", "ok", "ok"]
    assert found["c"].result.summary == "known" and asked == [1]


def test_what_nobody_waits_for_any_more_fails_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    """On a machine that is too busy a shared question may fail after all who asked gave up: no traceback."""

    async def learn() -> str:
        await asyncio.sleep(0.1)
        raise SamseshError("no answer")

    async def check(patient: Patient) -> Result:
        return Result("ok", await patient.once("fact", learn))

    async def other(patient: Patient) -> Result:
        await asyncio.sleep(0.3)
        return Result("ok", "")

    run(Check("a", "", check, seconds=0.05), Check("b", "", other))
    gc.collect()
    assert not caplog.records


def test_what_checks_share_is_closed_at_the_end() -> None:
    """Connections that checks open for each other are closed after the last one."""
    closed: list[str] = []

    async def check(patient: Patient) -> Result:
        patient.tidy.callback(closed.append, "closed")
        return Result("ok", f"{closed}")

    assert run(Check("a", "", check))["a"].result.summary == "[]" and closed == ["closed"]


def test_every_check_of_ours_is_well_formed() -> None:
    """Each file in checks/ has a title and needs that are there; a whole examination may take 20 s."""
    checks = diagnosis.all_checks()
    assert {"services", "versions", "disk", "clock", "database", "well-known", "secrets"} <= {
        c.id for c in checks
    }
    for check in choose(checks):
        assert check.title and check.groups and 0 < check.seconds <= 20


def test_what_is_new_since_last_time(tmp_path: Path) -> None:
    """Per check: worse, better; what was skipped is neither, and does not hide what was found before."""
    home = Home(tmp_path)
    assert doctor_history.last(home) is None
    doctor_history.keep(home, {"a": "ok", "b": "failed", "c": "failed", "gone": "ok", "d": "skipped"})
    assert (tmp_path / "doctor.json").stat().st_mode & 0o777 == 0o600
    before = doctor_history.last(home)
    assert before and (datetime.now(UTC) - before.time).total_seconds() < 60
    changes = doctor_history.compare(
        before, {"a": "warning", "b": "warning", "c": "skipped", "d": "ok", "new": "failed"}
    )
    assert (changes.worse, changes.better) == (("a", "new"), ("b",))
    doctor_history.keep(home, {"a": "ok", "b": "ok", "c": "skipped", "d": "ok"})
    after = doctor_history.last(home)
    assert after and after.checks == {"a": "ok", "b": "ok", "c": "failed", "d": "ok"}
    assert doctor_history.compare(after, {"c": "ok"}).better == ("c",)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"time": 1}', '{"time": "2026-01-01", "checks": [1]}', "[" * 10_000]
)
def test_a_damaged_memory_is_no_memory(tmp_path: Path, text: str) -> None:
    """What was found last time is a convenience: broken, it is forgotten."""
    (tmp_path / "doctor.json").write_text(text)
    assert doctor_history.last(Home(tmp_path)) is None
    doctor_history.keep(Home(tmp_path), {"a": "ok"})
    assert doctor_history.last(Home(tmp_path))


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        (["ok", "ok"], "All is well: 2 checks."),
        (["ok"], "All is well: 1 check."),
        (["ok", "warning"], "Nothing failed; 1 warning."),
        (["ok", "skipped"], "Nothing failed; 1 skipped."),
        (["failed", "ok", "failed"], "2 of 3 checks failed: c0, c2."),
        (["failed", "warning", "warning", "skipped"], "1 of 4 checks failed: c0 and 2 warnings, 1 skipped."),
    ],
)
def test_the_verdict(statuses: list[Any], told: str) -> None:
    """All in one sentence."""
    outcomes = [Outcome(made(f"c{n}"), Result(status, "")) for n, status in enumerate(statuses)]
    assert verdict(outcomes) == told


def test_problems_are_printed_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Failed, then warnings, then what is well; what was skipped is one line, with its reason if it is alone."""
    outcomes = list(
        run(
            made("c1"),
            made("c2", Result("failed", "it is broken", "a log", "do this")),
            made("c3", needs=("c2",)),
            made("c4", Result("warning", "it is old", advice="do that")),
            made("c5", needs=("c2",)),
        ).values()
    )
    written = StringIO()
    monkeypatch.setattr(output, "console", output.Speaker(file=written, width=200))
    print_outcomes(cast("Any", None), outcomes, None)
    _, *lines = written.getvalue().splitlines()
    assert [" ".join(line.split()) for line in lines[:-1]] == [
        *(
            "failed c2 it is broken",
            "a log",
            "-> do this",
            "warning c4 it is old",
            "-> do that",
            "ok c1 fine",
        ),
    ]
    assert lines[-1].startswith("skipped c3, c5 (why: ") and "doctor --only c3" in lines[-1]
    print_outcomes(cast("Any", None), outcomes[:3], None)
    assert "c2" in written.getvalue().splitlines()[-1]
