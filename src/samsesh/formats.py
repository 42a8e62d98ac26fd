"""Data to text in each program's own syntax. Configuration is always dumped from data, never pasted together."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

HEADER = "Written by Samsesh from samsesh.toml; changes made here are lost. Use `samsesh config set`.\n"


class _Plain(yaml.SafeDumper):
    """Writes what is told twice twice, without anchors that a reader would have to follow."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(data: Mapping[str, Any]) -> bytes:
    # In ASCII: what else is a line break to it, PyYAML writes as it is and does not read back.
    body = yaml.dump(dict(data), Dumper=_Plain, sort_keys=False, width=110, default_flow_style=False)
    return f"# {HEADER}{body}".encode()


def without_header(data: Mapping[str, Any]) -> str:
    """YAML without the line that says that changes are lost: for files that are the reader's own."""
    return to_yaml(data).decode().partition("\n")[2]


def to_json(data: Mapping[str, Any]) -> bytes:
    return (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode()


class Verbatim(str):
    """Text that Caddy is given as it is: with placeholders that we mean, or where it looks for none."""


def to_caddy_json(data: Mapping[str, Any]) -> bytes:
    """Caddy's JSON: `{` begins a placeholder in most of its texts, and is itself behind a backslash (replacer.go).

    So every text is what it says. In the few that Caddy takes literally a backslash would stay: those are `Verbatim`.
    """
    return to_json(_in_texts(data, _without_placeholders))


def _without_placeholders(text: str) -> str:
    return text if isinstance(text, Verbatim) else re.sub(r"[{}]", r"\\\g<0>", text)


def to_compose_yaml(data: Mapping[str, Any]) -> bytes:
    """Docker Compose's YAML: `$` begins a variable in every text, and is doubled (its documentation: Interpolation)."""
    return to_yaml(_in_texts(data, lambda text: text.replace("$", "$$")))


def _in_texts(data: Any, change: Callable[[str], str]) -> Any:
    """The same data, every text in it changed; keys are ours."""
    if isinstance(data, Mapping):
        return {key: _in_texts(value, change) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_in_texts(value, change) for value in data]
    return change(data) if isinstance(data, str) else data


def to_postgresql_conf(data: Mapping[str, str | int | bool]) -> bytes:
    """`name = 'value'` lines; a quote is doubled, a backslash too, a line break is `\\n` (PostgreSQL manual, 19.1.2)."""
    lines = [f"# {HEADER}"]
    for name, value in data.items():
        text = {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
        quoted = text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
        lines.append(f"{name} = '{quoted}'\n")
    return "".join(lines).encode()


def to_turnserver_conf(data: Mapping[str, str | int | bool | list[str]]) -> bytes:
    """coturn's `name=value` lines: a switch is its bare name, a list a line each; nothing quotes and nothing escapes."""
    lines = [f"# {HEADER}"]
    for name, value in data.items():
        if value is True:
            lines.append(f"{name}\n")
        elif value is not False:
            lines += [f"{name}={part}\n" for part in (value if isinstance(value, list) else [value])]
    return "".join(lines).encode()


def to_ini(sections: Mapping[str, Mapping[str, str | int | bool]]) -> bytes:
    """supervisord's INI: `%` begins an expansion there and is doubled."""
    lines = [f"; {HEADER}"]
    for section, values in sections.items():
        lines.append(f"\n[{section}]\n")
        for name, value in values.items():
            text = str(value).lower() if isinstance(value, bool) else str(value).replace("%", "%%")
            lines.append(f"{name}={text}\n")
    return "".join(lines).encode()


Block = Sequence["str | tuple[str, Block]"]  # lines, and blocks with their heads


def to_blocks(block: Block, end: str = "", indent: str = "") -> str:
    """Lines, and blocks in braces, as nginx (`end` is its semicolon) and Caddyfiles have them; comments begin with #."""
    lines = []
    for one in block:
        if isinstance(one, str):
            lines.append(f"{indent}{one}{'' if one.startswith('#') else end}\n" if one else "\n")
        else:
            head, inner = one
            lines.append(f"{indent}{head} {{\n{to_blocks(inner, end, indent + '    ')}{indent}}}\n")
    return "".join(lines)


def quoted(text: str) -> str:
    """A word as nginx, Caddy and HAProxy read it: in quotes where it is not plain."""
    if re.fullmatch(r"[\w./:@+-]+", text, re.ASCII):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
