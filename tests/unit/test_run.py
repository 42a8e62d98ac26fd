"""Programs are started with a bounded time, tell how far they are, and end with us."""

import time
from pathlib import Path

import pytest

from samsesh.errors import SamseshError
from samsesh.run import follow, run, service_environment


def test_each_line_is_heard_as_it_comes() -> None:
    """Both outputs, the last line without its end included; nothing of our environment but what is passed on."""
    heard: list[str] = []
    script = "echo one; echo two >&2; printf 'three %s' \"$GIVEN$PYTEST_CURRENT_TEST\""
    follow(["sh", "-c", script], what="trying", timeout=20, env={"GIVEN": "x"}, heard=heard.append)
    assert heard == ["one", "two", "three x"]


def test_failure_tells_the_last_words(tmp_path: Path) -> None:
    """The exit code and what was written last; a program that is not there or is none is an error of ours too."""
    with pytest.raises(SamseshError, match=r"trying failed \(exit code 3\)") as caught:
        follow(["sh", "-c", "seq 100; exit 3"], what="trying", timeout=20)
    assert caught.value.detail.splitlines() == [str(number) for number in range(89, 101)]
    (tmp_path / "none").write_bytes(b"\x7fELF")
    (tmp_path / "none").chmod(0o755)
    for start in (
        lambda path: follow([path], what="trying", timeout=20),
        lambda path: run([path], what="trying"),
    ):
        with pytest.raises(SamseshError, match=r"trying failed: .*does not start: Exec format error"):
            start(tmp_path / "none")
    with pytest.raises(SamseshError, match=r"trying failed: .*nowhere does not start: No such file"):
        follow([tmp_path / "nowhere"], what="trying", timeout=20)


@pytest.mark.parametrize("silent", [True, False])
def test_what_takes_too_long_is_ended_with_all_it_started(tmp_path: Path, silent: bool) -> None:
    """Also a program that closed its output, and one whose children hold it open."""
    script = f"sleep 300 & echo $! >{tmp_path}/pid; {'exec >&- 2>&-;' if silent else ''} sleep 300"
    begun = time.monotonic()
    with pytest.raises(SamseshError, match="did not end within 1 s"):
        follow(["sh", "-c", script], what="trying", timeout=1)
    assert time.monotonic() - begun < 10
    child = Path("/proc", (tmp_path / "pid").read_text().strip(), "stat")
    end = time.monotonic() + 5
    while child.exists() and " Z " not in child.read_text() and time.monotonic() < end:
        time.sleep(0.02)
    assert not child.exists() or " Z " in child.read_text()


def test_services_do_not_follow_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever calls `up` from wherever: the same environment for services, so that nothing is restarted over it."""
    before = service_environment({"TZ": "UTC"})
    for name, value in {
        "PATH": "/root/.pyenv/bin",
        "LANG": "de_DE.UTF-8",
        "LC_ALL": "C",
        "TMPDIR": "/x",
    }.items():
        monkeypatch.setenv(name, value)
    assert service_environment({"TZ": "UTC"}) == before
    assert "/root" not in before["PATH"]
