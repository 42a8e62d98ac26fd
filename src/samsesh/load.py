"""Loading settings, as a list of passes: samsesh.toml, the home's `.env`, flags, the environment, validation."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from samsesh import environment, synapse_keys
from samsesh.environment import Variables, keys, meaning, nearest
from samsesh.errors import SettingsError
from samsesh.findings import reason
from samsesh.home import Home, user_name
from samsesh.masking import SECRET_KEYS, masked
from samsesh.settings import Settings
from samsesh.write import write_file

HEADER = "# Settings of this Samsesh server. `samsesh config sample` shows all there are; `samsesh up` applies changes.\n"
FREE = ("extra.synapse.", "extra.element_web.")  # below them, every key is taken


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
    places = {key: f"{home.env_file}: {variable}" for key, variable in live.sources.items()}
    places |= {key: process.sources[key] for key in adopted} | dict.fromkeys(flags or {}, "command line")
    settings = validate(values, home, text, places)
    warnings = [*live.warnings, *(process.warnings if adopting else [])]
    return Loaded(
        settings=settings,
        given_secrets=live.secrets,
        adopted=adopted,
        adopted_secrets=process.secrets if adopting else {},
        warnings=(
            *(*warnings, *drift(settings, process, adopted), *idle(settings)),
            *synapse_keys.shadowing(settings.extra.synapse),
        ),
        sources=sources,
    )


def _over(values: dict[str, Any], sources: dict[str, str], more: Mapping[str, Any], source: str) -> None:
    values.update(more)
    sources.update(dict.fromkeys(more, source))


def idle(settings: Settings) -> list[str]:
    """Sentences for settings that others keep from counting: who sets them expects something."""
    if settings.server.access == "local":
        sections = {
            name: sorted(getattr(settings, name).model_fields_set) for name in ("hosts", "tls", "proxy")
        }
        return [
            f"{section}.{named[0]} does not count while server.access is local; `samsesh setup` asks who should "
            "reach the server"
            for section, named in sections.items()
            if named
        ]
    if settings.tls.certificate and settings.tls.mode != "files":
        return ["tls.certificate does not count; to use it: samsesh config set tls.mode files"]
    return []


def drift(settings: Settings, process: Variables, adopted: Mapping[str, Any]) -> list[str]:
    """Sentences for variables of the environment that say something else than the settings in force."""
    found = []
    for key, wanted in process.settings.items():
        section, name = key.split(".")
        now = getattr(getattr(settings, section), name)
        if key not in adopted and plain(now) != wanted:
            shown = (masked(key, plain(now)), masked(key, wanted))
            in_force = "not set" if shown[0] in ("", None, []) else shown[0]
            found.append(
                f"{process.sources[key]} says {shown[1]}, but {key} is {in_force}: the settings count. "
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
        return home.settings_file.read_text(encoding="utf-8-sig")  # editors on Windows put a mark first
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError:
        raise SettingsError(f"{home.settings_file} is not UTF-8 text", "save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(
            f"{home.settings_file} cannot be read: {error.strerror}",
            f"give it to who runs this: chown {user_name()}: {home.settings_file}",
        ) from None


def _parse(home: Home, text: str) -> dict[str, Any]:
    try:
        data = tomllib.loads(text + "\n")  # so that an error in the last line has that line's number
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        raise SettingsError(f"{home.settings_file}: this is no TOML: {error}", "correct that line") from None
    except RecursionError:
        raise SettingsError(
            f"{home.settings_file}: tables are nested too deeply", "make it simpler"
        ) from None
    if dotted := next((key for key in data if "." in key), None):
        raise SettingsError(
            f"{home.settings_file}: {dotted!r} in quotes is a name with a dot", "write it without quotes"
        )
    return data


def file_values(home: Home) -> dict[str, Any]:
    """What samsesh.toml says, by dotted name, not yet judged."""
    return flat(_parse(home, _text(home)))


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
        if not dot:
            data[section] = value
        elif isinstance(
            found := data.setdefault(section, {}), dict
        ):  # else the file is wrong: validation tells
            found[name] = value
    return data


def validate(
    values: Mapping[str, Any], home: Home, text: str = "", places: Mapping[str, str] | None = None
) -> Settings:
    """Values by dotted name -> Settings; every problem is told with its place. `places` has those not in `text`."""
    data = nested(values)
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        found: dict[tuple[str, ...], list[Any]] = {}
        for finding in error.errors(include_url=False):
            if finding["type"] == "default_factory_not_called":
                continue  # only since another value of its section is wrong
            found.setdefault(_path(finding, data), []).append(finding)
    problems = [_problem(path, findings, home, text, places or {}) for path, findings in found.items()]
    *before, (message, hint) = problems
    lines = [f"{problem}\n  {advice}" for problem, advice in before]  # each with its own advice below it
    raise SettingsError("\n".join([*lines, message]), hint)


def _path(finding: Any, data: Any) -> tuple[str, ...]:
    """Where a finding is in the data: pydantic also names the member of a union, which nobody wrote."""
    path = []
    for part in finding["loc"]:
        if data is finding["input"]:
            break
        try:
            data = data[part]
        except (LookupError, TypeError):
            continue
        path.append(str(part))
    if finding["type"] == "missing":
        path.append(str(finding["loc"][-1]))
    return tuple(path)


def _problem(
    path: tuple[str, ...], findings: list[Any], home: Home, text: str, places: Mapping[str, str]
) -> tuple[str, str]:
    """(what is wrong and where, what to do) of pydantic's findings at one place, several for a union."""
    key = ".".join(part if re.fullmatch(r"[\w-]+", part) else repr(part) for part in path)
    setting = ".".join(path[:2])
    line = line_of(text, list(path))
    place = places.get(setting, f"{home.settings_file}, line {line}" if line else str(home.settings_file))
    where = f"{place}: {key}" if place else key
    kind = findings[0]["type"]
    if kind == "extra_forbidden":
        known = list(keys()) if len(path) > 1 else list(Settings.model_fields)
        near = nearest(key, known) or nearest(path[-1], [name.split(".")[-1] for name in known])
        return f"{place}: there is no setting {key}", near or "`samsesh config sample` shows all settings"
    secret = any(f"{name}.".startswith(f"{setting}.") for name in SECRET_KEYS)
    value = "" if kind == "missing" else "***" if secret else _short(findings[0]["input"])
    shown = f" ({value})" if value else ""
    return f"{where}{shown}: {reason(findings)}", _advice(setting)


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return ""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _advice(setting: str) -> str:
    if setting in keys():
        return f"{setting}: {meaning(setting)}"
    return "`samsesh config sample` shows all settings"


def line_of(text: str, path: list[str]) -> int:
    """The line where a key stands, or that of its section; 0 where it is not to be found. For messages only."""
    best, inside = 0, ""
    section: list[str] = []
    numbers: dict[str, int] = {}  # of the tables in a list of tables
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if inside:  # a text of several lines
            inside = "" if inside in line else inside
        elif header := re.match(r"(\[\[?)\s*([^\]]+?)\s*\]", line):
            section = _words(header[2])
            if header[1] == "[[":
                numbers[header[2]] = numbers.get(header[2], -1) + 1
                section.append(str(numbers[header[2]]))
            if not best or section == path[: len(section)]:
                best = number if _agree(section, path) else best
        elif name := re.match(r"""([\w."' -]+?)\s*=""", line):
            here = [*section, *_words(name[1])]
            if _agree(here, path) and (len(here) <= len(path) or not section):
                return number
            inside = next((quote for quote in ('"""', "'''") if line.count(quote) % 2), "")
    return best


def _words(name: str) -> list[str]:
    return [part.strip(" \"'") for part in name.split(".")]


def _agree(here: list[str], path: list[str]) -> bool:
    return all(ours == theirs for ours, theirs in zip(here, path, strict=False))


def save(home: Home, changes: Mapping[str, Any], remove: Iterable[str] = ()) -> None:
    """Write settings by dotted name into samsesh.toml; comments are kept; the whole is validated before."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    text = _text(home)
    data = _parse(home, text)
    try:
        document = tomlkit.parse(text or HEADER)
        for key, value in changes.items():
            *tables, name = key.split(".")
            for table in (document, data):
                _inner(table, tables)[name] = plain(value)
        for key in remove:
            *tables, name = key.split(".")
            with suppress(KeyError):
                for table in (document, data):
                    del _inner(table, tables, make=False)[name]
        written = tomlkit.dumps(document)
        new = [".".join(key.split(".")[:2]) for key in changes]
        validate(flat(data), home, written, dict.fromkeys(new, ""))
        if _filled(tomllib.loads(written)) != _filled(data):  # tomlkit does not know every form of TOML
            raise ValueError("it has a form that cannot be kept")
    except (TOMLKitError, TypeError, ValueError, AttributeError, RecursionError) as error:
        validate(flat(data), home, text)  # what is wrong in it already says more
        raise SettingsError(
            f"{home.settings_file} cannot be changed: {error}", "write the setting into it by hand"
        ) from None
    write_file(home.settings_file.resolve(), written)  # where the operator keeps it, if that is a link


def _filled(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in flat(data).items() if value != {}}


def _inner(table: Any, names: list[str], *, make: bool = True) -> Any:
    """The table below `table`, made where it is missing."""
    for name in names:
        if make and name not in table:
            table[name] = {}
        table = table[name]
    return table
