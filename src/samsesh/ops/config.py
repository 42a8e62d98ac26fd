"""Reading and changing settings for people and programs: show, get, set, schema, sample."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from samsesh import operator_files, owners
from samsesh.artifacts import element_web
from samsesh.environment import free_value, from_text, keys, meaning, nearest
from samsesh.errors import SettingsError
from samsesh.home import Home
from samsesh.load import FREE, load, plain, save
from samsesh.masking import masked
from samsesh.settings import Settings

PROGRAMS = tuple(f"artifacts.{name}" for name in ("livekit", "turnserver", "element_call", "element_web"))
WIDTH = 118  # of the sample file


def check_key(key: str) -> None:
    """Refuse a name that is no setting; below extra.synapse and extra.element_web every name may be one."""
    if key not in keys() and not (key.startswith(FREE) and all(key.split("."))):
        raise SettingsError(
            f"there is no setting {key}", nearest(key, list(keys())) or "`samsesh config sample` shows all"
        )


def values(home: Home, environ: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Every setting in force: dotted name -> {"value", "source"}; secrets hidden."""
    loaded = load(home, environ)
    return {
        key: {"value": shown(key, loaded.settings), "source": loaded.sources.get(key, "default")}
        for key in keys()
    }


def shown(key: str, settings: Settings) -> Any:
    return masked(key, plain(value_of(key, settings)))


def value_of(key: str, settings: Settings) -> Any:
    section, name, *inner = key.split(".")
    value = getattr(getattr(settings, section), name)
    for part in inner:
        if not isinstance(value, dict) or part not in value:
            raise SettingsError(f"{key} is not set", f"`samsesh config get {section}.{name}` shows what is")
        value = value[part]
    return value


def change(home: Home, texts: Mapping[str, str | None], say: Callable[[str], None]) -> None:
    """Set settings to what their texts say, or back to their defaults (None), all or none."""
    for key in texts:
        check_key(key)
    home.prepare()
    made = home.state().get("server_name")
    if made and texts.get("server.name", made) != made:
        raise SettingsError(
            f"this server is called {made} for good: its name is part of every account and room",
            "to begin again under another name: samsesh destroy",
        )
    texts = {
        key: _full_path(key, text, say) if key in PROGRAMS and text else text for key, text in texts.items()
    }
    changes = {
        key: (from_text if key in keys() else free_value)(key, text)
        for key, text in texts.items()
        if text is not None
    }
    with home.lock("config", say):
        save(home, changes, [key for key, text in texts.items() if text is None])
        home.audit("config set", target=" ".join(texts))
    for file in operator_files.read(home, load(home, {}).settings):
        if file.problem and file.setting in texts:
            say(file.warning)


def _full_path(key: str, text: str, say: Callable[[str], None]) -> str:
    """A program or bundle as the person who names it means it, from the folder that they are in; it can be read."""
    path = Path(text.strip()).expanduser().absolute()
    if not os.access(path, os.R_OK):
        raise SettingsError(
            f"{key}: {path} is not there, or the user {owners.name(os.geteuid())}, who runs the server, cannot read it",
            "put it where every user can read it, such as /opt or /srv, and name that",
        )
    if key == "artifacts.element_web" and (remark := element_web.check_named(path)):
        say(remark)
    return str(path)


def schema() -> str:
    return json.dumps(Settings.model_json_schema(), indent=1)


def sample() -> str:
    """samsesh.toml with every setting, commented out at its default, and what it means."""
    import tomlkit

    lines = [
        "# Every setting of samsesh.toml, at its default. Uncomment what you change; `samsesh up` applies it."
    ]
    lines.append("# Made by `samsesh config sample`.")
    defaults = Settings()
    for section, part in Settings.model_fields.items():
        assert part.annotation is not None
        about = (part.annotation.__doc__ or "").strip().splitlines()[0]
        lines += ["", f"# {about}", f"[{section}]"]
        for name in part.annotation.model_fields:
            value = plain(value_of(f"{section}.{name}", defaults))
            written = (
                '"..."'
                if value is None
                else _inline(tomlkit.item(value) if not isinstance(value, list | dict) else value)
            )
            told = wrap(meaning(f"{section}.{name}"), WIDTH, break_on_hyphens=False)
            lines += [*(f"# {line}" for line in told), f"#{name} = {written}"]
    return "\n".join(lines) + "\n"


def _inline(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_inline(part)}" for key, part in value.items()) + "}"
    if hasattr(value, "as_string"):
        return str(value.as_string())
    return json.dumps(value, ensure_ascii=False)
