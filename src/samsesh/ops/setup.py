"""The first answers: what they mean, whether they are right, and keeping them. Asking is in cli/setup.py."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from samsesh import names, secrets
from samsesh.environment import meaning
from samsesh.errors import SettingsError
from samsesh.findings import reason
from samsesh.home import Home
from samsesh.settings import Settings
from samsesh.settings_server import Ports
from samsesh.text import is_text

Answers = dict[str, Any]  # dotted name of a setting -> value

TIMEZONE_FILE = Path("/etc/timezone")
LOCALTIME = Path("/etc/localtime")
LONGEST_PASSWORD = 512  # Synapse's own limit


def machine_timezone() -> str:
    """The zone this machine is set to, UTC where that cannot be known."""
    candidates = []
    with suppress(OSError, UnicodeError):
        candidates.append(TIMEZONE_FILE.read_text().strip())
    candidates.append(str(LOCALTIME.resolve()).partition("/zoneinfo/")[2])
    for zone in candidates:
        try:
            return names.timezone(zone)
        except ValueError:
            continue
    return "UTC"


def describe(setting: str) -> str:
    """What the settings model says about a setting, without markup."""
    return meaning(setting).replace("`", "")


def with_answers(settings: Settings, answers: Mapping[str, Any]) -> Settings:
    """The settings with answers in place. Raises ValueError with a reason for people."""
    data = settings.model_dump(exclude_unset=True)
    for setting, value in answers.items():
        section, name = setting.split(".")
        data.setdefault(section, {})[name] = value
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        findings = error.errors(include_url=False)
        place = findings[0]["loc"][:2]
        raise ValueError(reason([finding for finding in findings if finding["loc"][:2] == place])) from None


def problem(settings: Settings, answers: Mapping[str, Any]) -> str:
    """Why these answers cannot be taken; empty where they can."""
    try:
        with_answers(settings, answers)
    except ValueError as error:
        return str(error)
    return ""


def password_problem(password: str, settings: Settings) -> str:
    """Why this password cannot be taken; empty where it can."""
    shortest = settings.registration.password_min_length
    if len(password) < shortest:
        return f"a password has at least {shortest} characters"
    if len(password) > LONGEST_PASSWORD:
        return f"a password has at most {LONGEST_PASSWORD} characters"
    if not is_text(password):
        return "a password is UTF-8 text; what was given is not"
    return ""


def ports_answers(ports: Ports, offset: int) -> Answers:
    """Answers that put every port at its default plus `offset`, those that were set one by one included."""
    moved = Ports(offset=offset)
    answers: Answers = {"ports.offset": offset} if offset != ports.offset else {}
    for name in ports.model_fields_set - {"offset"}:
        answers[f"ports.{name}"] = "{}-{}".format(*moved.relay()) if name == "turn_relay" else moved.of(name)
    return answers


def may_make_admin(home: Home) -> bool:
    """Whether the first administrator is still to be made."""
    return "first_admin" not in home.state()


def keep(
    home: Home,
    answers: Answers,
    password: str,
    waiting: Callable[[str], None],
    adopted_secrets: Mapping[str, str] | None = None,
) -> None:
    """Write the answers to the settings, and secrets where the first start finds them."""
    from samsesh.load import save

    check_name(home, answers)
    with home.lock("setup", waiting):
        save(home, answers)
        if adopted_secrets:
            secrets.ensure(home, adopted=adopted_secrets)
        if password:
            secrets.keep_first_admin_password(home, password)
        home.audit("setup", settings=" ".join(sorted(answers)))


def check_name(home: Home, answers: Answers) -> None:
    """Refuse another name for a server that has started."""
    name = home.state().get("server_name")
    if name is not None and answers.get("server.name", name) != name:
        raise SettingsError(
            f"this server is called {name} and cannot be renamed: its name is part of every user ID",
            "leave server.name as it is, or begin again with `samsesh destroy`",
        )
