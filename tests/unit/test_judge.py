"""Every program judges its own configuration, on real ones: what it takes, what it refuses, and what it says of that."""

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import free_offset
from golden.test_golden import REGISTRATION
from programs import livekit_server, need
from samsesh import facts as machine
from samsesh.engine import Change
from samsesh.engines.native.judge import judge_unit
from samsesh.engines.native.placement import NativePlacement
from samsesh.errors import SamseshError, SettingsError
from samsesh.facts import Facts
from samsesh.home import Home
from samsesh.judging import Judged
from samsesh.load import flat, load, save, validate
from samsesh.model import Context, Judge, Unit
from samsesh.ops.judge import due, must_pass, setting_behind, unread
from samsesh.ops.server import open_server
from samsesh.plan import make_plan
from samsesh.run import run
from samsesh.secrets import ensure
from samsesh.write import write_file


@pytest.fixture
def home(homes: Path) -> Iterator[Home]:
    made = Home(homes / "judged")
    made.prepare()
    yield made
    shutil.rmtree(made.path)


def facts() -> Facts:
    found = machine.gather()
    programs = {"livekit-server": str(livekit_server()), "turnserver": need("turnserver")}
    return replace(found, programs={**found.programs, **programs}, versions={"turnserver": "4.6.1"})


def unit_of(home: Home, name: str, values: dict[str, Any]) -> Unit:
    """A unit with files to be judged, for these settings."""
    settings = validate({"ports.offset": free_offset(), **values}, home)
    found = facts()
    place = NativePlacement(home, settings, found, judged=True)
    unit = make_plan(Context(settings, ensure(home), found, place)).unit(name)
    for folder in (home.logs_dir, *unit.folders):
        folder.mkdir(parents=True, exist_ok=True)
    return unit


def judge(home: Home, name: str, values: dict[str, Any]) -> tuple[Judged, Judge]:
    unit = unit_of(home, name, values)
    assert unit.judge is not None
    judged = judge_unit(home, unit, unit.judge)
    assert not home.judged_dir.exists()
    return judged, unit.judge


@pytest.mark.parametrize("name", ["synapse", "gateway", "livekit", "rtc-auth", "postgres", "coturn"])
def test_every_program_takes_what_we_write(home: Home, name: str) -> None:
    """Each program has a judge of its own, which takes our configuration; nothing that we write is left aside, but for
    what older versions of Synapse look at.
    """
    values = {"media.url_previews": True, "server.access": "lan", "server.address": "192.0.2.7"}
    judged, _ = judge(home, name, values if name in ("synapse", "gateway", "rtc-auth") else {})
    assert judged.taken, judged.said
    if name == "synapse":
        left = [line for line in judged.said.splitlines() if "msc3266_enabled" not in line]
        assert left == ["unread database.args"]  # which it looks at where it connects


LDAP = {
    "module": "ldap_auth_provider.LdapAuthProviderModule",
    "config": {
        "enabled": True,
        "uri": "ldap://ldap.example.org",
        "base": "ou=people,dc=example,dc=org",
        "attributes": {"uid": "cn", "mail": "mail", "name": "givenName"},
    },
}
OIDC = {
    "idp_id": "idp",
    "idp_name": "Our accounts",
    "issuer": "https://idp.example.org",
    "client_id": "chat",
    "client_secret": "a secret",
    "scopes": ["openid"],
}


def test_single_sign_on(home: Home) -> None:
    """What OIDC, JWT and LDAP load is there. A key that is spelled wrong is named, with the one that was meant."""
    extra = {
        "oidc_providers": [{**OIDC, "userinfo_endpiont": "https://idp.example.org/me"}],
        "jwt_config": {"enabled": True, "secret": "a secret", "algorithm": "HS256"},
        "modules": [LDAP],
        "presense": {"enabled": False},
        "user_directory": {"show_locked_user": True},
        "experimental_features": {"msc3026_enabled": True},  # beside one that we write and nothing looks at
    }
    unit = unit_of(home, "synapse", {"extra.synapse": extra})
    assert unit.judge is not None
    judged = judge_unit(home, unit, unit.judge)
    assert judged.taken, judged.said
    warnings = sorted(unread(unit, unit.judge, judged.said))
    assert warnings == [
        "extra.synapse.oidc_providers: the homeserver (Synapse) knows no oidc_providers.0.userinfo_endpiont, and leaves "
        "it aside; did you mean userinfo_endpoint?",
        "extra.synapse.presense: the homeserver (Synapse) knows no presense, and leaves it aside; did you mean presence?",
        "extra.synapse.user_directory.show_locked_user: the homeserver (Synapse) knows no "
        "user_directory.show_locked_user, and leaves it aside; did you mean show_locked_users?",
    ]


def test_the_documents_examples_are_taken(home: Home) -> None:
    """Every example of single sign-on in the documentation, taken together, is what Synapse starts with."""
    text = (Path(__file__).parents[2] / "docs/single-sign-on.md").read_text()
    examples = re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(examples) == 3
    judged, about = judge(home, "synapse", flat(tomllib.loads("\n".join(examples))))
    assert judged.taken, judged.said
    assert not unread(unit_of(home, "synapse", {}), about, judged.said)


SAML: dict[str, Any] = {"sp_config": {"metadata": {"remote": []}}}
REFUSED: list[tuple[dict[str, Any], str, str]] = [  # settings, the one to blame, words
    ({"extra.synapse": {"modules": [{"module": "nothing.Here"}]}}, "extra.synapse.modules", "'nothing'"),
    ({"extra.synapse": {"oidc_providers": [{"idp_id": 3}]}}, "extra.synapse.oidc_providers", "idp_id"),
    ({"extra.synapse": {"max_image_pixels": "lots"}}, "extra.synapse.max_image_pixels", "lots"),
    ({"extra.synapse": {"worker_app": "x"}}, "extra.synapse", "instance_map"),
    ({"synapse.appservices": ["bridge.yaml", "broken.yaml"]}, "synapse.appservices", "broken.yaml"),
    ({"synapse.appservices": ["bridge.yaml", "bridge.yaml"]}, "synapse.appservices", "Cannot reuse ID"),
]
if not shutil.which("xmlsec1"):
    settings = {"extra.synapse": {"saml2_config": SAML}}
    REFUSED.append((settings, "extra.synapse.saml2_config", "install the package xmlsec1"))
EACH = """
import json, sys
from samsesh.synapse_module.judge import judge
print(json.dumps([judge(path) for path in sys.argv[1:]]))
"""


def test_synapse_refuses(home: Home) -> None:
    """What Synapse would not start with is refused by its own loader, which leads to the setting. All in one process,
    since Synapse takes seconds to load.
    """
    (home.path / "bridge.yaml").write_text(REGISTRATION)
    (home.path / "broken.yaml").write_text(REGISTRATION.replace("as_token", "as_tokem"))
    judges, paths = [], []
    for number, (values, _, _) in enumerate(REFUSED):
        unit = unit_of(home, "synapse", values)
        assert unit.judge is not None
        config, *others = unit.judge.files
        paths.append(config.path.with_name(f"{number}.yaml"))
        for file in (replace(config, path=paths[-1]), *others):
            write_file(file.path, file.content)
        judges.append(unit.judge)
    python = machine.gather().programs["python"]
    done = run([python, "-I", "-c", EACH, *paths], timeout=180)
    for about, (taken, lines), (_, setting, words) in zip(judges, json.loads(done.out), REFUSED, strict=True):
        assert not taken and words in lines[0]
        assert setting_behind(about, lines[0]) == setting


def test_coturn_is_tried_beside_the_one_that_runs(home: Home) -> None:
    """Its log says what it does not take, such as options that it does not know."""
    unit = unit_of(home, "coturn", {})
    assert unit.judge is not None
    wrong = tuple(replace(file, content=file.content + b"bogus-option\n") for file in unit.judge.files)
    judged = judge_unit(home, unit, replace(unit.judge, files=wrong))
    assert not judged.taken and "Bad configuration format: bogus-option" in judged.said


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("gateway", b"}", "invalid character '}'"),
        ("livekit", b"\nbogus: 1\n", "field bogus not found"),
        ("postgres", b"\nbogus = 1\n", 'unrecognized configuration parameter "bogus"'),
        ("rtc-auth", b":too:many\n", "LIVEKIT_KEY_FILE"),
    ],
)
def test_the_others_refuse(home: Home, name: str, wrong: bytes, words: str) -> None:
    """Caddy, LiveKit, PostgreSQL and the authorization service each name what they do not take."""
    unit = unit_of(home, name, {})
    assert unit.judge is not None
    first, *rest = unit.judge.files
    files = (replace(first, content=first.content + wrong), *rest)
    judged = judge_unit(home, unit, replace(unit.judge, files=files))
    assert not judged.taken and words in judged.said


def test_keys_that_are_ours_are_refused_at_once(home: Home) -> None:
    """All of Synapse's keys that we decide are named in one go, each with our setting."""
    extra = {
        "max_upload_size": "1G",
        "auto_join_rooms": [],
        "signing_key_path": "x",
        "presence": {},
        "password_config": {"enabled": False, "pepper": "x"},
    }
    with pytest.raises(SettingsError) as refused:
        validate({"extra.synapse": extra}, home)
    for words in (
        "max_upload_size is decided by Samsesh (media.upload_size)",
        "auto_join_rooms is decided by Samsesh (registration.auto_join_rooms)",
        "signing_key_path is decided by Samsesh,",
        "password_config.enabled is decided by Samsesh;",
    ):
        assert words in str(refused.value)
    assert "presence" not in str(refused.value)


def test_no_setting_is_shadowed_without_a_word(home: Home) -> None:
    """A key of Synapse's that counts in place of a setting of ours is told, whoever has set which."""
    save(home, {"extra.synapse": {"caches": {"global_factor": 2.0}, "presence": {"enabled": False}}})
    assert load(home, {}).warnings == (
        "extra.synapse.caches.global_factor counts in place of synapse.cache_factor; to have that count: "
        "samsesh config unset extra.synapse.caches.global_factor",
    )


def test_only_what_changed_is_judged(home: Home) -> None:
    """A first start of what we know is not judged, and no start with nothing to do. Later it is what has other files or
    is started again for another reason; what can be spared is not judged before it runs.
    """

    def names(action: str, *again: str, **settings: Any) -> set[str]:
        save(home, {"calls.provider": "off", **settings})
        server = open_server(home, {}, adopt=True)
        changes = [
            Change(unit.name, "restart" if unit.name in again else action) for unit in server.plan.units
        ]
        return {unit.name for unit in due(server, changes)}

    assert names("start") == set()
    assert names("start", **{"extra.synapse": {"presence": {"enabled": False}}}) == {
        "synapse",
        "gateway",
        "postgres",
    }
    server = open_server(home, {}, adopt=True)
    for unit in server.plan.units:
        for file in unit.files:
            write_file(file.path, file.content, file.mode)
    home.remember(server_name="localhost")
    assert names("keep") == names("start") == set()
    assert names("keep", "postgres") == {"postgres"}
    assert names("keep", **{"media.upload_size": "7M"}) == {"synapse", "gateway"}


def test_all_refusals_are_told_at_once(home: Home) -> None:
    """Nothing is written where a program refuses, and each refusal has its setting and what to do."""
    for name in ("chain.pem", "key.pem"):
        (home.path / name).write_text("none")
    save(home, {"calls.provider": "off"})
    home.remember(server_name="localhost")
    bridge = {"synapse.appservices": ["key.pem"], "server.name": "example.org", "server.access": "domain"}
    files = {"tls.mode": "files", "tls.certificate": "chain.pem", "tls.certificate_key": "key.pem"}
    save(home, {**bridge, **files})
    server = open_server(home, {}, adopt=True)
    before = sorted(home.path.rglob("*"))
    for unit in server.plan.units:
        for folder in unit.folders:
            folder.mkdir(parents=True, exist_ok=True)
    changes = [Change(unit.name, "restart") for unit in server.plan.units]
    with pytest.raises(SamseshError) as refused:
        must_pass(server, changes, lambda text: None)
    # But Caddy's own authority, which its loader makes where there is none.
    written = {path for path in home.path.rglob("*") if path.is_file() and "pki" not in path.parts}
    assert written == {path for path in before if path.is_file()}
    said = f"{refused.value.message}\n{refused.value.hint}"
    for setting, program in (
        ("synapse.appservices", "homeserver (Synapse)"),
        ("tls.certificate tls.certificate_key tls.mode", "gateway (Caddy)"),
    ):
        assert f"{setting}: the {program} does not take it" in said
        assert f"samsesh config unset {setting}" in said
