"""`samsesh setup` in a real, plain terminal: every question, wrong answers, Ctrl-C, no terminal."""

import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pexpect
import pytest

from conftest import give_to_service_user
from samsesh.home import Home
from samsesh.settings_server import Ports

COMMAND = [sys.executable, "-m", "samsesh"]


def environment(**more: str) -> dict[str, str]:
    """A plain shell's variables, without any that settings are adopted from."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH", "LANG") if name in os.environ}
    return {**kept, "TERM": "dumb", "COLUMNS": "100", **more}


@pytest.fixture
def home(homes: Path) -> Home:
    return Home(Path(tempfile.mktemp(prefix="setup-", dir=homes)))


class Terminal:
    """Types answers to questions."""

    def __init__(self, home: Home, **env: str) -> None:
        arguments = [*COMMAND[1:], "--home", str(home.path), "setup", "--no-start"]
        self.child: Any = pexpect.spawn(
            COMMAND[0], arguments, env=environment(**env), timeout=20, encoding="utf-8", dimensions=(40, 100)
        )
        self.seen = ""

    def answer(self, question: str, answer: str) -> None:
        self.child.expect_exact(question)
        self.seen += self.child.before + self.child.after
        if "assword" in question or question == "The same again":
            self.child.waitnoecho(5)
        self.child.sendline(answer)

    def expect(self, text: str) -> None:
        self.child.expect_exact(text)
        self.seen += self.child.before + self.child.after

    def end(self) -> int:
        self.child.expect(pexpect.EOF)
        self.seen += self.child.before
        self.child.close()
        return int(self.child.exitstatus)


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    """Terminals that are closed at the end, whatever happened."""
    opened: list[Terminal] = []
    yield opened
    for terminal in opened:
        terminal.child.close(force=True)


def settings_of(home: Home) -> Mapping[str, Any]:
    return tomllib.loads(home.settings_file.read_text())


def test_every_question(home: Home, terminals: list[Terminal]) -> None:
    """Wrong answers are explained and asked again, right ones written; the password is never shown."""
    terminals.append(at := Terminal(home))
    at.answer("Your choice", "3")
    at.answer("Domain of the server", "")
    at.expect("a server name is wanted: a domain such as 'example.org'")
    at.answer("Domain of the server", "https://Example.org")
    at.expect("lower case")
    at.answer("Domain of the server", "chat.local")
    at.expect("does not have")
    at.answer("Is this a trial?", "n")
    at.answer("Domain of the server", "example.org")
    at.answer("which stays where it is?", "y")
    at.expect("proxy-config well-known")
    at.answer("E-mail address", "me at example.org")
    at.expect("looks like 'me@example.org'")
    at.answer("E-mail address", "me@example.org")
    at.answer("Display name", "Our Chat")
    at.answer("User name of the administrator", "Eve")
    at.expect("lower-case")
    at.answer("User name of the administrator", "eve")
    at.answer("Password:", "short")
    at.expect("at least 8")
    at.answer("Password:", "correct horse")
    at.answer("The same again", "battery staple")
    at.expect("two different passwords")
    at.answer("Password:", "correct horse")
    at.answer("The same again", "correct horse")
    at.answer("Who may make an account", "everybody")
    at.answer("Who may make an account", "closed")
    at.answer("Time zone", "Nowhere/Land")
    at.expect("no time zone")
    at.answer("Time zone", "Europe/Berlin")
    at.answer("Video calls", "jitsi")
    at.answer("Domain of the Jitsi server", "jitsi.example.org")
    at.answer("Ports", "offset")
    at.answer("Offset", "1200")
    at.expect("http 1280, https 1643, federation 9648")
    at.expect("matrix.example.org")
    assert not home.settings_file.exists()
    at.answer("Write these settings?", "yes")
    assert at.end() == 0, at.seen
    found = settings_of(home)
    assert found["server"]["name"] == "example.org" and found["server"]["access"] == "domain"
    assert found["server"]["timezone"] == "Europe/Berlin"
    assert found["hosts"]["delegation"] == "elsewhere" and found["tls"]["email"] == "me@example.org"
    assert (found["admin"]["name"], found["brand"]["name"]) == ("eve", "Our Chat")
    assert found["registration"]["mode"] == "closed"
    assert found["calls"] == {"provider": "jitsi", "jitsi_domain": "jitsi.example.org"}
    assert found["ports"]["offset"] == 1200
    assert (home.secrets_dir / "first_admin_password").read_text() == "correct horse"
    assert "correct horse" not in at.seen and "battery" not in at.seen and "\x1b[" not in at.seen


def test_again_offers_what_was_answered(home: Home, terminals: list[Terminal]) -> None:
    """Run again on a started server: the name stays, the rest is offered as it is."""
    home.prepare()
    home.settings_file.write_text('# mine\n[server]\nname = "example.org"\ntimezone = "Asia/Tehran"\n')
    home.remember(server_name="example.org", first_admin="@admin:example.org")
    give_to_service_user(home.path)
    terminals.append(at := Terminal(home))
    at.expect("Server name: example.org, which stays")
    at.answer("Your choice", "")
    at.answer("Display name", "")
    at.answer("Who may make an account", "open")
    at.answer("(Asia/Tehran)", "")
    at.answer("Video calls", "")
    at.answer("Ports", "one-by-one")
    at.answer("web (8080)", "8008")
    at.expect("web and api are both 8008")
    at.answer("web (8080)", "9090")
    for name in (*Ports.outer()[1:], "turn_relay"):
        at.child.expect(rf"{name} \([0-9-]+\): ?")
        at.child.sendline("")
    at.answer("Write these settings?", "")
    assert at.end() == 0
    found = settings_of(home)
    assert found["registration"]["mode"] == "open" and found["ports"]["web"] == 9090
    assert found["server"] == {"name": "example.org", "timezone": "Asia/Tehran", "access": "local"}
    assert home.settings_file.read_text().startswith("# mine\n")
    assert "inner" not in at.seen


def test_back_at_each_question(home: Home, terminals: list[Terminal]) -> None:
    """`<` goes back one question, from each of them, and what was answered is offered again; what only the way that was
    left asks for is not written.
    """
    terminals.append(at := Terminal(home))
    at.answer("Your choice", "<")
    at.expect("first question")
    at.answer("Your choice", "3")
    at.answer("Domain of the server", "<")
    at.answer("Your choice [1/2/3/4] (3)", "")
    at.answer("Domain of the server", "chat.local")
    at.answer("Is this a trial?", "<")
    at.answer("Domain of the server", "example.org")
    at.answer("A web site", "y")
    at.answer("E-mail address", "<")
    at.answer("A web site [y/n] (y)", "back")
    at.answer("Domain of the server (example.org)", "<")
    at.answer("Your choice", "2")
    at.answer("Name or address (example.org)", "")
    at.answer("Display name", "<")
    at.answer("Name or address", "")
    at.answer("Display name", "Our Chat")
    at.answer("User name of the administrator", "eve")
    at.answer("Password:", "correct horse")
    at.answer("The same again", "<")
    at.answer("User name of the administrator (eve)", "<")
    at.answer("Display name (Our Chat)", "")
    at.answer("User name of the administrator (eve)", "")
    at.answer("Password:", "")
    at.answer("Who may make an account", "<")
    at.answer("Password:", "")
    at.answer("Who may make an account", "open")
    at.answer("Time zone", "<")
    at.answer("Who may make an account [closed/token/open] (open)", "")
    at.answer("Time zone", "Asia/Tehran")
    at.answer("Video calls", "<")
    at.answer("Time zone (Asia/Tehran)", "")
    at.answer("Video calls", "jitsi")
    at.answer("Domain of the Jitsi server", "<")
    at.answer("(jitsi)", "off")
    at.answer("Ports", "offset")
    at.answer("Offset", "<")
    at.answer("[default/offset/one-by-one] (offset)", "one-by-one")
    at.answer("web (8080)", "<")
    at.answer("(one-by-one)", "")
    at.answer("web (8080)", "9090")
    at.answer("api (8008)", "<")
    at.answer("web (9090)", "")
    for name in (*Ports.outer()[1:], "turn_relay"):
        at.answer(f"{name} (", "")
    at.answer("Write these settings?", "<")
    at.answer("turn_relay (", "")
    at.answer("Write these settings?", "again")
    at.answer("[1/2/3/4] (2)", "")
    at.answer("Name or address (example.org)", "")
    at.answer("Display name (Our Chat)", "")
    at.answer("User name of the administrator (eve)", "")
    at.answer("Password:", "")
    at.answer("(open)", "")
    at.answer("(Asia/Tehran)", "")
    at.answer("(off)", "")
    at.answer("(one-by-one)", "default")
    at.answer("Write these settings?", "yes")
    assert at.end() == 0, at.seen
    found = settings_of(home)
    assert found["server"] == {"access": "lan", "name": "example.org", "timezone": "Asia/Tehran"}
    assert found.keys() == {"server", "brand", "admin", "registration", "calls"}
    assert found["calls"] == {"provider": "off"}
    assert not (home.secrets_dir / "first_admin_password").exists()


def test_the_internet_without_a_domain(home: Home, terminals: list[Terminal]) -> None:
    """Its public address is asked for, and is the name, too, unless another is wanted."""
    terminals.append(at := Terminal(home))
    at.answer("Your choice", "4")
    at.answer("Public address", "example")
    at.answer("Public address", "192.168.1.5")
    at.expect("no address of the internet")
    at.answer("Is this a trial?", "")
    at.answer("Public address", "8.8.4.4")
    at.answer("Name or address (8.8.4.4)", "")
    at.answer("E-mail address", "")
    at.answer("Display name", "")
    at.answer("User name of the administrator", "")
    at.answer("Password:", "")
    for question in ("Who may make an account", "Time zone", "Video calls", "Ports"):
        at.answer(question, "")
    at.answer("Write these settings?", "yes")
    assert at.end() == 0, at.seen
    server = settings_of(home)["server"]
    assert (server["access"], server["name"], server["address"]) == ("ip", "8.8.4.4", "8.8.4.4")
    assert "trial" not in server


@pytest.mark.parametrize(("choice", "asked"), [("3", "Domain of the server"), ("4", "Public address")])
def test_a_trial_is_asked_for_once(home: Home, terminals: list[Terminal], choice: str, asked: str) -> None:
    """A name or address that nobody can ever reach is taken as a trial, if it is meant so."""
    given = {"3": "x.test", "4": "192.168.1.5"}[choice]
    terminals.append(at := Terminal(home))
    at.answer("Your choice", choice)
    at.answer(asked, given)
    at.answer("Is this a trial?", "y")
    if choice == "4":
        at.answer("Name or address (192.168.1.5)", "")
    else:
        at.answer("which stays where it is?", "n")
    at.answer("E-mail address", "")
    at.answer("Display name", "")
    at.answer("User name of the administrator", "")
    at.answer("Password:", "")
    for question in ("Who may make an account", "Time zone", "Video calls", "Ports"):
        at.answer(question, "")
    at.answer("Write these settings?", "yes")
    assert at.end() == 0, at.seen
    server = settings_of(home)["server"]
    assert (server["name"], server["trial"]) == (given, True)


@pytest.mark.parametrize(("key", "code"), [("\x03", 130), ("\x04", 1)])
def test_leaving_writes_nothing(home: Home, terminals: list[Terminal], key: str, code: int) -> None:
    """Ctrl-C and Ctrl-D in the middle end with a sentence and leave no settings."""
    terminals.append(at := Terminal(home))
    at.answer("Your choice", "1")
    at.answer("Name of the server", "example.org")
    at.expect("Display name")
    at.child.send(key)
    assert at.end() == code
    assert "nothing was written" in " ".join(at.seen.split()) and "Traceback" not in at.seen
    assert not home.settings_file.exists() and not home.secrets_dir.exists()


def run(home: Home, *words: str, typed: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--home", str(home.path), "setup", *words]
    return subprocess.run(
        command, input=typed, capture_output=True, text=True, env=environment(**env), timeout=60, check=False
    )


def test_without_a_terminal(home: Home) -> None:
    """No terminal and no --yes: said, exit code 2, nothing written."""
    done = run(home)
    assert done.returncode == 2 and "--yes" in done.stderr and "Traceback" not in done.stderr
    assert not home.settings_file.exists()


def test_yes_takes_options_and_environment(home: Home) -> None:
    """--yes asks nothing; options count over the environment; the password comes from standard input."""
    words = [
        "--yes",
        "--server-name",
        "example.org",
        "--admin",
        "eve",
        "--registration",
        "closed",
        "--calls",
        "off",
    ]
    done = run(
        home,
        *[
            *words,
            "--timezone",
            "Asia/Tehran",
            "--port-offset",
            "700",
            "--admin-password-stdin",
            "--no-start",
        ],
        typed="correct horse\n",
        SYNAPSE_SERVER_NAME="example.com",
        SYNAPSE_REPORT_STATS="yes",
    )
    assert done.returncode == 0, done.stderr
    found = settings_of(home)
    assert found["server"]["name"] == "example.org" and found["server"]["report_stats"] is True
    assert found["server"]["timezone"] == "Asia/Tehran"
    assert (found["admin"]["name"], found["calls"]["provider"], found["ports"]["offset"]) == (
        "eve",
        "off",
        700,
    )
    assert (home.secrets_dir / "first_admin_password").read_text() == "correct horse"


def test_yes_for_a_domain(home: Home) -> None:
    """One line makes the settings of a public server, and tells the DNS records that it wants."""
    done = run(
        home, "--yes", "--access", "domain", "--server-name", "example.org", "--email", "me@example.org"
    )
    assert done.returncode == 0, done.stderr
    assert "matrix.example.org" in done.stdout and "before the server starts" in done.stdout
    assert settings_of(home)["server"]["access"] == "domain"


def test_wrong_options_write_nothing(home: Home) -> None:
    """A wrong name or a short password is exit code 2 with the reason."""
    for words, typed, reason in (
        (["--server-name", "Example.org"], "", "lower case"),
        (["--access", "domain", "--server-name", "chat.lan"], "", "the internet's DNS does not have"),
        (["--timezone", "Nowhere/Land"], "", "time zone"),
        (["--admin-password-stdin"], "short\n", "at least 8"),
    ):
        done = run(home, "--yes", *words, typed=typed)
        assert done.returncode == 2 and reason in done.stderr, done.stderr
    assert not home.settings_file.exists()
