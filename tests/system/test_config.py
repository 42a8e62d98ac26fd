"""`samsesh config` as people and programs use it."""

import json
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from conftest import Stack, give_to_service_user
from samsesh.environment import keys
from system.trouble import fine, refused


@pytest.fixture
def quiet(homes: Path, request: pytest.FixtureRequest) -> Stack:
    """A home with settings in which nothing runs."""
    stack = Stack(homes / f"config-{abs(hash(request.node.name))}", 0)
    stack.path.mkdir()
    stack.home.settings_file.write_text('# mine\n[brand]\nname = "Ours" # said grandma\n')
    give_to_service_user(stack.path)
    return stack


def test_show_tells_value_and_source(quiet: Stack) -> None:
    """Every setting is shown, with where its value comes from; what is secret is shown as ***."""
    fine(quiet.cli("config", "set", "database.url", "postgresql://u:hidden-word@localhost/db"))
    quiet.environ["SAMSESH_PORTS_WEB"] = "9000"
    (quiet.path / ".env").write_text("TZ=Europe/Berlin\n")
    give_to_service_user(quiet.path)
    done = fine(quiet.cli("config", "show", "--json"))
    found = json.loads(done.stdout)
    assert found.keys() == keys().keys()
    assert found["brand.name"] == {"value": "Ours", "source": "samsesh.toml"}
    assert found["server.timezone"]["value"] == "Europe/Berlin"
    assert found["server.timezone"]["source"] not in ("default", "samsesh.toml")
    assert found["ports.api"] == {"value": 8008, "source": "default"}
    assert found["database.url"]["value"] == "***"
    shown = fine(quiet.cli("config", "show"))
    assert "hidden-word" not in done.stdout + done.stderr + shown.stdout + shown.stderr
    assert fine(quiet.cli("config", "get", "database.url")).stdout == "***\n"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("server.timezone", "Europe/Berlin", "Europe/Berlin"),
        ("server.report_stats", "yes", True),
        ("ports.web", "9090", 9090),
        ("registration.mode", "closed", "closed"),
        ("rate_limits.message_per_second", "2.5", 2.5),
        ("rate_limits.login_burst", "auto", "auto"),
        ("brand.themes", "dark", ["dark"]),
        (
            "brand.footer_links",
            '[{"text": "Help", "url": "https://a.example"}]',
            [{"text": "Help", "url": "https://a.example"}],
        ),
        ("extra.synapse.presence.enabled", "false", False),
    ],
)
def test_set_get_unset(quiet: Stack, key: str, text: str, value: object) -> None:
    """What `set` takes, `get` gives; comments of the file stay; `unset` goes back to the default."""
    fine(quiet.cli("config", "set", key, text))
    assert json.loads(fine(quiet.cli("config", "get", key, "--json")).stdout) == value
    written = quiet.home.settings_file.read_text()
    assert "# mine" in written and "# said grandma" in written
    fine(quiet.cli("config", "unset", key))
    assert tomllib.loads(quiet.home.settings_file.read_text())["brand"] == {"name": "Ours"}
    assert "set" in (quiet.path / "audit.log").read_text()


def test_wrong_names_and_values(quiet: Stack) -> None:
    """Exit code 2 with the path, and the nearest right name; the file stays as it was."""
    before = quiet.home.settings_file.read_bytes()
    refused(quiet.cli("config", "set", "ports.wbe", "1"), 2, "ports.wbe", "did you mean ports.web?")
    refused(quiet.cli("config", "get", "brand.nam"), 2, "brand.nam", "did you mean brand.name?")
    refused(quiet.cli("config", "set", "ports.web", "eighty"), 2, "ports.web", "eighty")
    refused(quiet.cli("config", "set", "extra.synapse.listeners", "[]"), 2, "listeners is decided by Samsesh")
    assert quiet.home.settings_file.read_bytes() == before
    assert "ok" in fine(quiet.cli("config", "validate")).stdout


def test_the_sample_and_the_schema(quiet: Stack) -> None:
    """The sample is a settings file, also with every line of it in force; the schema knows every setting."""
    sample = fine(quiet.cli("config", "sample")).stdout
    uncommented = [
        line[1:]
        if line.startswith("#") and not line.startswith("# ") and not line.endswith('"..."')
        else line
        for line in sample.splitlines()
    ]
    for text in (sample, "\n".join(uncommented)):
        quiet.home.settings_file.write_text(text)
        give_to_service_user(quiet.path)
        fine(quiet.cli("config", "validate"))
    schema = json.loads(fine(quiet.cli("config", "schema")).stdout)
    sections = {
        section: schema["$defs"][entry["$ref"].rpartition("/")[2]] for section, entry in references(schema)
    }
    found = {f"{section}.{name}" for section, part in sections.items() for name in part["properties"]}
    assert found == keys().keys()


def references(schema: dict[str, dict[str, dict[str, str]]]) -> list[tuple[str, dict[str, str]]]:
    return [(name, entry) for name, entry in schema["properties"].items() if "$ref" in entry]


def test_what_needs_each_other_is_set_in_one_go(quiet: Stack) -> None:
    """Several settings are taken together or not at all, set and unset, so that no order of commands has to be found."""
    both = "tls.certificate PATH tls.certificate_key PATH tls.mode files"
    refused(quiet.cli("config", "set", "tls.mode", "files"), 2, both)
    refused(quiet.cli("config", "set", "server.access", "domain", "server.name"), 2)
    together = ("server.name", "example.org", "server.access", "domain", "tls.mode", "proxy")
    fine(quiet.cli("config", "set", *together))
    assert fine(quiet.cli("config", "get", "server.access")).stdout == "domain\n"
    fine(quiet.cli("config", "set", "tls.certificate", "a", "tls.certificate_key", "b", "tls.mode", "files"))
    refused(quiet.cli("config", "unset", "tls.certificate"), 2, both)
    fine(quiet.cli("config", "unset", "tls.certificate", "tls.certificate_key", "tls.mode"))
    refused(quiet.cli("config", "set", "brand.name", "Other", "server.name", "localhost"), 2)
    assert fine(quiet.cli("config", "get", "brand.name")).stdout == "Ours\n"


def test_settings_that_do_not_count_are_told(quiet: Stack) -> None:
    """Who names certificates or a proxy for a server of this machine alone hears that they do not count."""
    fine(quiet.cli("config", "set", "tls.mode", "proxy"))
    assert "tls.mode does not count" in fine(quiet.cli("config", "validate")).stderr


def test_what_is_no_utf8_is_said(quiet: Stack) -> None:
    """Arguments and passwords in another encoding: one sentence, whatever the locale; and UTF-8 works in any locale."""

    def given(
        *words: bytes, stdin: bytes = b"", locale: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        argv = [*(word.encode() for word in quiet.argv()), *words]
        done = subprocess.run(
            argv,
            input=stdin,
            env={**quiet.env(), **(locale or {})},
            cwd="/",
            capture_output=True,
            timeout=240,
        )
        return subprocess.CompletedProcess(argv, done.returncode, done.stdout.decode(), done.stderr.decode())

    refused(given(b"config", b"set", b"brand.name", b"Gr\xf6\xdfe"), 2, "UTF-8", r"Gr\udcf6\udcdfe")
    refused(given(b"us\xe9r"), 2, "UTF-8")
    password = (b"setup", b"--yes", b"--no-start", b"--admin-password-stdin")
    refused(given(*password, stdin=b"stra\xdfenbahn 1\n"), 2, "UTF-8")
    old = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    refused(given(*password, stdin=b"stra\xdfenbahn 1\n", locale=old), 2, "UTF-8")
    fine(given(b"config", b"set", b"brand.name", "Größe".encode(), locale=old))
    assert tomllib.loads(quiet.home.settings_file.read_text("utf-8"))["brand"]["name"] == "Größe"
    assert fine(given(b"config", b"get", b"brand.name", locale=old)).stdout == "Größe\n"


def test_a_name_that_nobody_typed_is_said_aloud(quiet: Stack) -> None:
    """A server name is for good: where a `.env` brings it, the first `up` says so before anything is started."""
    fine(quiet.cli("config", "set", "database.url", "postgresql://a:b@127.0.0.1:9/c"))  # nothing starts here
    (quiet.path / ".env").write_text("SYNAPSE_SERVER_NAME=chat.example.org\n")
    give_to_service_user(quiet.path)
    done = quiet.cli("up", "--yes")
    refused(done, 1, "127.0.0.1:9")
    assert f"the server's name is chat.example.org, from {quiet.path}/.env" in done.stderr
