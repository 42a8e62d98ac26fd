"""What tests need of a machine: one list, and one way in which a test that lacks something does not run."""

from collections.abc import Callable

import pytest

from programs import missing, need, packages


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing is installed."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("SAMSESH_TEST_MISSING", raising=False)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("lacking", [lambda: need("nft"), lambda: missing("nftables")])
def test_what_is_missing_skips_a_test_and_fails_it_in_ci(
    lacking: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason names the package. Once, .ci/run passed with tests that skipped for want of one."""
    with pytest.raises(pytest.skip.Exception, match="nftables"):
        lacking()
    monkeypatch.setenv("SAMSESH_TEST_MISSING", "fail")
    with pytest.raises(pytest.fail.Exception, match="nftables"):
        lacking()


@pytest.mark.usefixtures("bare")
def test_a_program_that_is_in_no_list_is_no_reason_to_skip() -> None:
    """So that scripts/programs installs all that tests ask for."""
    with pytest.raises(KeyError):
        need("no-such-program")


def test_the_mark_asks_for_programs_of_the_list(request: pytest.FixtureRequest) -> None:
    """Every test's mark `needs` names what scripts/programs knows."""
    marks = [mark for item in request.session.items for mark in item.iter_markers("needs")]
    assert {name for mark in marks for name in mark.args} <= packages().keys()
