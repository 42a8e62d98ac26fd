"""Pages and samples made from the settings model: complete, readable for programs, and the same as in the checkout."""

import re
import tomllib
from pathlib import Path

import pytest

from samsesh import docs
from samsesh.environment import (
    DOCUMENT,
    SECRET_VARIABLES,
    from_text,
    keys,
    meaning,
    read_env_file,
    variable_of,
)
from samsesh.errors import FAILED
from samsesh.home import Home
from samsesh.load import load, plain
from samsesh.ops.config import sample, value_of
from samsesh.settings import Settings
from samsesh.settings_server import Ports

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", sorted(docs.pages(Path())), ids=str)
def test_the_checkouts_pages_are_what_the_model_says(path: Path) -> None:
    """No page of the checkout tells of an older model."""
    assert (CHECKOUT / path).read_text() == docs.pages(Path())[path]


def test_every_setting_is_documented() -> None:
    """Each setting has a description, a row of the settings page and a variable on the variables' page."""
    settings, variables = docs.settings_page(), docs.environment_page()
    for key in keys():
        assert meaning(key), key
        assert f"| `{key}` |" in settings
        assert f"| `{variable_of(key)}` | `{key}` |" in variables
    for variable in (*DOCUMENT, *SECRET_VARIABLES):
        assert f"| `{variable}` |" in variables


def test_every_port_is_on_the_page_of_ports() -> None:
    """Each port has its default, protocol and service there."""
    page = docs.ports_page()
    for name in (*Ports.numbers(), "turn_relay"):
        default = Ports.model_fields[name].default
        assert re.search(rf"^\| `ports\.{name}` \| {default} \| \S", page, re.MULTILINE), name


def test_tables_have_as_many_cells_as_columns() -> None:
    """No description breaks a table: every row of a page has the cells of its heading."""
    for page in (docs.settings_page(), docs.ports_page(), docs.environment_page()):
        columns = 0
        for line in page.splitlines():
            cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
            assert not (cells and columns) or cells == columns, line
            columns = cells


def test_the_sample_says_the_defaults(tmp_path: Path) -> None:
    """The sample loads as it is, and with all of it uncommented, to the very defaults."""
    text = sample()
    home = Home(tmp_path)
    home.settings_file.write_text(text)
    assert load(home, {}).settings == Settings()
    uncommented = re.sub(r'^#(?=\w+ = (?!"\.\.\."))', "", text, flags=re.MULTILINE)
    written = tomllib.loads(uncommented)
    for key in keys():
        section, name = key.split(".")
        value = plain(value_of(key, Settings()))
        if value is not None:
            assert written[section][name] == value
    home.settings_file.write_text(uncommented)
    assert load(home, {}).settings == Settings()


def test_the_sample_env_file_says_the_defaults(tmp_path: Path) -> None:
    """`.env.example` is one; uncommented, its variables are the document's at our defaults."""
    (tmp_path / "example").write_text(docs.env_example())
    assert read_env_file(tmp_path / "example") == {}
    (tmp_path / "example").write_text(re.sub(r"^#(?=[A-Z_]+=)", "", docs.env_example(), flags=re.MULTILINE))
    found = read_env_file(tmp_path / "example")
    assert found.keys() == DOCUMENT.keys() | SECRET_VARIABLES.keys()
    for variable, key in DOCUMENT.items():
        assert from_text(key, found[variable]) == plain(value_of(key, Settings()))


def test_drift_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` fails on a page that is missing or other than the model, names it, and writes nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["docs"])
    docs.main()
    monkeypatch.setattr("sys.argv", ["docs", "--check"])
    docs.main()
    (tmp_path / ".env.example").write_text("old")
    (tmp_path / "docs/reference/ports.md").unlink()
    with pytest.raises(SystemExit) as caught:
        docs.main()
    assert caught.value.code == FAILED
    told = capsys.readouterr().err
    assert ".env.example" in told and "ports.md" in told and "settings.md" not in told
    assert (tmp_path / ".env.example").read_text() == "old"
