"""What the basic checks make of what they see: limits, odd machines, wrong answers."""

import asyncio
import os
import socket
import time
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from samsesh import home, pins
from samsesh.artifacts import livekit
from samsesh.cache import Artifact, Origin
from samsesh.checks import (
    backup,
    clock,
    database,
    disk,
    logs,
    memory,
    origins,
    ports,
    secrets,
    versions,
    well_known,
)
from samsesh.checks.ports import Place
from samsesh.engine import Entry
from samsesh.engines.native.logs import stamp_of
from samsesh.ops import programs
from samsesh.settings import Settings

MB = 1024 * 1024
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("free", "size", "files_free", "files", "status"),
    [
        (50_000, 100_000, 90_000, 100_000, "ok"),
        (50_000, 100_000, 0, 0, "ok"),  # btrfs counts no files
        (2047, 10_000, 90_000, 100_000, "warning"),
        (2049, 10_000, 90_000, 100_000, "ok"),
        (9_999, 100_000, 90_000, 100_000, "warning"),
        (511, 2_000, 90_000, 100_000, "failed"),
        (50_000, 100_000, 5_000, 100_000, "warning"),
        (50_000, 100_000, 999, 100_000, "failed"),
    ],
)
def test_room(free: int, size: int, files_free: int, files: int, status: str) -> None:
    """Less than 2 GB or a tenth is a warning, less than 512 MB is too little; files run out as room does."""
    fine = disk.Disk(Path("/"), 50_000 * MB, 100_000 * MB, 90_000, 100_000)
    found = disk.judged([fine, disk.Disk(Path("/srv/chat"), free * MB, size * MB, files_free, files)])
    assert found.status == status
    if status != "ok":
        assert "/srv/chat" in found.summary and "du -xh" in found.advice


def test_every_disk_of_a_home_is_looked_at_once(tmp_path: Path) -> None:
    """Folders on the same file system are one; what is not there yet is left out."""
    found = disk.disks((tmp_path, tmp_path / "none", tmp_path, Path("/proc")))
    assert [one.path for one in found] == [tmp_path, Path("/proc")]


def test_memory() -> None:
    """Short memory is a warning, with what this server uses of it."""
    text = Path("/proc/meminfo").read_text()
    assert 0 < memory.numbers(text)["MemAvailable"] <= memory.numbers(text)["MemTotal"]
    assert memory.judged({"MemTotal": 4000 * MB, "MemAvailable": 900 * MB}, 300 * MB).status == "ok"
    short = memory.judged({"MemTotal": 1000 * MB, "MemAvailable": 90 * MB, "SwapFree": 10 * MB}, 300 * MB)
    assert short.status == "warning" and "300 MB" in short.seen
    assert memory.judged({"MemAvailable": 90 * MB, "SwapFree": 1000 * MB}, 0).status == "ok"


@pytest.mark.parametrize(
    ("seen", "status", "told"),
    [
        (clock.Clock(NOW, NOW - 5, True, NOW), "ok", "kept right"),
        (clock.Clock(NOW, NOW - 5, None, None), "ok", "nobody here knows"),
        (clock.Clock(NOW, NOW - 5, False, NOW + 1), "warning", "nothing keeps"),
        (clock.Clock(NOW, NOW - 5, True, NOW + 400), "warning", "400 s apart"),
        (clock.Clock(NOW, NOW - 5, True, NOW + 2 * 3600 + 3), "ok", "kept right"),  # local time
        (clock.Clock(NOW, NOW + 600, True, NOW), "failed", "later before"),
        (clock.Clock(86_400.0, 0, True, None), "failed", "long past"),
    ],
)
def test_the_clock(seen: clock.Clock, status: str, told: str) -> None:
    """An old clock or one that went back is wrong; one that nothing keeps right is a warning."""
    found = clock.judged(seen)
    assert (found.status, told in found.summary) == (status, True), found
    assert bool(found.advice) == (status != "ok")


def test_the_kernel_is_asked_and_not_told() -> None:
    """The kernel's own word is read as `adjtimex --print` reads it; the clock stays as it is."""
    before = time.time() - time.monotonic()
    assert clock.synchronized() in (True, False, None)
    assert abs(time.time() - time.monotonic() - before) < 0.1


@given(st.floats(0, 4e9), st.floats(-1e5, 1e5))
def test_two_clocks_are_at_most_half_a_quarter_apart(now: float, off: float) -> None:
    """However a hardware clock differs, by whole quarters of an hour it may."""
    assert 0 <= clock.apart(now, now + off) <= clock.QUARTER / 2 + 1e-3


@pytest.mark.parametrize(
    ("answer", "status", "told"),
    [
        (database.Answer(("UTF8", "C", "C"), 18, 30 * MB, 11, 60), "ok", "11 of 60"),
        (database.Answer(("UTF8", "en_US.UTF-8", "C"), 18, 30 * MB, 11, 60), "failed", "en_US"),
        (database.Answer(("SQL_ASCII", "C", "C"), 18, 30 * MB, 11, 60), "failed", "SQL_ASCII"),
        (database.Answer(("UTF8", "C", "C"), 18, 30 * MB, 50, 60), "warning", "50 of 60"),
        (database.Answer(("UTF8", "C", "C"), 19, 30 * MB, 11, 60), "warning", "PostgreSQL 19"),
    ],
)
def test_the_database(answer: database.Answer, status: str, told: str) -> None:
    """Encoding and locale must be what Synapse needs; connections that run out are a warning."""
    found = database.judged(answer, "synapse", ours=True)
    assert found.status == status and told in found.summary


def test_the_age_of_a_backup() -> None:
    """None, or older than a week: a warning with the command."""
    day = 86_400
    assert backup.judged((NOW - 2 * day, "/b.tar"), NOW).status == "ok"
    for newest in (None, (NOW - 8 * day, "/b.tar")):
        found = backup.judged(newest, NOW)
        assert found.status == "warning" and "samsesh backup create" in found.advice


def test_a_backup_that_lacks_something(tmp_path: Path) -> None:
    """The newest one counts, wherever it was written: what was left out of it is a warning until there is a whole one."""
    here = home.Home(tmp_path)
    for path, left_out in (("/mnt/a.tar", "2"), ("/mnt/b.tar", "0")):
        here.audit("backup create", path=path, left_out=left_out)
    here.audit("backup create", "failed", path="/mnt/c.tar")
    assert [entry[1:] for entry in backup.logged(here)] == [("/mnt/a.tar", 2), ("/mnt/b.tar", 0)]
    here.remember(server_name="a.test")
    patient: Any = SimpleNamespace(server=SimpleNamespace(home=here))
    assert asyncio.run(backup.check(patient)).status == "ok"
    here.audit("backup create", path="/mnt/d.tar", left_out="2")
    found = asyncio.run(backup.check(patient))
    assert found.status == "warning" and "without 2 things" in found.summary and "verify" in found.advice


def test_errors_in_logs() -> None:
    """Lines of the level ERROR and above count, of the last ten minutes; words of people and old lines do not."""

    def at(ago: int) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(NOW - ago))

    lines = [
        ("synapse", f"{at(5)},123 - synapse.http - 42 - ERROR - GET-1 - it broke"),
        ("postgres", f"{at(5)}.12 [77] FATAL:  out of room"),
        ("gateway", f"{at(5)}.123\tERROR\thttp\tdialing"),
        ("synapse", f"{at(5)},123 - synapse.access - 42 - INFO - GET-1 - agent: x - ERROR spotted"),
        ("synapse", f"{at(700)},123 - synapse.http - 42 - ERROR - GET-1 - long ago"),
        ("postgres", f"{at(5)}.12 [77] FATAL:  the database system is starting up"),
        ("postgres", f"{at(5)}.12 [77] ERROR:  could not serialize access due to concurrent update"),
        ("livekit", f"{at(5).replace(' ', 'T')}.123Z\tERROR\tlivekit\tit broke"),
        ("livekit", f"{at(700).replace(' ', 'T')}.123Z\tERROR\tlivekit\tlong ago"),
        ("rtc-auth", f'{{"time": "{at(5).replace(" ", "T")}.1+00:00", "level": "error", "event": "defect"}}'),
        (
            "rtc-auth",
            f'{{"time": "{at(700).replace(" ", "T")}.1+00:00", "level": "error", "event": "defect"}}',
        ),
        ("rtc-auth", f'{{"time": "{at(5).replace(" ", "T")}.1+00:00", "level": "info", "event": "error"}}'),
        ("synapse", "Traceback - ERROR - "),
    ]
    found = logs.errors([Entry(stamp_of(line), name, line) for name, line in lines], NOW)
    assert [name for name, _ in found] == ["synapse", "postgres", "gateway", "livekit", "rtc-auth"]
    assert logs.judged([]).status == "ok"
    told = logs.judged(found)
    assert told.status == "warning" and "--since 10m" in told.advice


def test_private_things(tmp_path: Path) -> None:
    """Open files and folders, links and others' files are told with the command that mends each."""
    for name, mode in (("good", 0o600), ("open file", 0o640)):
        (tmp_path / name).write_text("x")
        (tmp_path / name).chmod(mode)
    (tmp_path / "folder").mkdir(mode=0o711)
    (tmp_path / "link").symlink_to(tmp_path / "good")
    paths = [tmp_path / name for name in ("good", "open file", "folder", "link", "none")]
    found = dict(secrets.problems([*paths, *paths]))
    assert len(found) == 3
    assert f"chmod 600 '{tmp_path}/open file'" in found.values()
    assert f"chmod 700 {tmp_path}/folder" in found.values()
    if os.geteuid() == 0:
        os.chown(tmp_path / "good", 65534, 65534)
        ((told, advice),) = secrets.problems([tmp_path / "good"])
        assert "belongs to nobody" in told and "chown root:" in advice


def answer(status: int = 200, body: str = '{"a":1}', **headers: str) -> httpx2.Response:
    usual = {"Access-Control-Allow-Origin": "*", "Content-Type": "application/json"}
    given_ = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, headers={**usual, **given_}, text=body)


@pytest.mark.parametrize(
    ("found", "wanted", "told"),
    [
        (answer(), {"a": 1}, ""),
        (answer(404), {}, ""),
        (answer(404), {"a": 1}, "HTTP status 404, not 200"),
        (answer(), {}, "HTTP status 200, not 404"),
        (answer(body="<html>"), {"a": 1}, "no JSON"),
        (answer(body='{"a":2,"b":3}'), {"a": 1}, "a, b is not"),
        (answer(Content_Type="text/html"), {"a": 1}, "application/json"),
        (answer(Access_Control_Allow_Origin="https://x.example"), {"a": 1}, "1 times"),
        (httpx2.Response(200, json={"a": 1}), {"a": 1}, "0 times"),
        (
            httpx2.Response(200, headers=[("Access-Control-Allow-Origin", "*")] * 2, json={"a": 1}),
            {"a": 1},
            "2 times",
        ),
    ],
)
def test_discovery_documents(found: httpx2.Response, wanted: Mapping[str, Any], told: str) -> None:
    """JSON as the settings say, and one CORS header: a second one, as proxies add, breaks web clients."""
    problem = well_known.problem_of(found, wanted)
    assert told in problem and bool(problem) == bool(told)


def test_what_a_homeserver_must_offer() -> None:
    """Delayed events, sliding sync and a new enough Matrix are looked for."""
    features = dict.fromkeys(versions.FEATURES, True)
    assert versions.lacking({"versions": ["v1.10", "v1.11"], "unstable_features": features}) == []
    found = versions.lacking(
        {"versions": ["v1.1"], "unstable_features": {**features, "org.matrix.msc4140": False}}
    )
    assert "v1.11" in found[0] and "msc4140" in found[1]


def place(address: str, port: int, protocol: str = "tcp") -> Place:
    return Place(protocol, ip_address(address), port)


def test_addresses_of_the_kernel_are_read_right() -> None:
    """A socket that really listens is found where it listens, over IPv4, IPv6 and UDP."""
    kinds = [
        (socket.AF_INET, socket.SOCK_STREAM, "127.0.0.1"),
        (socket.AF_INET, socket.SOCK_DGRAM, "0.0.0.0"),
    ]
    if socket.has_ipv6:
        kinds.append((socket.AF_INET6, socket.SOCK_STREAM, "::1"))
    for family, kind, host in kinds:
        with socket.socket(family, kind) as one:
            one.bind((host, 0))
            if kind == socket.SOCK_STREAM:
                one.listen()
            expected = place(host, one.getsockname()[1], "udp" if kind == socket.SOCK_DGRAM else "tcp")
            inode = str(Path(f"/proc/self/fd/{one.fileno()}").readlink())[8:-1]
            assert (expected, os.geteuid(), inode) in set(ports._listening())
            assert inode in ports._sockets([os.getpid()])[0]
    assert ports.place_of("tcp", "0000000000000000FFFF00000100007F:1F90") == place("127.0.0.1", 8080)


def test_who_listens_where() -> None:
    """Missing, elsewhere, open to others, taken by others: each is told for what it is."""
    wanted = {place("127.0.0.1", 8080): ("gateway", "web"), place("::1", 8080): ("gateway", "web")}
    assert ports.missing(wanted, wanted) == []
    ((told, advice),) = ports.missing(wanted, [place("127.0.0.1", 8080)])
    assert "[::1]:8080 (ports.web)" in told and "samsesh restart gateway" in advice
    assert ports.missing(wanted, [place("0.0.0.0", 8080)]) == []  # told by elsewhere
    assert ports.elsewhere(wanted, set(wanted), local=True) == []
    ((told, _),) = ports.elsewhere([*wanted, place("0.0.0.0", 8080)], set(wanted), local=True)
    assert "reached from other machines" in told
    ((told, _),) = ports.elsewhere([place("127.0.0.1", 9)], set(wanted), local=True)
    assert "not planned" in told
    ((told, _),) = ports.elsewhere([place("192.0.2.1", 7882, "udp")], set(), local=False)
    assert "192.0.2.1:7882 (udp)" in told
    assert ports.taken(wanted, [place("127.0.0.1", 8080, "udp"), place("192.0.2.1", 8080)]) == []
    assert len(ports.taken(wanted, [place("0.0.0.0", 8080)])) == 2


class Home:
    """What was remembered of programs."""

    def __init__(self, *artifacts: Artifact) -> None:
        self.artifacts = {one.name: programs.data(one) for one in artifacts}

    def state(self) -> dict[str, Any]:
        return {"artifacts": self.artifacts}


def parts(*artifacts: Artifact, **want: str) -> list[origins.Part]:
    settings = Settings.model_validate({"artifacts": want})
    return list(origins.got(SimpleNamespace(home=Home(*artifacts), settings=settings)))  # type: ignore[arg-type]


def test_what_is_not_pinned_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that nothing vouches for is listed with what was recorded of it, in full in what was seen; not so if the
    table or the settings know it. So is a build without Go's checksum database; the user's own is only named."""
    monkeypatch.setattr(pins, "TABLE", tmp_path / "pins.toml")
    pins.TABLE.write_text("[files]\n[images]\n")
    path, sha256 = Path("/x"), "ab" * 32
    released = Artifact("livekit-server", path, "1.13.5", "kept", origin=Origin("the release", sha256))
    own = Artifact("turnserver", path, "4.6.1", "installed: /usr/bin/turnserver")
    found = origins.judged(parts(released, own))
    assert found.status == "ok" and "not pinned" in found.summary
    assert (
        "livekit-server 1.13.5 (sha256:abababababab...)" in found.summary
        and "turnserver" not in found.summary
    )
    assert f"sha256:{sha256}" in found.seen and "turnserver 4.6.1: installed" in found.seen
    assert "not pinned" not in origins.judged(parts(released, livekit_sha256=sha256)).summary
    file = livekit.releases()[1].file
    pins.TABLE.write_text(f'[files]\n"{file}" = {{sha256 = "{sha256}", source = "x"}}\n[images]\n')
    assert "not pinned" not in origins.judged(parts(released)).summary
    doubt = "not checked against Go's checksum database (GOSUMDB=off)"
    built = Artifact("livekit-server", path, "1.13.5", "kept", origin=Origin(f"built, {doubt}", doubt=doubt))
    assert "GOSUMDB=off" in origins.judged(parts(built)).summary
    checked = Artifact("livekit-server", path, "1.13.5", "kept", origin=Origin("built, checked"))
    assert origins.judged(parts(checked)).summary == "all that was fetched is what it has to be"


def test_images_without_a_digest_are_listed() -> None:
    """With the digest that they were pulled as, as the engine knows it; what was loaded or built is only named."""
    digest = f"sha256:{'cd' * 32}"
    pulled = map(
        origins.pulled, {"a:1": digest, "b:2": "", f"mirror.example.org/c:3@{digest}": digest}.items()
    )
    found = origins.judged(list(pulled))
    assert found.status == "ok" and "not pinned" in found.summary and "a:1 (sha256:cdcd" in found.summary
    assert "b:2" not in found.summary and "c:3" not in found.summary
    assert f"a:1: not pinned, pulled as {digest}" in found.seen and "pinned as" in found.seen
