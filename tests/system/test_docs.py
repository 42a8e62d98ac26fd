"""The documentation's commands: blocks marked `sh` run on a real server, page by page; all others are ones that exist.

A block of YAML whose first line is `# NAME` is a file, which lies beside where the commands are given.
"""

import json
import re
import shlex
import stat
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import pexpect
import pytest
import typer
import typer.exceptions
import typer.main

from conftest import SERVICES, Stack
from samsesh import diagnosis
from samsesh.cli.main import app
from samsesh.environment import free_value, from_text, keys
from samsesh.errors import SettingsError
from samsesh.home import Home
from samsesh.load import validate
from samsesh.ops import config

CHECKOUT = Path(__file__).parents[2]
DOCS = CHECKOUT / "docs"
PAGES = {path.relative_to(CHECKOUT).as_posix(): path.read_text() for path in DOCS.glob("*.md")}
PAGES["README.md"] = (CHECKOUT / "README.md").read_text()
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
BEHIND = frozenset({"|", "||", "&&", ";", ">", ">>", "<", "(", ")"})  # which end a command
LOGS = SERVICES | {"agent", "splitter", "catch-up"}
PASSWORD = "long enough for all"
SECONDS = 240


def fenced(page: str, language: str) -> list[str]:
    return [text for mark, text in FENCED.findall(PAGES[page]) if mark == language]


def pieces(text: str) -> Iterator[str]:
    """What is marked as code: lines of blocks, those that go on joined, and what is within a text."""
    blocks = [block for _, block in FENCED.findall(text)]
    text = FENCED.sub("", text)
    blocks += re.findall(r"^ {4,}(.*)$", text.replace("\\\n", " "), re.MULTILINE)
    for block in blocks:
        yield from block.replace("\\\n", " ").splitlines()
    for piece in INLINE.findall(re.sub(r"^ {4,}.*$", "", text, flags=re.MULTILINE)):
        yield " ".join(piece.replace(r"\|", "|").split())


def commands(text: str) -> Iterator[list[str]]:
    """The words behind each `./samsesh`, or behind a `samsesh` that begins a command."""
    for piece in filter(lambda piece: "samsesh" in piece, pieces(text)):
        lexer = shlex.shlex(piece.replace("$(", "("), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # no shell's words
            continue
        for at, word in enumerate(words):
            first = at == 0 or words[at - 1] in BEHIND or words[at - 1] == "sudo"
            if word == "./samsesh" or (word == "samsesh" and first):
                given = list(takewhile(lambda word: word not in BEHIND, words[at + 1 :]))
                if given and "..." not in given:
                    yield given


def problem_of(words: list[str]) -> str:
    """Why there is no such command; "" if there is. `--help`, and in running text what a group, a command or an option
    takes, are left at that.
    """
    command: Any = typer.main.get_command(app)
    context, name, rest = None, "samsesh", list(words)
    try:
        while rest and hasattr(command, "resolve_command"):
            context = command.make_context(name, rest, parent=context)
            name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        given = command.make_context(name, rest, parent=context).params
        if name == "doctor":
            diagnosis.choose(diagnosis.all_checks(), given["groups"] or (), given["only"] or ())
        elif words[0] == "config":
            check_settings(given)
    except (typer.Exit, typer.exceptions.TyperException, SettingsError) as ended:
        left_out = type(ended).__name__ in ("Exit", "NoArgsIsHelpError", "MissingParameter", "BadOptionUsage")
        return "" if left_out else str(ended)
    unknown = {*given["services"]} - LOGS if given.get("services") else set()
    return f"no service {unknown}" if unknown else ""


def check_settings(given: dict[str, Any]) -> None:
    """What `config get`, `set` and `unset` name are settings, and values are good together; those in capitals are the
    reader's to fill in.
    """
    pairs = [given["key"], given["value"], *(given["more"] or [])] if "value" in given else []
    named = [*pairs[::2], *(given.get("keys") or []), *([given["key"]] if "key" in given else [])]
    for key in {*named} - {"KEY"}:
        config.check_key(key)
    values = {
        key: (from_text if key in keys() else free_value)(key, value)
        for key, value in zip(pairs[::2], pairs[1::2], strict=True)
        if not value.isupper()
    }
    validate(values, Home(Path("/nonexistent")))


def test_every_way_of_marking_a_command_is_read() -> None:
    """In a block marked `sh`, in an indented one, over two lines, before a pipe, within a text, behind `sudo`."""
    for page, words in (
        ("docs/users.md", "user add maria"),
        ("README.md", "up"),
        ("docs/firewall.md", "ports --firewall ufw"),
        ("docs/security.md", "doctor --only origins"),
        ("docs/docker.md", "config set server.uid N server.gid N"),
    ):
        assert words.split() in list(commands(PAGES[page]))
    assert any(words[-2:] == ["tls.mode", "files"] for words in commands(PAGES["docs/certificates.md"]))


@pytest.mark.parametrize("page", sorted(PAGES))
def test_every_command_exists(page: str) -> None:
    """Command, options, arguments and their kinds, settings, checks and services: nothing that a page names is gone."""
    problems = {" ".join(words): problem_of(words) for words in commands(PAGES[page])}
    assert {words: problem for words, problem in problems.items() if problem} == {}


@pytest.mark.parametrize(
    "words",
    [
        *("upp", "up --no", "up --port-offset many", "user adds", "doctor --only dsk", "logs x"),
        *("config get ports.wep", "config set ports.wep 1", "config set ports.web many"),
    ],
)
def test_what_does_not_exist_is_seen(words: str) -> None:
    """The test above can fail."""
    assert problem_of(words.split())


def test_links_lead_somewhere() -> None:
    """Within the documentation every link leads to a file and a heading, and the index knows every page."""
    for page, text in PAGES.items():
        for target in LINK.findall(text):
            path, _, heading = target.partition("#")
            if "://" in target:
                continue
            leads = (CHECKOUT / page).parent / path if path else CHECKOUT / page
            assert leads.exists(), f"{page}: {target}"
            assert not heading or heading in anchors(leads.read_text()), f"{page}: {target}"
    index = {target.partition("#")[0] for target in LINK.findall(PAGES["docs/README.md"])}
    there = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"README.md"}
    assert there <= index


def anchors(text: str) -> set[str]:
    """Headings as GitHub links them."""
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_named_settings_are_there() -> None:
    """What looks like a setting, since it begins with the name of a section, is one."""
    sections = {key.partition(".")[0] for key in keys()}
    for page, text in PAGES.items():
        for key, section in re.findall(r"`(([a-z_]+)\.[a-z_]+)(?:`| = )", text):
            names_file = key.endswith((".py", ".toml"))
            assert section not in sections or names_file or key in keys(), f"{page}: {key}"


@dataclass(frozen=True)
class Desk:
    """A folder with a `./samsesh` for the shared server, where a person sits at a terminal."""

    folder: Path
    stack: Stack

    def give(self, block: str) -> str:
        """Type the commands of a block; all must succeed. Questions are for a password. Returns what is printed."""
        env = {**self.stack.env(), "SAMSESH_HOME": str(self.stack.path), "TERM": "dumb", "COLUMNS": "100"}
        shell: Any = pexpect.spawn(
            "/bin/sh",
            ["-euc", block],
            env=env,
            cwd=str(self.folder),
            timeout=SECONDS,
            encoding="utf-8",
            dimensions=(40, 100),
        )
        seen = ""
        while shell.expect_exact(["Password:", "The same again:", pexpect.EOF]) < 2:
            seen += f"{shell.before}{shell.after}"
            shell.waitnoecho(5)
            shell.sendline(PASSWORD)
        seen += str(shell.before)
        shell.close()
        assert shell.exitstatus == 0, f"{block}\n{seen}"
        assert "Traceback" not in seen
        return seen


@pytest.fixture
def desk(stack: Stack, homes: Path) -> Desk:
    folder = Path(tempfile.mkdtemp(prefix="desk-", dir=homes))
    folder.chmod(0o755)
    program = folder / "samsesh"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m samsesh "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return Desk(folder, stack)


RUN = sorted(page for page in PAGES if fenced(page, "sh") and page != "docs/bridges.md")


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN)
def test_the_commands_of_a_page_work(desk: Desk, page: str) -> None:
    """Typed in order, each ends with exit code 0."""
    for block in fenced(page, "sh"):
        desk.give(block)


@pytest.mark.slow
def test_a_bridge_is_let_in(desk: Desk) -> None:
    """With the registration of the page about bridges, its token is that of its bot; without it, nobody's."""
    for text in fenced("docs/bridges.md", "yaml"):
        name = text.partition("\n")[0].removeprefix("# ")
        (desk.folder / name).write_text(text)
    add, *looks, remove = fenced("docs/bridges.md", "sh")
    desk.give(add)
    try:
        asked = urllib.request.Request(f"{desk.stack.url('homeserver')}/_matrix/client/v3/account/whoami")
        asked.add_header("Authorization", "Bearer MADE_BY_THE_BRIDGE")
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert json.load(answer)["user_id"] == "@whatsappbot:localhost"
        for block in looks:
            desk.give(block)
    finally:
        desk.give(remove)
    assert desk.stack.cli("config", "get", "synapse.appservices").stdout == "[]\n"
