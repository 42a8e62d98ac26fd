"""`samsesh config`: the settings."""

import os
from typing import Annotated, Any

import typer

from samsesh.cli.app import App
from samsesh.errors import SettingsError

app = App(help="Settings: show, get, set, unset, validate, schema, sample.")


def _complete(incomplete: str) -> list[str]:
    from samsesh.environment import keys

    return [key for key in keys() if key.startswith(incomplete)]


Key = Annotated[
    str,
    typer.Argument(
        help="A setting, such as server.name or extra.synapse.presence.",
        show_default=False,
        autocompletion=_complete,
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="For programs.")]


@app.command()
def show(ctx: typer.Context, json: JsonFlag = False) -> None:
    """Show every setting in force and where it comes from. Example: `samsesh config show`."""
    from rich.text import Text

    from samsesh.cli.output import print_json
    from samsesh.cli.tables import print_table
    from samsesh.ops import config
    from samsesh.text import one_line

    found = config.values(ctx.obj, os.environ)
    if json:
        print_json(found)
        return
    styles = {"default": "dim"}
    rows = [
        [
            Text(one_line(cell), style=styles.get(entry["source"], ""))
            for cell in (key, entry["source"], written(entry["value"]))
        ]
        for key, entry in found.items()
    ]
    print_table(("setting", "from", "value"), rows)


@app.command()
def get(ctx: typer.Context, key: Key, json: JsonFlag = False) -> None:
    """Print one setting in force. Example: `samsesh config get ports.web`."""
    from samsesh.cli.output import print_json, write
    from samsesh.load import load
    from samsesh.ops import config

    config.check_key(key)
    value = config.shown(key, load(ctx.obj, os.environ).settings)
    if json:
        print_json(value)
    else:
        write(written(value) + "\n")


@app.command("set", context_settings={"ignore_unknown_options": True})
def set_(
    ctx: typer.Context,
    key: Key,
    value: Annotated[str, typer.Argument(help="The new value.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY VALUE]...", help="More of them.", show_default=False)
    ] = None,
) -> None:
    """Change settings; those that need each other in one go.

    Examples: `samsesh config set registration.mode closed`,
    `samsesh config set server.name example.org server.access domain`.
    """
    from samsesh.cli.output import console, say
    from samsesh.ops import config

    words = [key, value, *(more or [])]
    if len(words) % 2:
        raise SettingsError(f"{words[-1]} has no value", "write each setting with its value behind it")
    changes = dict(zip(words[::2], words[1::2], strict=True))
    config.change(ctx.obj, changes, say)
    told = f"{key} is set" if len(changes) == 1 else f"{', '.join(changes)} are set"
    console.print(f"{told}. To apply it: samsesh up")


@app.command()
def unset(
    ctx: typer.Context,
    keys: Annotated[list[str], typer.Argument(help="Settings, such as server.name.", show_default=False)],
) -> None:
    """Put settings back to their defaults, all or none. Example: `samsesh config unset ports.web`."""
    from samsesh.cli.output import console, say
    from samsesh.ops import config

    config.change(ctx.obj, dict.fromkeys(keys), say)
    console.print(f"{', '.join(keys)}: back at the default. To apply it: samsesh up")


@app.command()
def validate(ctx: typer.Context) -> None:
    """Say whether the settings are right; exit code 2 where they are not. Example: `samsesh config validate`."""
    from samsesh.cli.output import console, warn
    from samsesh.load import load
    from samsesh.operator_files import read

    loaded = load(ctx.obj, os.environ)
    for warning in (*loaded.warnings, *(file.warning for file in read(ctx.obj, loaded.settings))):
        if warning:
            warn(warning)
    console.print("ok")


@app.command()
def schema() -> None:
    """Print the JSON Schema of samsesh.toml. Example: `samsesh config schema > samsesh.schema.json`."""
    from samsesh.cli.output import write
    from samsesh.ops import config

    write(config.schema() + "\n")


@app.command()
def sample() -> None:
    """Print a samsesh.toml with every setting explained. Example: `samsesh config sample`."""
    from samsesh.cli.output import write
    from samsesh.ops import config

    write(config.sample())


def written(value: Any) -> str:
    """A value on one line: text bare, everything else as JSON."""
    import json

    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
