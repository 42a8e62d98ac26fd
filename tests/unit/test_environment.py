"""Variables: the document's and our own, from the shell and from `.env` files."""

import json
import os
import string
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samsesh import secrets
from samsesh.environment import (
    DOCUMENT,
    SECRET_VARIABLES,
    free_value,
    from_text,
    keys,
    nearest,
    read_env_file,
    read_variables,
    runs_code,
    variable_of,
)
from samsesh.errors import SettingsError
from samsesh.home import Home
from samsesh.load import load, plain
from samsesh.ops.config import value_of
from samsesh.settings import Settings

# Every variable of the document, with a value it could have there, and what that makes of the settings.
SEED = {
    "SYNAPSE_SERVER_NAME": ("chat.example.org", "server.name", "chat.example.org"),
    "SYNAPSE_REPORT_STATS": ("yes", "server.report_stats", True),
    "TZ": ("Europe/Berlin", "server.timezone", "Europe/Berlin"),
    "UID": ("1001", "server.uid", 1001),
    "GID": ("1002", "server.gid", 1002),
    "TURN_SERVER": ("turn.example.org", "turn.host", "turn.example.org"),
    "MATRIX_THEMES": ("light,dark", "brand.themes", ["light", "dark"]),
    "ELEMENT_CALL_PORT": ("9082", "ports.call", 9082),
}
SEED_SECRETS = {"TURN_SHARED_SECRET", "LIVEKIT_KEY", "LIVEKIT_SECRET"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


def test_numbers_are_written_in_ascii() -> None:
    """Digits of other scripts are text, which no number takes, instead of numbers or a traceback."""
    for text in ("٣", "²", "１２", "1_000", "9" * 5000):  # noqa: RUF001
        assert from_text("ports.web", text) == text
    assert from_text("ports.web", "8080") == 8080 and from_text("synapse.cache_factor", "1e1") == 10.0
    for text in ("²", "٣", "9" * 5000):
        assert not read_variables({"UID": text, "GID": text}, "here", strict=True).settings


@pytest.mark.parametrize("variable", SEED)
def test_the_documents_variables_are_adopted(home: Home, variable: str) -> None:
    """Each variable of the document's table sets what it says, before the first start."""
    text, key, value = SEED[variable]
    loaded = load(home, {variable: text}, adopt=True)
    assert plain(value_of(key, loaded.settings)) == value
    assert loaded.adopted == {key: value}
    assert loaded.sources[key] == "environment"
    assert load(home, {variable: text}).settings == Settings()


def test_no_variable_of_the_document_is_forgotten() -> None:
    """The program knows all of the document's variables and no further ones without SAMSESH_."""
    assert set(DOCUMENT) == set(SEED)
    assert set(SECRET_VARIABLES) == SEED_SECRETS


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        *(("TZ", text) for text in ("", ":", "CET-1CEST,M3.5.0,M10.5.0/3", "Mars")),
        *((name, text) for name in ("UID", "GID") for text in ("", "0", "-1", "joe")),
        ("SYNAPSE_SERVER_NAME", "  "),
    ],
)
def test_what_a_shell_says_by_itself_is_no_error(home: Home, variable: str, text: str) -> None:
    """Values that shells and containers set for other ends, such as root's UID, are passed over."""
    assert load(home, {variable: text}, adopt=True).adopted == {}


def test_a_time_zone_with_a_colon_is_one(home: Home) -> None:
    """POSIX writes `TZ=:Europe/Berlin`, too."""
    assert load(home, {"TZ": ":Europe/Berlin"}, adopt=True).settings.server.timezone == "Europe/Berlin"


@pytest.mark.parametrize("variable", sorted(SEED_SECRETS))
@pytest.mark.parametrize("text", ["devkey", "secret", "SOMESECURETEXT", "Secret"])
def test_well_known_secrets_are_refused_and_replaced(home: Home, variable: str, text: str) -> None:
    """The document's example secrets are never used: a generated one is, and a warning says so without the value."""
    loaded = load(home, {variable: text}, adopt=True)
    assert loaded.adopted_secrets == {}
    assert [line for line in loaded.warnings if variable in line]
    kept = secrets.ensure(home, loaded.given_secrets, loaded.adopted_secrets)
    assert getattr(kept, SECRET_VARIABLES[variable]).reveal() != text


def test_short_secrets_are_refused_and_good_ones_kept(home: Home) -> None:
    """A secret has at least 16 characters; an adopted one stays when the variable goes, a live one does not."""
    assert load(home, {"TURN_SHARED_SECRET": "x" * 15}, adopt=True).warnings
    assert load(home, {"TURN_SHARED_SECRET": ""}, adopt=True).warnings == ()
    good = "a-good-and-long-one"
    loaded = load(home, {"TURN_SHARED_SECRET": good, "LIVEKIT_KEY": "k"}, adopt=True)
    kept = secrets.ensure(home, loaded.given_secrets, loaded.adopted_secrets)
    assert (kept.turn_shared_secret.reveal(), kept.livekit_key.reveal()) == (good, "k")
    assert secrets.ensure(home).turn_shared_secret.reveal() == good
    home.env_file.write_text("TURN_SHARED_SECRET=another-and-long-one")
    assert (
        secrets.ensure(home, load(home, {}).given_secrets).turn_shared_secret.reveal()
        == "another-and-long-one"
    )
    assert secrets.ensure(home).turn_shared_secret.reveal() == good


def test_what_is_not_set_is_said_so(home: Home) -> None:
    """A variable that differs from a setting which is empty is told so, not with nothing behind `is`."""
    (told,) = load(home, {"TURN_SERVER": "turn.example.org"}).warnings
    assert "but turn.host is not set: the settings count" in told
    with pytest.raises(SettingsError) as error:
        from_text("brand.footer_links", "x=https://y")
    assert '[{"text": "Help", "url": "https://..."}]' in error.value.hint


@pytest.mark.parametrize("key", sorted(keys()))
def test_every_setting_has_a_variable(key: str) -> None:
    """What a variable of ours says at a setting's default is that default, as the model takes it."""
    value = plain(value_of(key, Settings()))
    words = {"None": "", "True": "yes", "False": "off"}
    text = json.dumps(value) if isinstance(value, list | dict) else words.get(str(value), str(value))
    found = read_variables({variable_of(key): text}, "here", strict=True)
    if value is not None:
        assert found.settings == {key: value}
    assert found.sources == {key: variable_of(key)}


def test_the_order_of_what_counts(home: Home) -> None:
    """Flags count over the home's .env, that over samsesh.toml, that over the environment that is adopted."""
    environ = {"SAMSESH_BRAND_NAME": "shell", "SAMSESH_ADMIN_NAME": "shell"}
    assert load(home, environ, adopt=True).settings.brand.name == "shell"
    home.settings_file.write_text('[brand]\nname = "file"\n')
    assert load(home, environ, adopt=True).settings.brand.name == "file"
    home.env_file.write_text("SAMSESH_BRAND_NAME=live\n")
    assert load(home, environ, adopt=True).settings.brand.name == "live"
    loaded = load(home, environ, flags={"brand.name": "flag"}, adopt=True)
    assert loaded.settings.brand.name == "flag"
    assert loaded.adopted == {"admin.name": "shell"}
    assert loaded.sources == {"brand.name": "command line", "admin.name": "environment"}
    assert load(home, {}).sources == {"brand.name": ".env"}


def test_a_later_difference_is_told_and_not_followed(home: Home) -> None:
    """Once the server has started, the shell counts no more; what it says otherwise is reported, secrets hidden."""
    home.settings_file.write_text('[database]\nurl = "postgresql://a:hunter2@h/d"\n')
    home.remember(server_name="localhost")
    environ = {
        "SYNAPSE_SERVER_NAME": "other.org",
        "TZ": "UTC",
        "SAMSESH_DATABASE_URL": "postgresql://a:hunter3@h/d",
        "SAMSESH_RETENTION_REDACTED": "7d",
    }
    loaded = load(home, environ, adopt=True)
    assert loaded.settings.server.name == "localhost"
    assert loaded.adopted == {}
    assert len(loaded.warnings) == 2
    assert (
        "SYNAPSE_SERVER_NAME says other.org, but server.name is localhost: the settings count"
        in loaded.warnings[0]
    )
    assert "hunter" not in " ".join(loaded.warnings)


def test_unknown_variables(home: Home) -> None:
    """A slip in SAMSESH_* is told with what was meant: an error in our own .env, a remark in the shell."""
    warnings = load(home, {"SAMSESH_SERVER_NMAE": "x", "SAMSESH_HOME": "/x"}, adopt=True).warnings
    assert len(warnings) == 1
    assert "did you mean SAMSESH_SERVER_NAME?" in warnings[0]
    home.env_file.write_text("SAMSESH_SERVER_NMAE=x\nWHATEVER=1")
    with pytest.raises(SettingsError) as caught:
        load(home, {})
    assert caught.value.message == f"{home.env_file}: SAMSESH_SERVER_NMAE is no variable of Samsesh"
    assert caught.value.hint == "did you mean SAMSESH_SERVER_NAME?"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ("  A = b  ", "b"),
        ("A=", ""),
        ("A=b # why", "b"),
        ("A=b#c", "b#c"),
        ("A='b # c'", "b # c"),
        ('A="b" # c', "b"),
        ("A='it is \"quoted\"'", 'it is "quoted"'),
        ("A=$HOME `id`", "$HOME `id`"),
        ("A=a=b", "a=b"),
        ("A=1\nA=2", "2"),
        ("\ufeff# mark of Windows\r\nA=b\r", "b"),
    ],
)
def test_env_files(tmp_path: Path, line: str, value: str) -> None:
    """KEY=VALUE with quotes, comments and `export`; nothing is expanded or run."""
    (tmp_path / ".env").write_text(f"{line}\n# comment\n\n", newline="")
    assert read_env_file(tmp_path / ".env") == {"A": value}


@pytest.mark.parametrize("line", ["A", "1A=b", "A B=c", "=b", "A='b", 'A="b" c', "a.b=c"])
def test_what_is_no_env_file_is_told_with_its_line(tmp_path: Path, line: str) -> None:
    """A line that is not understood is an error with its number, not passed over."""
    (tmp_path / ".env").write_text(f"A=1\n{line}\n")
    with pytest.raises(SettingsError, match=r"\.env, line 2: "):
        read_env_file(tmp_path / ".env")


@given(st.text() | st.binary())
def test_any_env_file_is_read_or_told(text: str | bytes) -> None:
    """Arbitrary content: variables, or an error that names the file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / ".env"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
        try:
            found = read_env_file(path)
        except SettingsError as error:
            told = error.message
        else:
            told = str(path)
            assert all(isinstance(value, str) for value in found.values())
        assert told.startswith(str(path))


safe = st.text(string.ascii_letters + string.digits + " #$'\\=.,:/", max_size=20).map(str.strip)


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), safe, max_size=4))
def test_what_is_quoted_in_an_env_file_is_read_as_it_is(values: dict[str, str]) -> None:
    """Double quotes keep everything but double quotes."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / ".env"
        path.write_text("".join(f'{name}="{value}"\n' for name, value in values.items()))
        assert read_env_file(path) == values


def test_an_env_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """No file, no variables; a folder or other bytes than text are errors."""
    assert read_env_file(tmp_path / "none") == {}
    with pytest.raises(SettingsError, match="cannot be read"):
        read_env_file(tmp_path)


@given(
    st.sampled_from(sorted(keys())),
    st.text() | st.sampled_from(["[" * 100_000, '{"a":' * 50_000, "[1\nb = 2]", "[]\nb = 2"]),
)
def test_any_text_becomes_a_value_or_is_told(key: str, text: str) -> None:
    """Whatever a variable holds: a value for the model to judge, or an error that names the setting."""
    try:
        from_text(key, text)
    except SettingsError as error:
        told = error.message
    else:
        told = key
    assert told.startswith(key)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("true", True),
        ("1.5", 1.5),
        ('"1"', "1"),
        ("plain text", "plain text"),
        ("2020-01-01", "2020-01-01"),
        ("yes", "yes"),
        ("[1, 'a']", [1, "a"]),
        ('{"a": {"b": 1}}', {"a": {"b": 1}}),
        ("{a = 1}", {"a": 1}),
        ("", ""),
    ],
)
def test_values_below_extra(text: str, value: object) -> None:
    """Below extra.synapse a value is JSON or TOML where it is written so, else text."""
    assert free_value("extra.synapse.x", text) == value


def test_a_table_that_is_none_is_told() -> None:
    """What begins as a list or table and is none is no text by accident."""
    for text in ("[1", "{a", "[1] \nb = 2"):
        with pytest.raises(SettingsError, match=r"extra\.synapse\.x is neither JSON nor TOML"):
            free_value("extra.synapse.x", text)


def test_near_names() -> None:
    """A hint names what was probably meant, and nothing where nothing is near."""
    assert nearest("server.nmae", list(keys())) == "did you mean server.name?"
    assert nearest("zzz", list(keys())) == ""


def test_bytes_of_a_shell_that_are_no_text_are_told(home: Home) -> None:
    """A variable with bytes that are no UTF-8 is refused as any wrong value."""
    with pytest.raises(SettingsError, match=r"^SAMSESH_SERVER_NAME: server\.name"):
        load(home, {"SAMSESH_SERVER_NAME": os.fsdecode(b"\xff")}, adopt=True)


def test_secrets_that_programs_misread_are_replaced() -> None:
    """What coturn or LiveKit would read as something else never becomes a secret of theirs."""
    for text in (
        "sixteen characters and blanks",
        'quotes "in the middle of it"',
        "a:colon-within-the-secret",
        "#" * 20,
    ):
        found = read_variables({"TURN_SHARED_SECRET": text, "LIVEKIT_KEY": text}, "the test", strict=False)
        assert found.secrets == {}
        assert len(found.warnings) == 2 and "misread" in found.warnings[0]
        assert text not in "".join(found.warnings)


def test_what_chooses_code_is_marked() -> None:
    """Programs, their sources, images, the database and what passes through are known as what runs code; names, ports
    and pictures are not. Keys below a marked table count with it.
    """
    marked = {key for key in keys() if runs_code(key)}
    sections = {key.partition(".")[0] for key in marked}
    assert sections == {"artifacts", "images", "extra", "database"}
    assert {key for key in keys() if key.startswith(("images.", "extra."))} <= marked
    assert {key for key in keys() if key.startswith("artifacts.")} - marked == {
        "artifacts.build",
        "artifacts.offline",
    }
    assert runs_code("extra.synapse.modules")
    assert not runs_code("server.name")
    assert not runs_code("nothing.such")
