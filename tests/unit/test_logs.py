"""Reading the services' logs."""

from datetime import UTC, datetime
from pathlib import Path

from samsesh.home import Home
from samsesh.ops import logs


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
