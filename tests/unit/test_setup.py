"""The wizard's answers: judged by the settings model, kept in one write."""

import json
import re
from pathlib import Path

import pytest

from samsesh.environment import keys
from samsesh.errors import SettingsError
from samsesh.home import Home
from samsesh.load import load, validate
from samsesh.ops import setup
from samsesh.settings import Settings
from samsesh.settings_server import Ports


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ({"server.name": "Example.org"}, "lower case"),
        ({"server.name": "https://example.org"}, "not a URL"),
        ({"server.timezone": "Middle/Earth"}, "no time zone"),
        ({"admin.name": "Eve"}, "lower-case"),
        ({"ports.web": 8008}, "web and api are both 8008"),
        ({"ports.web": "eighty"}, "a whole number without quotes is wanted"),
        ({"server.trial": "perhaps"}, "true or false"),
        ({"tls.email": "me@localhost"}, "looks like 'me@example.org'"),
        ({"tls.email": "me at example.org"}, "looks like 'me@example.org'"),
        ({"tls.email": "Me.2+x@Example.org"}, ""),
        ({"tls.email": ""}, ""),
        ({"brand.name": ""}, "a text that can be seen"),
        ({"ports.offset": 2000}, "web is 10080, which browsers refuse"),
        ({"ports.offset": 60_000}, "a number of at most 50000"),
        ({"server.name": "example.org", "ports.offset": 1000}, ""),
    ],
)
def test_answers_are_judged_with_a_reason(answers: dict[str, object], reason: str) -> None:
    """A wrong answer is told in a sentence, a right one is taken."""
    found = setup.problem(Settings(), answers)
    assert reason in found if reason else found == ""


def test_every_question_is_explained_by_the_model() -> None:
    """What the wizard says about a setting is what the reference says."""
    assert "Permanent" in setup.describe("server.name")
    assert setup.describe("registration.mode").startswith("closed: administrators")
    assert setup.describe("ports.web").startswith("Web client")


def test_passwords_have_a_length() -> None:
    """Too short and too long are refused before anything is written."""
    assert "at least 8" in setup.password_problem("short", Settings())
    assert "at most" in setup.password_problem("x" * 600, Settings())
    assert setup.password_problem("long enough", Settings()) == ""


def test_the_machines_time_zone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/etc/timezone, else the link /etc/localtime, else UTC; a name that is no zone is passed over."""
    monkeypatch.setattr(setup, "TIMEZONE_FILE", tmp_path / "timezone")
    monkeypatch.setattr(setup, "LOCALTIME", tmp_path / "localtime")
    assert setup.machine_timezone() == "UTC"
    (tmp_path / "localtime").symlink_to("/usr/share/zoneinfo/Europe/Berlin")
    (tmp_path / "timezone").write_text("nonsense\n")
    assert setup.machine_timezone() == "Europe/Berlin"
    (tmp_path / "timezone").write_text("Asia/Tehran\n")
    assert setup.machine_timezone() == "Asia/Tehran"


def test_an_offset_moves_ports_that_were_set() -> None:
    """`default` and `offset` mean every port, not only those that were never touched."""
    ports = Ports(offset=100, web=9000, turn_relay="50000-50010")
    back = setup.ports_answers(ports, 0)
    assert back == {"ports.offset": 0, "ports.web": 8080, "ports.turn_relay": "49160-49200"}
    assert setup.ports_answers(ports, 1000)["ports.web"] == 9080
    assert setup.ports_answers(Ports(), 0) == {}


def test_answers_are_kept(home: Home) -> None:
    """Settings, password and audit line are written; the password only where it belongs."""
    setup.keep(home, {"server.name": "example.org", "ports.offset": 500}, "correct horse", print)
    settings = load(home, {}).settings
    assert (settings.server.name, settings.ports.of("web")) == ("example.org", 8580)
    password = home.secrets_dir / "first_admin_password"
    assert (password.read_text(), password.stat().st_mode & 0o777) == ("correct horse", 0o600)
    others = [path for path in home.path.rglob("*") if path.is_file() and path != password]
    assert not [path for path in others if "correct horse" in path.read_text()]
    assert json.loads((home.path / "audit.log").read_text())["action"] == "setup"


def test_secrets_of_the_environment_are_adopted_once(home: Home) -> None:
    """A LiveKit or TURN secret that was set before setup is kept, and never replaces one that is there."""
    for value in ("first of all secrets", "second"):
        setup.keep(home, {}, "", print, {"turn_shared_secret": value})
    assert (home.secrets_dir / "turn_shared_secret").read_text() == "first of all secrets"


def test_a_started_server_keeps_its_name(home: Home) -> None:
    """A rename after the first start is refused with the reason, and changes nothing."""
    setup.keep(home, {"server.name": "example.org"}, "", print)
    home.remember(server_name="example.org")
    before = home.settings_file.read_bytes()
    with pytest.raises(SettingsError, match="cannot be renamed"):
        setup.keep(home, {"server.name": "example.com", "ports.offset": 500}, "", print)
    assert home.settings_file.read_bytes() == before
    setup.keep(home, {"server.name": "example.org", "ports.offset": 500}, "", print)


PYDANTICS = re.compile(
    r"input should|valid (string|integer|boolean|number|list|dictionary)|value error|pydantic|validation|at index"
    r"|host bits|octet|permitted in",
    re.IGNORECASE,
)
ODD = (
    "",
    "x",
    "-1",
    "10.1.2.3/16",
    "[1:2]",
    "[::1]:0",
    "a b",
    1.5,
    -1,
    10**30,
    True,
    [1],
    ["x"],
    {"a": 1},
    [{"text": ""}],
)


@pytest.mark.parametrize("key", keys())
def test_no_answer_is_met_with_a_programmers_words(key: str, home: Home) -> None:
    """Whatever is wrong with a value, wizard and `config set` say so in our words, never in pydantic's or Python's."""
    for value in ODD:
        assert not PYDANTICS.search(setup.problem(Settings(), {key: value}))
        message = ""
        try:
            validate({key: value}, home)
        except SettingsError as error:
            message = error.message.replace(str(home.path), "")
        assert not PYDANTICS.search(message), message
