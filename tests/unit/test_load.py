"""Loading settings: any file either loads or yields an error that names its place; saving keeps what people wrote."""

import json
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import tomlkit
from hypothesis import example, given
from hypothesis import strategies as st

from samsesh.environment import keys
from samsesh.errors import USAGE, SettingsError
from samsesh.home import Home
from samsesh.load import Loaded, flat, line_of, load, nested, plain, save, validate
from samsesh.masking import masked
from samsesh.ops.config import sample, value_of
from samsesh.settings import Settings

SAMPLE = sample()
UNCOMMENTED = re.sub(r'^#(?=\w+ = (?!"\.\.\."))', "", SAMPLE, flags=re.MULTILINE)
JARGON = re.compile(r"constrained|function-|literal\[|Input should|union|pydantic", re.IGNORECASE)

scalars = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=20), st.dates(), st.times()
)
data = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)
known_names = st.sampled_from([key.split(".")[1] for key in keys()])
sections = st.sampled_from(list(Settings.model_fields))
documents = st.dictionaries(
    sections | st.text(max_size=8),
    data | st.dictionaries(known_names | st.text(max_size=8), data, max_size=4),
    max_size=4,
)


@contextmanager
def home_with(text: str | bytes) -> Iterator[Home]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "samsesh.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
        yield Home(Path(folder))


def outcome(text: str | bytes, environ: dict[str, str] | None = None) -> Loaded | SettingsError:
    """Settings, or the one error that may be; it names the file or the variable, in words for people."""
    with home_with(text) as home:
        try:
            return load(home, environ or {}, adopt=True)
        except SettingsError as error:
            found = error
        assert found.message.startswith((str(home.settings_file), *(environ or {})))
        assert found.code == USAGE
        assert found.hint
        assert not JARGON.search(found.message.replace(str(home.path), "").split(" (")[0])
        return found


def problem(text: str) -> SettingsError:
    found = outcome(text)
    assert isinstance(found, SettingsError)
    return found


@given(documents)
@example({"server": 3})
@example({"server": {}})
@example({"server.name": "x"})
@example({"": {"": 1}})
@example({"extra": {"synapse": {"when": tomlkit.parse("a = 2020-01-01").unwrap()["a"]}}})
@example({"rate_limits": {"login_burst": {"constrained-int": 1}}})
@example({"database": "postgresql://u:secret@host/db"})
def test_any_document_loads_or_names_the_place(document: dict[str, Any]) -> None:
    """Arbitrary nested data in a samsesh.toml: Settings or a SettingsError, also beside variables, and nothing else."""
    text = tomlkit.dumps(document)
    try:
        tomllib.loads(text)
    except ValueError:
        return  # not written by TOML's own rules; the next test has such texts
    found = outcome(text)
    if isinstance(found, SettingsError):
        assert "secret" not in found.message
        for path in re.findall(r"line (\d+)", found.message):
            assert 0 < int(path) <= len(text.split("\n"))
    outcome(text, {"SAMSESH_SERVER_NAME": "example.org", "TZ": "Europe/Berlin"})


@given(st.text() | st.binary())
@example("a = [" * 5000)
@example("[" + "a." * 3000 + "b]\nc = 1")
@example("[extra.synapse." + "a." * 3000 + "b]\nc = 1")
@example("[server.name." + "a." * 3000 + "b]\nc = 1")
@example("[[brand.footer_links]]\n[brand.footer_links.text." + "a." * 3000 + "b]\nc = 1")
@example("[server]\nuid = " + "9" * 5000)
@example("[synapse]\ncache_factor = inf")
@example(b"\xff\xfe")
@example("a = '\x00'")
def test_any_text_loads_or_names_the_file(text: str | bytes) -> None:
    """Arbitrary text and bytes in the place of TOML: never another exception than SettingsError."""
    outcome(text)


@given(st.data())
def test_any_slip_in_the_sample_loads_or_names_the_file(choose: st.DataObject) -> None:
    """The sample with a piece cut out, doubled or replaced, as an editor leaves it."""
    begin = choose.draw(st.integers(0, len(UNCOMMENTED)))
    end = choose.draw(st.integers(begin, min(len(UNCOMMENTED), begin + 200)))
    new = choose.draw(
        st.sampled_from(["", "\n", '"', "[", "]", "=", "1", UNCOMMENTED[begin:end] * 2]) | st.text()
    )
    outcome(UNCOMMENTED[:begin] + new + UNCOMMENTED[end:])


wrong = st.sampled_from(
    ['"\\u0000"', "-1", "0x7fffffffffff", "[[]]", "{a = 1}", "1979-05-27", "nan", "[1.5]"]
)


@given(st.sampled_from(sorted(keys())), wrong)
def test_a_wrong_value_is_told_by_path_and_line(key: str, value: str) -> None:
    """What is wrong is named by its dotted path and the line where it stands, once, with a hint for that setting."""
    section, name = key.split(".")
    old = re.compile(rf"(\[{section}\]\n(?:#.*\n|\w.*\n)*?)#?{name} = .*")
    text, count = old.subn(lambda match: f"{match[1]}{name} = {value}", UNCOMMENTED)
    assert count == 1
    found = outcome(text)
    if isinstance(found, Loaded):  # some values fit
        return
    lines = [number for number, raw in enumerate(text.split("\n"), 1) if raw == f"{name} = {value}"]
    told = re.findall(r"line (\d+): ([\w.]+)", found.message)
    if told[0][1] in ("ports", "server", "tls"):  # what does not fit together is a matter of the section
        return
    assert len(told) == 1
    assert int(told[0][0]) in lines
    assert told[0][1].startswith(key)
    assert found.hint.startswith(key)


def test_the_members_of_a_union_are_one_problem_without_pydantics_words() -> None:
    """A value that may be several things is refused in one line, which says what is wanted, and nothing of branches."""
    told = problem("[rate_limits]\nlogin_burst = 0").message
    assert told.endswith("line 2: rate_limits.login_burst (0): a number of at least 1 or 'auto' is wanted")
    assert problem('[support]\npage = "x"').message.endswith(
        "support.page ('x'): an address that begins with https:// or http:// is wanted, such as 'https://example.org/help'"
    )


def test_each_of_several_problems_has_its_own_hint() -> None:
    """Several problems are told at once, each followed by what helps with it; the last one's is the error's hint."""
    found = problem('[server]\nnmae = "x"\ntimezone = "Mars"\n[ports]\nweb = "x"\n[nonsense]')
    lines = found.message.split("\n")
    assert [line for line in lines if not line.startswith("  ")] == lines[::2]
    assert "line 3: server.timezone ('Mars'): this is no time zone name" in lines[0]
    assert lines[1].startswith("  server.timezone: Time zone of what")
    assert (
        lines[2].endswith("line 2: there is no setting server.nmae")
        and "did you mean server.name?" in lines[3]
    )
    assert "line 5: ports.web ('x'): a whole number without quotes is wanted" in lines[4]
    assert lines[5] == "  ports.web: Web client, welcome and sign-up pages."
    assert lines[6].endswith("line 6: there is no setting nonsense")
    assert "config sample" in found.hint


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("[ports]\nweb = 1", ["ports", "web"], 2),
        ("[ports]\nweb = 1", ["ports"], 1),
        ("ports.web = 1", ["ports", "web"], 1),
        ("ports = {web = 1}", ["ports", "web"], 1),
        ('["ports"]\n"web" = 1', ["ports", "web"], 2),
        (
            "[[brand.footer_links]]\ntext = ''\n[[brand.footer_links]]\ntext = ''",
            ["brand", "footer_links", "1", "text"],
            4,
        ),
        ("[[brand.footer_links]]\ntext = 'a'", ["brand", "footer_links"], 1),
        ('[brand]\nname = """\n[ports]\nweb = 8\n"""\n[ports]\nweb = 9', ["ports", "web"], 7),
        ("[extra.synapse]\na = 1", ["extra", "synapse"], 1),
        ("[server]", ["ports", "web"], 0),
    ],
)
def test_lines_are_found(text: str, path: list[str], line: int) -> None:
    """The line of a setting is found in each way to write it; that of its section where it is missing."""
    assert line_of(text, path) == line


def test_a_password_in_a_database_url_is_never_shown() -> None:
    """However the database's URL is misplaced, no message repeats it."""
    for text in (
        'database = "URL"',
        '[database]\nurl = "URL"',
        '[database]\nurl = ["URL"]',
        '[database]\nulr = "URL"',
    ):
        found = problem(text.replace("URL", "mysql://joe:hunter2@host/db"))
        assert "hunter2" not in found.message + found.hint


@pytest.mark.parametrize(
    ("section", "good", "bad"),
    [
        ("retention.messages", ["7d", "7 D", ""], ["0d", "7", "d", "-1d", "٣d"]),
        (
            "registration.auto_join_rooms",
            [["#a:example.org"]],
            [["#:example.org"], ["a:b"], ["#a:B"], ["#a"], ["!a:b"]],
        ),
        ("media.upload_size", ["100M", "2 GiB", "10"], ["M", "-1", "1 X"]),
        ("admin.name", ["alice"], ["samsesh.service", "_x", "Ä", ""]),
        ("synapse.cache_factor", [0.1, 10], [0, -1.0]),
        ("ports.turn_relay", ["50000-50100"], ["5", "2-1", "0-5", "1-70000", "8000-9000"]),
        (
            "calls.media_addresses",
            [[], ["203.0.113.7"], ["2001:DB8::7", "203.0.113.7"]],
            [["chat.example"], ["203.0.113.7", "198.51.100.7"], ["::1", "2001:db8::7"]],
        ),
        (
            "brand.footer_links",
            [[], [{"text": "a", "url": "mailto:a@b.org"}]],
            [[{"text": "a"}], [{"text": "", "url": "http://"}]],
        ),
        (
            "database.url",
            ["postgresql://a:b@c/d"],
            ["postgresql://c/d", "http://a:b@c/d", "postgresql://a@c:99999/d", "postgresql://a:b%0Ac@c/d"],
        ),
        ("brand.name", ["Ours", "ä 😀"], ["", "  ", "a" * 61]),
        ("brand.logo", ["", "logo.svg", "~/logo.svg", "/srv/ä b.png"], ["~nobody/x", "a" * 1025]),
        (
            "support.email",
            ["", "me@example.org", "a.b+c@Example.org"],
            ["me", "@b", "a b@c.org", "a@b@c", "a@-b"],
        ),
        ("support.matrix_id", ["", "@a:example.org"], ["a", "@a", "a:b", "@a:B c", "@:example.org"]),
        (
            "support.page",
            ["", "https://a.org/b?c"],
            ["mailto:a@b", "https://", "https://[a", "http://a:x", "ftp://a"],
        ),
        ("tls.directory", ["https://ca.test/dir"], ["https://ca test", "https:/ca", "ca.test"]),
        ("artifacts.mirror", ["http://mirror.test/gh"], ["mirror", "mailto:a@b.org", "https://a:99999"]),
        (
            "turn.host",
            ["", "turn.example.org", "203.0.113.7", "2001:db8::1"],
            ["a b", "a:1", "https://a", "1.2.3"],
        ),
        ("media.upload_size", ["1T"], ["0", "2000G", "9" * 5000]),
        ("turn.user_lifetime", ["100y"], ["101y", "9" * 5000 + "s"]),
        ("rate_limits.message_burst", [1, 1_000_000], [0, 10**9]),
        ("rate_limits.message_per_second", [0.001], [0, 1e9]),
        ("server.uid", [1, 65_534], [0, 2**31]),
        ("synapse.appservices", [["a.yaml"]], [["~you/a.yaml"]]),
        ("web.reach", [["https://a.org"]], [["https://a:99999"]]),
    ],
)
def test_values_that_a_program_would_refuse_are_refused_before(
    section: str, good: list[Any], bad: list[Any]
) -> None:
    """What the programs behind could not start with does not load, and what they can does."""
    for value in good:
        assert isinstance(outcome(tomlkit.dumps(nested({section: value}))), Loaded), value
    for value in bad:
        assert section.split(".")[0] in problem(tomlkit.dumps(nested({section: value}))).message, value


def test_every_text_has_a_grammar() -> None:
    """No setting is any text at all: what programs, browsers or people could not do with is refused when it is set."""
    free = {
        key
        for key, field in keys().items()
        if field.annotation in (str, list[str]) and not any(hasattr(one, "func") for one in field.metadata)
    }
    assert not free


def test_bytes_that_are_no_text_are_no_value() -> None:
    """As they come in arguments, variables and answers (PEP 383); in `extra` at any depth, names included."""
    with pytest.raises(SettingsError, match=r"brand\.name"):
        validate({"brand.name": "a\udcff"}, Home(Path("/nonexistent")))
    for odd in ({"a": ["\udcff"]}, {"\udcff": 1}):
        with pytest.raises(SettingsError, match=r"extra\.synapse"):
            validate({"extra.synapse": odd}, Home(Path("/nonexistent")))


def test_a_linked_settings_file_stays_one(tmp_path: Path) -> None:
    """Somebody who keeps it elsewhere finds every change there."""
    home, kept = Home(tmp_path / "home"), tmp_path / "kept" / "chat.toml"
    home.path.mkdir()
    kept.parent.mkdir()
    kept.write_text("# mine\n")
    home.settings_file.symlink_to(kept)
    save(home, {"brand.name": "Ours"})
    assert home.settings_file.is_symlink() and "# mine" in kept.read_text() and "Ours" in kept.read_text()


SECRETS = {
    "oidc_providers": [{"client_id": "seen", "client_secret": "hidden", "client_secret_path": "/seen"}],
    "email": {"smtp_pass": "hidden", "smtp_user": "seen"},
    "recaptcha_public_key": "seen",
    "recaptcha_private_key": "hidden",
    "password_config": {"pepper": "hidden", "policy": {"minimum_length": 9}},
    "redis": {"password": "hidden", "url": "redis://me:hidden@seen"},
    "registration_requires_token": True,
}


def test_secrets_of_extra_are_not_shown() -> None:
    """Whatever programs call them, at any depth; what is none can be read."""
    shown = json.dumps(masked("extra.synapse", SECRETS))
    assert "hidden" not in shown and shown.count("seen") == json.dumps(SECRETS).count("seen")
    assert masked("extra.synapse.email.smtp_pass", "hidden") == "***"
    assert masked("brand.name", "secret") == "secret"


def test_the_reserved_account_is_nobodys_name() -> None:
    """admin.name cannot be an account by which Samsesh works."""
    found = problem('[admin]\nname = "samsesh.service"')
    assert (
        "line 2: admin.name ('samsesh.service'): this is an account by which Samsesh works" in found.message
    )


@given(st.dictionaries(sections, st.dictionaries(known_names, st.integers(), min_size=1)))
def test_flat_and_nested_are_each_others_reverse(document: dict[str, Any]) -> None:
    """Dotted names and tables say the same."""
    assert nested(flat(document)) == document


def test_the_file_is_told_where_it_cannot_be_read(tmp_path: Path) -> None:
    """A folder in the place of the file, a missing file: an error, and defaults."""
    assert load(Home(tmp_path), {}).settings == Settings()
    (tmp_path / "samsesh.toml").mkdir()
    with pytest.raises(SettingsError, match=r"samsesh\.toml cannot be read"):
        load(Home(tmp_path), {})


def test_a_file_of_a_windows_editor_loads() -> None:
    """A byte order mark and CRLF are no part of the settings."""
    found = outcome(b"\xef\xbb\xbf[ports]\r\nweb = 9000\r\n")
    assert isinstance(found, Loaded) and found.settings.ports.web == 9000


# ---- saving

STYLES = [
    "# mine\n[extra.synapse] # why\npresence = {enabled = false}\n",
    "# mine\n[extra]\nsynapse = {}\n# end",
    "# mine\nextra.synapse.presence.enabled = true\n# end",
    "# mine\nextra = {synapse = {presence = {enabled = true}}}\n# end",
    "# mine\n[extra]\nsynapse.presence.enabled = true\n# end",
    "# mine\n[extra.synapse.presence]\nenabled = true\n[extra.synapse] # end",
    "",
]
json_values = st.recursive(
    st.booleans()
    | st.integers(-(2**31), 2**31)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
bare = st.text("abz_-09", min_size=1, max_size=6)


@given(
    st.sampled_from(STYLES),
    st.lists(st.sampled_from(["presence", "modules"]) | bare, min_size=1, max_size=3),
    json_values,
)
def test_what_is_saved_is_read_again(style: str, path: list[str], value: Any) -> None:
    """A key below extra.synapse is set in any style of file without touching the rest, comments included; or refused."""
    with home_with(style) as home:
        before = load(home, {}).settings.extra.synapse
        try:
            save(home, {".".join(["extra", "synapse", *path]): value})
        except SettingsError:
            assert home.settings_file.read_text() == style
            return
        text = home.settings_file.read_text()
        expected = json.loads(json.dumps(before))
        inner = expected
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = value
        assert load(home, {}).settings.extra.synapse == expected
        assert set(re.findall("# .*", style)) <= set(re.findall("# .*", text))


@given(st.sampled_from(sorted(keys())), st.sampled_from([SAMPLE, UNCOMMENTED, "", "# nothing\n"]))
def test_saving_a_default_keeps_the_comments(key: str, text: str) -> None:
    """Every setting can be written, into any file, and taken out again; the comments stay."""
    value = plain(value_of(key, Settings()))
    if value is None:
        return
    with home_with(text) as home:
        save(home, {key: value})
        section, name = key.split(".")
        assert name in getattr(load(home, {}).settings, section).model_fields_set
        save(home, {}, [key])
        assert name not in getattr(load(home, {}).settings, section).model_fields_set
        comments = [line for line in text.splitlines() if line.startswith("# ")]
        assert [line for line in home.settings_file.read_text().splitlines() if line in comments] == comments


def test_nothing_is_written_where_the_result_would_be_wrong() -> None:
    """A wrong value, or a file that is wrong in another place: an error, and the file is as it was."""
    for text in ("server = 3\n", "[server]\nnmae = 1\n", "[ports]\nweb = 9000\n", "= 1"):
        with home_with(text) as home:
            with pytest.raises(SettingsError):
                save(home, {"server.name": "example.org", "ports.admin": 9000 if "9000" in text else 9001})
            assert home.settings_file.read_text() == text


def test_taking_away_what_is_not_there_changes_nothing() -> None:
    """`unset` of a setting at its default leaves no empty tables."""
    with home_with("# mine\n") as home:
        save(home, {}, ["ports.web", "extra.synapse.a.b"])
        assert home.settings_file.read_text() == "# mine\n"


def test_validate_tells_where_a_value_came_from() -> None:
    """A value that is in no file is told by its place: a variable, or the command line."""
    with home_with("[server]\ntimezone = 'UTC'") as home:
        with pytest.raises(SettingsError, match=r"^command line: ports\.offset \(-1\)"):
            load(home, {}, flags={"ports.offset": -1})
        with pytest.raises(SettingsError, match=r"^SYNAPSE_SERVER_NAME: server\.name"):
            load(home, {"SYNAPSE_SERVER_NAME": "Example.org", "TZ": "Europe/Berlin"}, adopt=True)
        home.env_file.write_text("SAMSESH_PORTS_WEB=x")
        with pytest.raises(SettingsError, match=r"\.env: SAMSESH_PORTS_WEB: ports\.web \('x'\)"):
            load(home, {})
        with pytest.raises(SettingsError, match=r"^ports\.web \(0\): a number of at least 1 is wanted$"):
            validate({"ports.web": 0}, home, places={"ports.web": ""})
