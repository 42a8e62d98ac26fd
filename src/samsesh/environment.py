"""Variables: the document's and SAMSESH_*, from the process and from `.env` files."""

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from samsesh import names
from samsesh.errors import SettingsError
from samsesh.fields import descriptions
from samsesh.settings import Settings

NOT_SETTINGS = frozenset(
    {
        "SAMSESH_HOME",
        "SAMSESH_CACHE",
        "SAMSESH_ENV_ROOT",
        "SAMSESH_CALLER",
        "SAMSESH_LAUNCHER",
        "SAMSESH_COMMAND",
        "SAMSESH_CALLED",
    }
)
DOCUMENT = {
    "SYNAPSE_SERVER_NAME": "server.name",
    "SYNAPSE_REPORT_STATS": "server.report_stats",
    "TZ": "server.timezone",
    "UID": "server.uid",
    "GID": "server.gid",
    "TURN_SERVER": "turn.host",
    "MATRIX_THEMES": "brand.themes",
    "ELEMENT_CALL_PORT": "ports.call",
}
SECRET_VARIABLES = {
    "TURN_SHARED_SECRET": "turn_shared_secret",
    "LIVEKIT_KEY": "livekit_key",
    "LIVEKIT_SECRET": "livekit_secret",
}
WELL_KNOWN = frozenset({"devkey", "secret", "somesecuretext"})
SHORTEST_SECRET = 16
WORDS = {
    "yes": True,
    "true": True,
    "on": True,
    "1": True,
    "no": False,
    "false": False,
    "off": False,
    "0": False,
}
_PLAIN = re.compile(r"[A-Za-z0-9._~+/=-]+")  # what coturn, LiveKit and YAML all take as it stands
_NUMBER = re.compile(
    r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"
)  # Python takes digits of every script, and _
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


@dataclass
class Variables:
    """What a set of variables says: settings by dotted name, secrets by name, remarks for people."""

    settings: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)  # dotted name -> variable
    secrets: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def keys() -> dict[str, Any]:
    """Every setting: dotted name -> its field."""
    found = {}
    for section, part in Settings.model_fields.items():
        assert part.annotation is not None
        for name, value in part.annotation.model_fields.items():
            found[f"{section}.{name}"] = value
    return found


def meaning(key: str) -> str:
    """What the model says about a setting, in one line."""
    section, _, name = key.partition(".")
    part = Settings.model_fields[section].annotation
    assert isinstance(part, type)
    text = keys()[key].description or descriptions(part)[name]
    return " ".join(text.split())


def runs_code(key: str) -> bool:
    """Whether a setting, or one below it (`extra.synapse.modules`), chooses what is executed or loaded."""
    return _marked(key, "runs_code")


def names_file(key: str) -> bool:
    """Whether a setting names a file that belongs to the server, such as a logo or a certificate."""
    return _marked(key, "names_file")


def _marked(key: str, mark: str) -> bool:
    field = keys().get(".".join(key.split(".")[:2]))
    extra = field.json_schema_extra if field else None
    return isinstance(extra, dict) and extra.get(mark) is True


def variable_of(key: str) -> str:
    """`server.name` -> `SAMSESH_SERVER_NAME`."""
    return "SAMSESH_" + key.replace(".", "_").upper()


def nearest(word: str, known: list[str]) -> str:
    """The known name that was probably meant, as a hint; empty where none is near."""
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {found[0]}?" if found else ""


def from_text(key: str, text: str) -> Any:
    """A value as it is written in a variable or on a command line -> one for the model, which judges it."""
    annotation = str(keys()[key].annotation)
    value = text.strip()
    if "list[" in annotation or "dict[" in annotation:
        return _structure(key, value, "dict[" in annotation or (bool(value) and "list[samsesh" in annotation))
    if value.lower() in WORDS and "bool" in annotation:
        return WORDS[value.lower()]
    if re.search(r"\b(int|float)\b", annotation) and _NUMBER.fullmatch(value):
        with suppress(ValueError):  # of thousands of digits, or with a point where a whole one is wanted
            return float(value) if "float" in annotation else int(value)
    return value


def free_value(key: str, text: str) -> Any:
    """A value for a key below a table such as extra.synapse: JSON or TOML where it looks like it, else text."""
    value = text.strip()
    if value.startswith(("[", "{")):
        return _structure(key, value, table=False)
    try:
        return json.loads(value)
    except ValueError:
        return text


def _structure(key: str, value: str, table: bool) -> Any:
    if value.startswith(("[", "{")):
        for read in (json.loads, _toml_value):
            try:
                return read(value)
            except (ValueError, RecursionError):
                continue
    if table or value.startswith(("[", "{")):
        raise SettingsError(
            f"{key} is neither JSON nor TOML", """write it like '[{"text": "Help", "url": "https://..."}]'"""
        )
    return [part.strip() for part in value.split(",") if part.strip()]


def _toml_value(text: str) -> Any:
    found = tomllib.loads(f"value = {text}")
    if len(found) > 1:  # a line break, and more behind it
        raise ValueError(text)
    return found["value"]


def read_variables(environ: Mapping[str, str], where: str, *, strict: bool) -> Variables:
    """What `environ` says. Unknown SAMSESH_* names are errors where `strict` (a file of ours), else remarks."""
    found = Variables()
    known = {variable_of(key): key for key in keys()}
    for variable, text in environ.items():
        if variable in SECRET_VARIABLES:
            _secret(found, variable, text)
        elif variable in DOCUMENT:
            _document(found, variable, text)
        elif variable in known:
            _set(found, known[variable], from_text(known[variable], text), variable)
        elif variable.startswith("SAMSESH_") and variable not in NOT_SETTINGS:
            hint = nearest(variable, list(known)) or "`docs/reference/environment.md` lists the variables"
            if strict:
                raise SettingsError(f"{where}: {variable} is no variable of Samsesh", hint)
            found.warnings.append(f"The variable {variable} is unknown and ignored; {hint}")
    return found


def _set(found: Variables, key: str, value: Any, variable: str) -> None:
    found.settings[key] = value
    found.sources[key] = variable


def _secret(found: Variables, variable: str, text: str) -> None:
    shortest = 1 if variable == "LIVEKIT_KEY" else SHORTEST_SECRET
    if text.lower() in WELL_KNOWN or len(text) < shortest:
        if text:
            found.warnings.append(
                f"{variable} is a well-known or short value; a generated one is used in its place."
            )
        return
    if not _PLAIN.fullmatch(text):
        found.warnings.append(
            f"{variable} has characters that a program would misread; a generated one is used in its place."
        )
        return
    found.secrets[SECRET_VARIABLES[variable]] = text


def _document(found: Variables, variable: str, text: str) -> None:
    value: Any = text.strip()
    if not value:
        return
    if variable == "TZ":
        value = value.removeprefix(":")
        try:
            names.timezone(value)
        except ValueError:
            found.warnings.append(f"TZ={text} names no time zone and is ignored.")
            return
    elif variable in ("UID", "GID"):
        if not re.fullmatch("[0-9]{1,10}", value) or int(value) == 0:
            return
        value = int(value)
    else:
        value = from_text(DOCUMENT[variable], value)
    _set(found, DOCUMENT[variable], value, variable)


def read_env_file(path: Path) -> dict[str, str]:
    """Variables of a `.env` file: KEY=VALUE, `export KEY=VALUE`, quotes, comments; no file, no variables.

    A parser of our own: the common library has more syntax (expansion, commands) than a settings file should.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors on Windows put a mark first
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}", "correct or remove that file") from None
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        match = _LINE.fullmatch(stripped)
        if not match:
            raise SettingsError(
                f"{path}, line {number}: this is not KEY=VALUE", "correct or remove that line"
            )
        found[match[1]] = _unquoted(match[2], path, number)
    return found


def without(text: str, variables: Collection[str]) -> str:
    """The text of a `.env` file without the lines that set these variables."""
    lines = text.splitlines(keepends=True)
    return "".join(
        line for line in lines if not ((match := _LINE.fullmatch(line.strip())) and match[1] in variables)
    )


def _unquoted(text: str, path: Path, number: int) -> str:
    for quote in "\"'":
        if text.startswith(quote):
            value, closing, rest = text[1:].partition(quote)
            if not closing or (rest.strip() and not rest.strip().startswith("#")):
                raise SettingsError(f"{path}, line {number}: the quote is not closed", "correct that line")
            return value
    return re.split(r"\s+#", text, maxsplit=1)[0].strip()
