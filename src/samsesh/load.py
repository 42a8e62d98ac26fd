"""Loading settings, as a list of passes: samsesh.toml, the home's `.env`, flags, the environment, validation."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from samsesh import environment
from samsesh.environment import Variables, keys, nearest
from samsesh.errors import SettingsError
from samsesh.home import Home
from samsesh.settings import Settings
from samsesh.write import write_file

HEADER = "# Settings of this Samsesh server. `samsesh config sample` shows all there are; `samsesh up` applies changes.\n"
SECRET_KEYS = frozenset({"database.url"})
JARGON = {
    "string_type": "a text in quotes is wanted",
    "int_type": "a whole number without quotes is wanted",
    "float_type": "a number without quotes is wanted",
    "bool_type": "true or false (without quotes) is wanted",
    "list_type": "a list in [brackets] is wanted",
    "dict_type": "a table is wanted",
    "model_type": "a [section] is wanted",
    "missing": "this is missing",
}


@dataclass(frozen=True)
class Loaded:
    """What loading found. `sources` says where each value that is no default comes from."""

    settings: Settings
    given_secrets: dict[str, str] = field(
        default_factory=dict
    )  # from the home's .env, in force while they stand there
    adopted: dict[str, Any] = field(default_factory=dict)  # from the environment, to be kept by setup and up
    adopted_secrets: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)


def load(
    home: Home,
    environ: Mapping[str, str],
    *,
    flags: Mapping[str, Any] | None = None,
    adopt: bool = False,
) -> Loaded:
    """Settings in force: flags over the home's `.env` over samsesh.toml over defaults.

    The process environment is adopted: with `adopt`, while the server has never started, for what the files leave open.
    Otherwise a variable that says something else is reported and not followed. Raises SettingsError (exit code 2).
    """
    text = _text(home)
    values = flat(_parse(home, text))
    sources = dict.fromkeys(values, "samsesh.toml")
    live = environment.read_variables(
        environment.read_env_file(home.env_file), str(home.env_file), strict=True
    )
    process = environment.read_variables(environ, "the environment", strict=False)
    _over(values, sources, live.settings, ".env")
    _over(values, sources, dict(flags or {}), "command line")
    adopting = adopt and not home.started
    adopted = {key: value for key, value in process.settings.items() if key not in values} if adopting else {}
    _over(values, sources, adopted, "environment")
    settings = validate(values, home, text, {**live.sources, **({} if not adopting else process.sources)})
    warnings = [*live.warnings, *(process.warnings if adopting else [])]
    return Loaded(
        settings=settings,
        given_secrets=live.secrets,
        adopted=adopted,
        adopted_secrets=process.secrets if adopting else {},
        warnings=(*warnings, *drift(settings, process, adopted)),
        sources=sources,
    )


def _over(values: dict[str, Any], sources: dict[str, str], more: Mapping[str, Any], source: str) -> None:
    values.update(more)
    sources.update(dict.fromkeys(more, source))


def drift(settings: Settings, process: Variables, adopted: Mapping[str, Any]) -> list[str]:
    """Sentences for variables of the environment that say something else than the settings in force."""
    found = []
    for key, wanted in process.settings.items():
        section, name = key.split(".")
        now = getattr(getattr(settings, section), name)
        if key not in adopted and plain(now) != wanted:
            shown = ("***", "***") if key in SECRET_KEYS else (plain(now), wanted)
            found.append(
                f"{process.sources[key]} says {shown[1]}, but {key} is {shown[0]}: the settings count. "
                f"To change it: samsesh config set {key} VALUE"
            )
    return found


def plain(value: Any) -> Any:
    """A value of the model as plain data, as a file or a variable would have it."""
    if isinstance(value, list):
        return [plain(part) for part in value]
    if hasattr(value, "get_secret_value"):
        return value.get_secret_value()
    return value.model_dump() if hasattr(value, "model_dump") else value


def _text(home: Home) -> str:
    try:
        return home.settings_file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise SettingsError(f"{home.settings_file} is not UTF-8 text", "save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(
            f"{home.settings_file} cannot be read: {error.strerror}", "check its owner and mode"
        ) from None


def _parse(home: Home, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text + "\n")  # so that an error in the last line has that line's number
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{home.settings_file}: this is no TOML: {error}", "correct that line") from None
    except RecursionError:
        raise SettingsError(
            f"{home.settings_file}: tables are nested too deeply", "make it simpler"
        ) from None


def flat(data: Mapping[str, Any]) -> dict[str, Any]:
    """{"server": {"name": x}} -> {"server.name": x}; deeper tables stay values."""
    found: dict[str, Any] = {}
    for section, values in data.items():
        if isinstance(values, dict) and values:
            found.update({f"{section}.{name}": value for name, value in values.items()})
        else:
            found[section] = values
    return found


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of `flat`."""
    data: dict[str, Any] = {}
    for key, value in values.items():
        section, dot, name = key.partition(".")
        if dot:
            data.setdefault(section, {})[name] = value
        else:
            data[section] = value
    return data


def validate(
    values: Mapping[str, Any], home: Home, text: str = "", variables: Mapping[str, str] | None = None
) -> Settings:
    """Values by dotted name -> Settings; every problem is told with its place."""
    try:
        return Settings.model_validate(nested(values))
    except ValidationError as error:
        problems = [_problem(found, home, text, variables or {}) for found in error.errors(include_url=False)]
    message = "\n".join(problem for problem, _ in problems)
    raise SettingsError(message, next((hint for _, hint in problems if hint), "correct the settings"))


def _problem(found: Any, home: Home, text: str, variables: Mapping[str, str]) -> tuple[str, str]:
    """(what is wrong and where, what to do) of one finding of pydantic's."""
    path = [str(part) for part in found["loc"] if not _is_branch(part)]
    key = ".".join(path)
    setting = ".".join(path[:2])
    place = variables.get(setting) or _place(home, text, path)
    if found["type"] == "extra_forbidden":
        known = list(keys()) if len(path) > 1 else list(Settings.model_fields)
        near = nearest(key, known) or nearest(path[-1], [name.split(".")[-1] for name in known])
        return f"{place}: there is no setting {key}", near or "`samsesh config sample` shows all settings"
    reason = JARGON.get(found["type"]) or str(found["msg"]).removeprefix("Value error, ")
    value = "***" if setting in SECRET_KEYS else _short(found.get("input"))
    shown = f" ({value})" if value and found["type"] not in ("missing", "model_type") else ""
    return f"{place}: {key}{shown}: {reason[0].lower()}{reason[1:]}", _advice(setting)


def _is_branch(part: int | str) -> bool:
    """Pydantic names the member of a union in a location; people did not write it."""
    return isinstance(part, str) and (
        "[" in part or "(" in part or part in ("int", "float", "bool", "str", "constrained-float")
    )


def _short(value: Any) -> str:
    text = repr(value)
    return "" if isinstance(value, dict) else text if len(text) <= 60 else text[:57] + "..."


def _advice(setting: str) -> str:
    found = keys().get(setting)
    return f"{setting}: {found.description}" if found is not None and found.description else ""


def _place(home: Home, text: str, path: list[str]) -> str:
    line = line_of(text, path)
    return f"{home.settings_file}, line {line}" if line else str(home.settings_file)


def line_of(text: str, path: list[str]) -> int:
    """The line where a key stands, or that of its section; 0 where it is not to be found. For messages only."""
    section, best = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if header := re.match(r"\[\[?\s*([^\]]+?)\s*\]", line):
            section = header[1].replace('"', "").replace(" ", "")
            if section.split(".") == path[: len(section.split("."))]:
                best = number
            continue
        name = re.match(r"""["']?([A-Za-z0-9_.-]+)["']?\s*=""", line)
        if name:
            here = [*section.split("."), *name[1].split(".")] if section else name[1].split(".")
            if here == path[: len(here)]:
                return number
    return best


def save(home: Home, changes: Mapping[str, Any], remove: Iterable[str] = ()) -> None:
    """Write settings by dotted name into samsesh.toml; comments are kept; the whole is validated before."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    text = _text(home)
    _parse(home, text)
    try:
        document = tomlkit.parse(text or HEADER)
        for key, value in changes.items():
            section, _, name = key.partition(".")
            if section not in document:
                document[section] = tomlkit.table()
            document[section][name] = plain(value)
        for key in remove:
            section, _, name = key.partition(".")
            if name in document.get(section, {}):
                document[section].remove(name)
        written = tomlkit.dumps(document)
    except (TOMLKitError, TypeError, AttributeError) as error:
        raise SettingsError(
            f"{home.settings_file} cannot be changed: {error}", "write the setting into it by hand"
        ) from None
    validate(flat(tomllib.loads(written)), home, written)
    write_file(home.settings_file, written)
