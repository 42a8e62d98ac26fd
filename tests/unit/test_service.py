"""Starting at boot: units that systemd accepts, cron lines that leave other lines alone."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest

from programs import need
from samsesh.errors import SamseshError, SettingsError
from samsesh.home import Home
from samsesh.ops import service, systemd
from samsesh.settings import Settings
from samsesh.settings_server import Ports

LAUNCHER = {"SAMSESH_LAUNCHER": "/opt/samsesh/samsesh"}
GOLDEN = Path(__file__).parent / "test_service_system.golden"

STAND_IN = """#!/bin/sh
# crontab's own way: -l shows or complains, - takes standard input; -u USER is taken and ignored
store="{store}"
if [ "$1" = -u ]; then shift 2; fi
if [ "$1" = -l ]; then cat "$store" 2>/dev/null || {{ echo "no crontab for you" >&2; exit 1; }}; exit; fi
cat >"$store"
"""


def keys_of(home: str, settings: Settings) -> Mapping[str, str | list[str]]:
    """The [Service] section of a home's system unit."""
    return systemd.unit(Home(Path(home)), settings, "system", ["/opt/samsesh/samsesh", "up"])["Service"]


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Put programs of our own before those of the machine."""
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    made.settings_file.write_text('[server]\nname = "localhost"\n')
    return made


@pytest.fixture
def crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A crontab in a file."""
    store = tmp_path / "stored"
    programs(tmp_path / "bin", monkeypatch, crontab=STAND_IN.format(store=store))
    return store


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that writes down what it is told, and folders of our own."""
    told = tmp_path / "told"
    programs(tmp_path / "bin", monkeypatch, systemctl=f'#!/bin/sh\necho "$@" >>{told}\n')
    monkeypatch.setattr(service, "SYSTEM_UNITS", tmp_path / "units")
    monkeypatch.setattr(service, "SYSTEMD_RUNS", tmp_path)
    return told


def test_system_unit_is_as_agreed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The unit of the default home changes only on purpose; Python is no user's, wherever these tests' own is."""
    monkeypatch.setattr(sys, "prefix", "/opt/samsesh")
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    text = service.unit_text(Home(Path("/var/lib/samsesh")), Settings(), "system", LAUNCHER)
    assert text == GOLDEN.read_text()


@pytest.mark.parametrize("kind", ["system", "user"])
@pytest.mark.parametrize(
    "folder", ["/srv/chat", "/srv/my chat", '/srv/100% "$HOME" of it\\', "/srv/" + "x" * 195]
)
def test_systemd_accepts_the_unit(tmp_path: Path, kind: Literal["system", "user"], folder: str) -> None:
    """systemd's own verifier has nothing to say, whatever the paths of home and launcher."""
    need("systemd-analyze")
    settings = Settings(ports=Ports(web=81))
    launcher = tmp_path / 'a "launcher" at 50% $HOME'
    launcher.symlink_to("/bin/true")
    text = service.unit_text(Home(Path(folder)), settings, kind, {"SAMSESH_LAUNCHER": str(launcher)})
    (tmp_path / "samsesh.service").write_text(text)
    scope = ["--user"] if kind == "user" else []
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    command = ["systemd-analyze", *scope, "verify", "--man=no", str(tmp_path / "samsesh.service")]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "samsesh.service" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def test_low_ports_alone_need_a_capability() -> None:
    """A unit may bind low ports only where the settings have one."""
    without = keys_of("/srv/chat", Settings())
    with_low = keys_of("/srv/chat", Settings(ports=Ports(web=81)))
    assert without["AmbientCapabilities"] == without["CapabilityBoundingSet"] == ""
    assert with_low["AmbientCapabilities"] == with_low["CapabilityBoundingSet"] == "CAP_NET_BIND_SERVICE"


def test_sockets_in_tmp_stay_visible() -> None:
    """A home with a long path has its sockets in /tmp, which must be the machine's own and writable."""
    keys = keys_of("/srv/" + "x" * 195, Settings())
    assert keys["PrivateTmp"] == "no"
    assert "/tmp" in keys["ReadWritePaths"]


def test_homes_below_a_users_home_are_reachable() -> None:
    """ProtectHome must not hide the server's own files."""
    keys = keys_of("/home/eve/chat", Settings())
    assert keys["ProtectHome"] == "read-only"


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("plain", '"plain"'),
        ("a b", '"a b"'),
        ("50%", '"50%%"'),
        ('"', '"\\""'),
        ("\\", '"\\\\"'),
    ],
)
def test_quoting(word: str, quoted: str) -> None:
    """Words reach systemd as they are."""
    assert systemd.quote(word) == quoted


def test_a_path_with_a_line_break_is_refused() -> None:
    """No path smuggles a line into a unit or a crontab."""
    for folder in ("/srv/a\nUser=root", "/srv/\udcff"):
        with pytest.raises(SettingsError, match="neither systemd nor cron"):
            service.cron_line(Home(Path(folder)), LAUNCHER)
        with pytest.raises(SettingsError, match="neither systemd nor cron"):
            service.unit_text(Home(Path(folder)), Settings(), "system", LAUNCHER)


def test_names_differ_by_home(home: Home) -> None:
    """Two homes on one machine have two services."""
    assert service.unit_name(Home(Path("/var/lib/samsesh"))) == "samsesh.service" or os.geteuid() != 0
    assert service.unit_name(home) == f"samsesh-{home.id}.service"


def test_system_service_comes_and_goes(home: Home, systemctl: Path, crontab: Path) -> None:
    """Installing writes, reloads and enables once; removing leaves nothing."""
    if os.geteuid() != 0:
        pytest.skip("a system service needs root")
    name, said = service.unit_name(home), list[str]()
    service.install(home, Settings(), "system", LAUNCHER, said.append)
    service.install(home, Settings(), "system", LAUNCHER, said.append)
    path = service.SYSTEM_UNITS / name
    assert path.stat().st_mode & 0o777 == 0o644
    assert [words.split(":")[0].split()[0] for words in said] == ["Written", "Already"]
    assert service.installed(home) == "system"
    assert service.reboot_warning(home) == ""
    assert service.control(home, "start")
    service.remove(home, said.append)
    assert not path.exists() and service.installed(home) is None
    enabled = ["daemon-reload", f"enable {name}"]
    assert systemctl.read_text().splitlines() == [
        *enabled,
        *enabled,
        f"start {name}",
        f"disable {name}",
        "daemon-reload",
    ]


def test_user_service_without_root(
    home: Home, systemctl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without root the unit is the user's own, and lingering is asked for or explained."""
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    monkeypatch.setattr(service, "USER_RUNTIME", tmp_path / "run")
    (tmp_path / "run" / "4321" / "systemd" / "private").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    programs(tmp_path / "bin", monkeypatch, loginctl="#!/bin/sh\nexit 1\n")
    said = list[str]()
    assert service.choose() == "user"
    service.install(home, Settings(), "user", LAUNCHER, said.append)
    assert (tmp_path / "config" / "systemd" / "user" / service.unit_name(home)).is_file()
    assert f"--user enable {service.unit_name(home)}" in systemctl.read_text()
    assert "enable-linger user 4321" in said[0]
    assert service.installed(home) == "user"


def test_cron_keeps_other_lines(home: Home, crontab: Path) -> None:
    """Our one line comes once and goes; what others wrote stays as it was, whatever its bytes."""
    others = b"# mine\nMAILTO=me\n5 4 * * * backup \xff # samsesh.service.old\n"
    crontab.write_bytes(others)
    assert "install-service" in service.reboot_warning(home)
    service.install(home, Settings(), "cron", LAUNCHER, lambda text: None)
    service.install(home, Settings(), "cron", LAUNCHER, lambda text: None)
    line = service.cron_line(home, LAUNCHER)
    assert crontab.read_bytes() == others + f"{line}\n".encode()
    assert service.installed(home) == "cron"
    assert not service.control(home, "start")
    service.remove(home, lambda text: None)
    assert crontab.read_bytes() == others


def test_another_kind_takes_the_place_of_the_first(home: Home, crontab: Path, systemctl: Path) -> None:
    """A server is never started twice at boot."""
    if os.geteuid() != 0:
        pytest.skip("a system service needs root")
    service.install(home, Settings(), "cron", LAUNCHER, lambda text: None)
    service.install(home, Settings(), "system", LAUNCHER, lambda text: None)
    assert crontab.read_text() == "" and service.installed(home) == "system"


def test_the_cron_line_runs_as_written(tmp_path: Path, crontab: Path) -> None:
    """The line survives cron's `%` rule and the shell, spaces and quotes included."""
    home = Home(tmp_path / 'it\'s 50% "full"')
    home.prepare()
    seen = tmp_path / "seen"
    launcher = tmp_path / "my launcher"
    launcher.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >"{seen}"\necho complaint >&2\n')
    launcher.chmod(0o755)
    line = service.cron_line(home, {"SAMSESH_LAUNCHER": str(launcher)})
    as_cron_does = line.removeprefix("@reboot ").replace(r"\%", "%")
    done = subprocess.run(["/bin/sh", "-c", as_cron_does], capture_output=True, timeout=10)
    assert (done.stdout, done.stderr) == (b"", b"")
    assert seen.read_text().splitlines() == ["--home", str(home.path), "up", "--yes"]
    assert (home.path / "boot.log").read_text() == "complaint\n"


def test_a_crontab_that_cannot_be_read_is_not_overwritten(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal of cron is an error, not an empty crontab."""
    refusal = "#!/bin/sh\necho 'You are not allowed to use this program (crontab)' >&2\nexit 1\n"
    programs(tmp_path / "bin", monkeypatch, crontab=refusal)
    with pytest.raises(SamseshError, match="reading the crontab"):
        service.install(home, Settings(), "cron", LAUNCHER, lambda text: None)


def test_a_real_crontab(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in the machine's own cron, for user nobody."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    need("crontab")
    before = subprocess.run(["crontab", "-u", "nobody", "-l"], capture_output=True, text=True)
    if before.returncode == 0:
        pytest.skip("nobody has a crontab here, which is left alone")
    pwd.getpwnam("nobody")
    monkeypatch.setattr(service, "SERVICE_USER", "nobody")
    try:
        service.install(home, Settings(), "cron", LAUNCHER, lambda text: None)
        assert service.installed(home) == "cron"
        service.remove(home, lambda text: None)
        assert service.installed(home) is None
    finally:
        subprocess.run(["crontab", "-u", "nobody", "-r"], capture_output=True)


def test_a_service_outlives_no_home(home: Home, crontab: Path) -> None:
    """What starts a server can be removed when the home is gone already."""
    service.install(home, Settings(), "cron", LAUNCHER, lambda text: None)
    shutil.rmtree(home.path)
    service.remove(home, lambda text: None)
    assert crontab.read_text() == ""


def test_who_may_not_use_cron_is_only_warned(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up` asks whether a service is there; no refusal of cron may stop it."""
    programs(tmp_path / "bin", monkeypatch, crontab="#!/bin/sh\necho 'not allowed' >&2\nexit 1\n")
    assert "install-service" in service.reboot_warning(home)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert "install-service" in service.reboot_warning(home)


def test_the_service_user_looks_without_stumbling(tmp_path: Path) -> None:
    """Root that became the service user, with root's own HOME, finds the same names and no error."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    script = (
        "import os; from pathlib import Path; from samsesh.home import Home; from samsesh.ops import service;"
        "home = Home(Path('/var/lib/samsesh')); os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        "print(service.unit_name(home), service.installed(home))"
    )
    env = {**os.environ, "HOME": str(closed), "XDG_CONFIG_HOME": ""}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=env, timeout=30)
    assert done.stdout == "samsesh.service None\n", done.stderr


def test_what_cannot_work_is_refused(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No systemd, no root, no server: each is said, with what to do."""
    monkeypatch.setattr(service, "SYSTEMD_RUNS", tmp_path / "none")
    monkeypatch.setattr(service, "USER_RUNTIME", tmp_path / "none")
    empty = Home(tmp_path / "empty")
    with pytest.raises(SamseshError, match="no server in"):
        service.install(empty, Settings(), "cron", LAUNCHER, lambda text: None)
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    with pytest.raises(SettingsError, match="needs root"):
        service.install(home, Settings(), "system", LAUNCHER, lambda text: None)
    with pytest.raises(SamseshError, match="systemd does not run"):
        service.install(home, Settings(), "user", LAUNCHER, lambda text: None)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(SamseshError, match="nothing here can start"):
        service.choose()
