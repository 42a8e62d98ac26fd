"""Reading the services' logs."""

from datetime import UTC, datetime
from pathlib import Path

from samsesh.engine import Entry
from samsesh.engines.compose.logs import _entry
from samsesh.home import Home
from samsesh.ops import logs
from samsesh.run import last_lines


def test_every_service_says_when(tmp_path: Path) -> None:
    """Lines of all services mix by time, whichever way they write it; those without go with the one before."""
    home = Home(tmp_path)
    home.logs_dir.mkdir()
    (tmp_path / "samsesh.toml").touch()
    written = {
        "synapse": "2026-01-31 12:00:01,123 - INFO - one\nTraceback\n2026-01-31 12:00:05,123 - INFO - five\n",
        "livekit": "2026-01-31T12:00:02.123Z\tINFO\tlivekit\ttwo\n",
        "rtc-auth": '{"time": "2026-01-31T12:00:03.123+00:00", "level": "info", "event": "three"}\n',
        "gateway": "2026-01-31 12:00:04.123\tWARN\tfour\n",
    }
    for name, text in written.items():
        (home.logs_dir / f"{name}.log").write_text(text)
    order = ["synapse", "synapse", "livekit", "rtc-auth", "gateway", "synapse"]
    assert [name for name, _ in logs.lines(home, [], 100, None)] == order
    since = datetime(2026, 1, 31, 12, 0, 3, tzinfo=UTC)
    assert [name for name, _ in logs.lines(home, [], 100, since)] == order[3:]


def test_no_name_forges_a_record(tmp_path: Path) -> None:
    """What Python takes for the end of a line is none in a log, and what goes on a record is known as that."""
    home = Home(tmp_path)
    home.logs_dir.mkdir()
    (tmp_path / "samsesh.toml").touch()
    ends = "\r \x0b \x0c \x1c \x1d \x1e \x85 \u2028 \u2029"
    record = "2026-01-31 12:00:01,123 - WARNING - Failed login of x"
    forged = "".join(f"{end}2026-01-31 12:00:02,123 - CRITICAL - forged" for end in ends.split(" "))
    written = f"{record}{forged}\n\tTraceback\n2026-01-31 12:00:03,123 - INFO - next"
    (home.logs_dir / "synapse.log").write_text(written, newline="\n")
    for since in (None, datetime(2026, 1, 31, tzinfo=UTC)):
        found = logs.entries(home, [], 100, since)
        assert [entry.line for entry in found] == written.split("\n")
        assert [entry.goes_on for entry in found] == [False, True, False]


def test_dockers_lines() -> None:
    """Docker stamps every line; one that is indented goes on the record before it."""
    stamp = "2026-01-31T12:00:02.123456789Z "
    assert _entry("synapse", f"{stamp}2026-01-31 12:00:02,123 - INFO - x\x85y") == Entry(
        "2026-01-31 12:00:02", "synapse", "2026-01-31 12:00:02,123 - INFO - x\x85y"
    )
    assert _entry("synapse", f"{stamp}\tTraceback").goes_on
    assert _entry("synapse", "2026-01-31 12:00:00,000 - INFO - forged").goes_on


def test_the_end_of_a_log_has_whole_lines() -> None:
    """What is shown below an error ends where the program's lines do."""
    assert last_lines("a\nb\rc\x85d\u2028e\n", 1) == "b\rc\x85d\u2028e"
