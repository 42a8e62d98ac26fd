"""Rendering: what is written in a program's syntax is read back by that program's own reader as it was."""

import configparser
import io
import json
import re
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st
from supervisor.options import UnhosedConfigParser

from samsesh.formats import (
    HEADER,
    Verbatim,
    to_caddy_json,
    to_compose_yaml,
    to_ini,
    to_json,
    to_postgresql_conf,
    to_yaml,
)

printable = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | printable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(printable, inner, max_size=3),
)
names = st.from_regex(r"[a-z][a-z_]{0,9}", fullmatch=True)
MEANING = {"\\n": "\n", "\\\\": "\\", "''": "'"}  # of what stands in quotes in postgresql.conf
lines = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)


@given(st.dictionaries(printable, plain, max_size=4))
def test_yaml_is_read_as_it_was(data: dict[str, Any]) -> None:
    """YAML's reader finds what was dumped, whatever the text: no value becomes markup."""
    written = to_yaml(data)
    assert written.startswith(f"# {HEADER}".encode())
    assert yaml.safe_load(written) == data


@given(st.dictionaries(printable, plain, max_size=4))
def test_json_is_read_as_it_was(data: dict[str, Any]) -> None:
    """JSON, too."""
    assert json.loads(to_json(data)) == data


@given(st.lists(st.text("{}\\\\a", max_size=8)))
def test_caddy_json_has_no_placeholder_but_ours(texts: list[str]) -> None:
    """Every brace is behind a backslash of its own, which Caddy takes away again; a placeholder of ours stays."""
    written = json.loads(to_caddy_json({"texts": texts, "ours": [Verbatim("{http.request.host}")]}))
    assert written["ours"] == ["{http.request.host}"]
    assert not any(re.search(r"(?<!\\)[{}]", text) for text in written["texts"])
    assert [re.sub(r"\\([{}])", r"\1", text) for text in written["texts"]] == texts


@given(st.lists(st.text("${}a", max_size=8)))
def test_compose_yaml_has_no_variable(texts: list[str]) -> None:
    """Every `$` is two, which Compose reads as one."""
    written = yaml.safe_load(to_compose_yaml({"texts": texts}))["texts"]
    assert not any(len(run) % 2 for text in written for run in re.findall(r"\$+", text))
    assert [text.replace("$$", "$") for text in written] == texts


@given(
    st.dictionaries(names, printable.map(lambda text: text.replace("\0", "")) | st.integers() | st.booleans())
)
def test_postgresql_conf_has_one_line_for_each_value(data: dict[str, str | int | bool]) -> None:
    """Each value is one quoted line by PostgreSQL's grammar, and means what it was."""
    _, *written = to_postgresql_conf(data).decode().removesuffix("\n").split("\n")
    assert len(written) == len(data)
    for line, (name, value) in zip(written, data.items(), strict=True):
        # guc-file.l: STRING is \'([^'\\\n]|\\.|\'\')*\'
        match = re.fullmatch(r"(\w+) = '((?:[^'\\\n]|\\.|'')*)'", line)
        assert match and match[1] == name
        meant = {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
        assert re.sub(r"\\.|''", lambda found: MEANING[found[0]], match[2]) == meant


@given(
    st.dictionaries(
        names, lines.filter(lambda text: not re.search(r"(^|\s)[;#]", text)) | st.integers(), max_size=4
    )
)
def test_ini_is_read_as_it_was(data: dict[str, str | int]) -> None:
    """supervisord's reader finds each value in full; `%` expands nothing."""
    parser = UnhosedConfigParser()
    parser.read_file(io.StringIO(to_ini({"program:x": data}).decode()))
    for name, value in data.items():
        found = parser.saneget("program:x", name, do_expand=True, expansions={})
        assert found == str(value).strip()


def test_ini_keeps_sections_apart() -> None:
    """Sections and their order are kept; true and false are supervisord's words."""
    text = to_ini({"a": {"x": True, "y": 1}, "b": {"x": False}}).decode()
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    assert {section: dict(parser[section]) for section in parser.sections()} == {
        "a": {"x": "true", "y": "1"},
        "b": {"x": "false"},
    }
    assert text.startswith(f"; {HEADER}")
