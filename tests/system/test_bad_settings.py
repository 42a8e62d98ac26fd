"""Wrong settings, through the command line: each is told with its place and with what to do, and nothing starts."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pexpect
import pytest

from conftest import Stack, give_to_service_user
from system.trouble import ROOT, fine, refused


@pytest.fixture(scope="module")
def quiet(homes: Path) -> Stack:
    """A home in which nothing is ever started."""
    path = homes / "quiet"
    path.mkdir()
    return Stack(path, 0)


@pytest.fixture
def settings(quiet: Stack) -> Callable[..., Stack]:
    """Puts files into the home, in the place of those that were there."""

    def put(text: str | bytes = "", env: str = "") -> Stack:
        content = text if isinstance(text, bytes) else text.encode()
        quiet.home.settings_file.unlink(missing_ok=True)
        quiet.home.settings_file.write_bytes(content)
        quiet.home.env_file.write_text(env)
        give_to_service_user(quiet.path)
        return quiet

    return put


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[server\nname = "x"', ("samsesh.toml", "no TOML", "line 1")),
        ('[server]\nname = "a"\nname = "b"', ("no TOML", "line 3")),
        ('[server]\n\nnmae = "x"', ("line 3: there is no setting server.nmae", "did you mean server.name?")),
        ("[sevrer]\nname = 1", ("line 1: there is no setting sevrer", "did you mean server?")),
        ('[ports]\nweb = "8080"', ("line 2: ports.web ('8080'): a whole number without quotes is wanted",)),
        ("server = 3", ("line 1: server", "[section] is wanted")),
        ("[ports]\nweb = 70000", ("line 2: ports.web (70000)", "65535")),
        ("[ports]\nweb = 9000\napi = 9000", ("web and api are both 9000", "another port")),
        ("[ports]\nturn = 49170", ("turn is 49170, within turn_relay",)),
        (
            "[ports]\nweb = 20_000\nhttp = 52_000\nhttps = 55_000\noffset = 60_000",
            ("line 5: ports.offset (60000)",),
        ),
        ('[server]\nname = "my server"', ("line 2: server.name ('my server')", "such as 'example.org'")),
        ('[server]\nname = "999.1.1.1"', ("line 2: server.name", "IPv4")),
        ('[server]\ntimezone = "Europe/Berlni"', ("line 2: server.timezone", "'Europe/Berlin'")),
        ('[database]\nurl = "mysql://me:hunter2@host/db"', ("line 2: database.url (***)", "postgresql://")),
        ('[database]\nurl = "postgresql://host"', ("line 2: database.url", "user, host and database")),
        ('[media]\nupload_size = "lots"', ("line 2: media.upload_size ('lots')", "'100M'")),
        ('[brand]\nname = ""', ("line 2: brand.name",)),
        (
            '[server]\nname = "chat.lan"\naccess = "lan"\n[tls]\nmode = "proxy"',
            ("a web server in front (tls.mode proxy) is for server.access domain, and it is lan",),
        ),
        (b'[brand]\nname = "caf\xe9"', ("samsesh.toml is not UTF-8 text", "save it as UTF-8")),
    ],
)
def test_a_wrong_file_is_told(
    settings: Callable[..., Stack], text: str | bytes, words: tuple[str, ...]
) -> None:
    """`config validate`: exit code 2, the file, the line, the setting, what is wanted; never a password."""
    done = settings(text).cli("config", "validate")
    refused(done, 2, *words)
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command", ["up --yes", "up --dry-run", "status", "restart", "user list", "config show"]
)
def test_every_command_says_the_same(settings: Callable[..., Stack], command: str) -> None:
    """Whatever needs the settings refuses wrong ones with exit code 2 and leaves the home as it was."""
    stack = settings('[server]\nnmae = "x"')
    refused(stack.cli(*command.split()), 2, "line 2: there is no setting server.nmae", "did you mean")
    assert not stack.home.data_dir.exists()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("server.nmae", "x", ("there is no setting server.nmae", "did you mean server.name?")),
        ("ports.web", "many", ("ports.web ('many')", "whole number")),
        ("server.timezone", "Mars/Base", ("server.timezone", "Europe/Berlin")),
        (
            "database.url",
            "mysql://me:hunter2@host/db",
            (
                "database.url (***)",
                "postgresql://",
            ),
        ),
        ("extra.synapse", "{", ("extra.synapse", "neither JSON nor TOML")),
        ("extra.synapse", '{"listeners": []}', ("extra.synapse", "listeners")),
    ],
)
def test_a_wrong_value_is_not_written(
    settings: Callable[..., Stack], key: str, value: str, words: tuple[str, ...]
) -> None:
    """`config set` with a wrong name or value: exit code 2, and the file stays as it was."""
    stack = settings("# mine\n")
    done = stack.cli("config", "set", key, value)
    refused(done, 2, *words)
    assert "hunter2" not in done.stderr
    assert stack.home.settings_file.read_text() == "# mine\n"


def test_a_settings_file_that_cannot_be_read(settings: Callable[..., Stack]) -> None:
    """Closed to us, or a folder: told with the file's name."""
    stack = settings()
    file = stack.home.settings_file
    file.chmod(0)
    refused(
        stack.cli("config", "validate"),
        2,
        f"{file} cannot be read",
        "give it to who runs this" if os.geteuid() == 0 else "owner and mode",
    )
    file.unlink()
    file.mkdir()
    refused(stack.cli("config", "validate"), 2, f"{file} cannot be read")
    file.rmdir()


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("TZ=UTC\nnonsense\n", (".env, line 2", "not KEY=VALUE")),
        ('TZ="UTC\n', (".env, line 1", "quote is not closed")),
        ("SAMSESH_SERVER_NMAE=x\n", (".env", "SAMSESH_SERVER_NMAE", "did you mean SAMSESH_SERVER_NAME?")),
        ("SAMSESH_PORTS_WEB=many\n", ("SAMSESH_PORTS_WEB: ports.web ('many')", "whole number")),
        ("SYNAPSE_SERVER_NAME=my server\n", ("SYNAPSE_SERVER_NAME: server.name ('my server')",)),
    ],
)
def test_a_wrong_env_file_is_told(settings: Callable[..., Stack], env: str, words: tuple[str, ...]) -> None:
    """The home's .env is checked as the settings are: the line, or the variable by its name."""
    refused(settings(env=env).cli("config", "validate"), 2, *words)


def test_env_in_the_home_is_live(settings: Callable[..., Stack]) -> None:
    """What the home's .env says counts over samsesh.toml, as long as it stands there."""
    stack = settings('[brand]\nname = "Of the file"\n', 'SAMSESH_BRAND_NAME="Of the variable" # a comment\n')
    assert fine(stack.cli("config", "get", "brand.name")).stdout == "Of the variable\n"
    stack.home.env_file.unlink()
    assert fine(stack.cli("config", "get", "brand.name")).stdout == "Of the file\n"


def test_the_first_environment_is_adopted(settings: Callable[..., Stack], tmp_path: Path) -> None:
    """`setup` keeps what the shell and a .env in the current folder say; weak secrets and no zones are left out."""
    stack = replace(settings(), prefix=("sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path)))
    (tmp_path / ".env").write_text(
        "SYNAPSE_SERVER_NAME=example.org\nSYNAPSE_REPORT_STATS=yes\nLIVEKIT_SECRET=secret\nOTHERS=1\n"
    )
    good = "a-long-secret-of-mine"
    stack.environ = {"SYNAPSE_REPORT_STATS": "no", "TURN_SHARED_SECRET": good, "TZ": "Nowhere/At-all"}
    done = fine(stack.cli("setup", "--yes", "--no-start"))
    assert "LIVEKIT_SECRET is a well-known or short value; a generated one is used" in done.stderr
    assert "TZ=Nowhere/At-all names no time zone" in done.stderr
    kept = stack.home.secrets_dir
    assert (kept / "turn_shared_secret").read_text() == good
    assert len((kept / "livekit_secret").read_text()) > 30
    stack.environ, stack.prefix = {}, ()
    assert fine(stack.cli("config", "get", "server.name")).stdout == "example.org\n"
    assert fine(stack.cli("config", "get", "server.report_stats")).stdout == "false\n"
    shutil.rmtree(kept)


def test_a_variable_is_not_followed_outside_of_up(settings: Callable[..., Stack]) -> None:
    """A shell that says something else than the settings is reported and changes nothing."""
    stack = settings('[server]\nname = "example.org"\n')
    stack.environ = {"SYNAPSE_SERVER_NAME": "other.example", "SAMSESH_PORTS_WBE": "1"}
    try:
        done = fine(stack.cli("config", "validate"))
        assert "SYNAPSE_SERVER_NAME says other.example, but server.name is example.org" in done.stderr
        assert fine(stack.cli("config", "get", "server.name")).stdout == "example.org\n"
    finally:
        stack.environ = {}


def test_wrong_usage(quiet: Stack) -> None:
    """Unknown commands and options end with 2 and say what there is."""
    for words in (
        ("upp",),
        ("up", "--port-offset", "many"),
        ("logs", "--since"),
        ("config", "set", "brand.name"),
    ):
        done = quiet.cli(*words)
        assert done.returncode == 2
        assert done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(not ROOT, reason="root alone reaches homes of other users")
def test_a_home_of_somebody_else(homes: Path) -> None:
    """As root a home that belongs to another user is refused, with the command that gives it over."""
    path = homes / "of-root"
    path.mkdir()
    (path / "something").touch()
    refused(Stack(path, 0).cli("up", "--yes"), 1, "belongs to root", f"chown -R samsesh: {path}")


def test_beside_an_older_installation(homes: Path, tmp_path: Path) -> None:
    """In its folder, which may be root's alone, no new server is made by `--yes`, by setup, or by Enter at the question;
    what to do is said, and nothing of the home is there.
    """
    (tmp_path / "synapse").mkdir()
    (tmp_path / "synapse/homeserver.db").write_text("SQLite format 3")
    (tmp_path / "synapse/old.test.signing.key").write_text("ed25519 a_x y")
    tmp_path.chmod(0o700)
    stack = Stack(homes / "newer", 0, prefix=("sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path)))
    for command in (("up", "--yes"), ("setup", "--yes"), ("up",)):
        words = (str(tmp_path), "older installation of the server old.test", "homeserver.db", "--new-server")
        refused(stack.cli(*command), 2, *words)
    at: Any = pexpect.spawn(stack.argv("up")[0], stack.argv("up")[1:], env=stack.env(), timeout=60, cwd="/")
    at.expect_exact("Make a new server all the same?")
    at.sendline("")
    at.expect_exact("nothing was made")
    at.expect(pexpect.EOF)
    at.close()
    assert at.exitstatus == 2
    assert not stack.path.exists()
    assert "none of its accounts" in " ".join(fine(stack.cli("up", "--dry-run")).stderr.split())
