"""Secrets: generated once, private, and never shown by mistake."""

import copy
import dataclasses
import json
import logging
import os
import pprint
import re
import shlex
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict
from signedjson.key import read_signing_keys

from samsesh import secrets
from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.secrets import Secret

WORD = "correct-horse"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


def test_they_are_generated_once(home: Home) -> None:
    """The second time gives the same; each is long, unlike the others, and a file of mode 0600."""
    first = secrets.ensure(home)
    files = {path.name: path for path in home.secrets_dir.iterdir()}
    names = {field.name for field in dataclasses.fields(secrets.Secrets)}
    assert files.keys() == names
    assert home.secrets_dir.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
    times = {name: path.stat().st_mtime_ns for name, path in files.items()}
    assert secrets.ensure(home) == first
    assert {name: path.stat().st_mtime_ns for name, path in files.items()} == times
    values = {getattr(first, name).reveal() for name in names}
    assert len(values) == len(names)
    assert all(len(value) >= 19 for value in values)
    assert read_signing_keys([first.signing_key.reveal()])


def test_a_missing_one_is_made_again_the_others_stay(home: Home) -> None:
    """A secret that a newer version adds is generated beside those that are there."""
    first = secrets.ensure(home)
    (home.secrets_dir / "form_key").unlink()
    second = secrets.ensure(home)
    assert second.form_key != first.form_key
    assert dataclasses.replace(second, form_key=first.form_key) == first


def test_given_and_adopted(home: Home) -> None:
    """.env counts over the files and is not kept; the environment is kept once, where nothing is yet."""
    adopted = secrets.ensure(home, adopted={"livekit_key": "adopted"})
    assert adopted.livekit_key.reveal() == "adopted"
    assert secrets.ensure(home, adopted={"livekit_key": "later"}).livekit_key.reveal() == "adopted"
    assert secrets.ensure(home, given={"livekit_key": "given"}).livekit_key.reveal() == "given"
    assert secrets.ensure(home).livekit_key.reveal() == "adopted"


def test_a_preview_keeps_nothing(home: Home) -> None:
    """Showing what `up` would do generates no secret."""
    secrets.preview(home)
    assert not home.secrets_dir.exists()


@pytest.mark.parametrize("name", ["", "macaroon_key"])
@pytest.mark.parametrize("mode", [0o750, 0o604, 0o777])
def test_open_permissions_are_refused_with_the_fix(home: Home, name: str, mode: int) -> None:
    """The command in the hint, given to a shell as it stands, mends it."""
    secrets.ensure(home)
    path = home.secrets_dir / name
    path.chmod(mode)
    with pytest.raises(SamseshError, match="open to other users") as caught:
        secrets.ensure(home)
    assert str(path) in caught.value.message
    found = re.search(r"`(.*)`", caught.value.hint)
    assert found
    subprocess.run(shlex.split(found[1]), check=True)
    secrets.ensure(home)


def test_a_link_among_them_is_refused(home: Home, tmp_path: Path) -> None:
    """Whoever may change what a link leads to could change the secret."""
    secrets.ensure(home)
    path = home.secrets_dir / "form_key"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SamseshError, match="symbolic link"):
        secrets.ensure(home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_those_of_another_user_are_refused(home: Home) -> None:
    """The message names both users."""
    secrets.ensure(home)
    os.chown(home.secrets_dir / "form_key", 65534, 65534)
    with pytest.raises(SamseshError, match="belongs to nobody, not to root"):
        secrets.ensure(home)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_an_empty_or_broken_one_is_refused(home: Home, content: bytes) -> None:
    """No server runs with an empty key that anybody can guess; the file is left as it is."""
    secrets.ensure(home)
    path = home.secrets_dir / "macaroon_key"
    path.write_bytes(content)
    with pytest.raises(SamseshError, match="macaroon_key is empty or damaged"):
        secrets.ensure(home)
    assert path.read_bytes() == content


class Model(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    value: Secret


@dataclasses.dataclass
class Holder:
    value: Secret


def test_it_never_prints_itself(caplog: pytest.LogCaptureFixture) -> None:
    """However it is shown: ***, or an error that does not hold it either."""
    secret = Secret(WORD)
    model = Model(value=secret)
    logging.getLogger("samsesh").warning("a %s and a %r", secret, secret)
    shown = [
        repr(secret),
        str(secret),
        f"{secret} {secret!r} {secret!s}",
        "%s" % secret,  # noqa: UP031 - one of the ways
        format(secret, ""),
        repr([secret, {"a": secret}]),
        pprint.pformat({"a": secret}),
        json.dumps({"a": secret}, default=str),
        repr(Holder(secret)),
        repr(dataclasses.asdict(Holder(secret))),
        repr(copy.deepcopy(secret)),
        repr(model),
        repr(model.model_dump()),
        caplog.text,
    ]
    assert not [text for text in shown if WORD in text or "***" not in text]


def test_errors_do_not_hold_it() -> None:
    """What cannot take a secret says so without its value."""
    secret = Secret(WORD)
    attempts: list[Callable[[], object]] = [
        lambda: json.dumps({"a": secret}),
        lambda: format(secret, ">20"),
        lambda: Model(value=secret).model_dump_json(),
        lambda: Model.model_validate({"value": [secret]}),
        lambda: "a" + secret,  # type: ignore[operator]
        lambda: vars(secret),
    ]
    for attempt in attempts:
        try:
            attempt()
        except Exception:  # noqa: BLE001 - whatever each of them raises
            assert WORD not in traceback.format_exc()
        else:
            pytest.fail("it was taken")


def test_equality_without_showing() -> None:
    """Two of the same value are equal; a text is not."""
    assert Secret(WORD) == Secret(WORD)
    assert len({Secret(WORD), Secret(WORD)}) == 1
    assert Secret(WORD) != Secret("other")
    assert Secret("ä") != WORD
