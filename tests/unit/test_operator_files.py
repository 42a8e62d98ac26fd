"""Files that the settings name: what is gone stops nothing, what is new is noticed, and who reads what."""

import ssl
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from samsesh import operator_files
from samsesh.engines.native import files as native
from samsesh.engines.native.placement import NativePlacement
from samsesh.environment import keys, meaning, names_file, runs_code
from samsesh.errors import SettingsError
from samsesh.facts import gather
from samsesh.home import Home
from samsesh.load import validate
from samsesh.model import Context, Plan
from samsesh.ops import config
from samsesh.ops.server import preview_server
from samsesh.plan import make_plan
from samsesh.secrets import Secret, Secrets

SVG, OTHER = b'<svg xmlns="http://www.w3.org/2000/svg"/>', b"<svg><g/></svg>"
CA = trustme.CA()
SECRETS = Secrets(**{field.name: Secret(f"the-{field.name}") for field in fields(Secrets)})
DOMAIN = {"server.name": "example.org", "server.access": "domain"}
TLS = {**DOMAIN, "tls.certificate": "chain.pem", "tls.certificate_key": "key.pem", "tls.mode": "files"}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "logo.svg").write_bytes(SVG)
    (tmp_path / "bridge.yaml").write_text("id: bridge\n")
    (tmp_path / "root.pem").write_bytes(CA.cert_pem.bytes())
    certificate(tmp_path)
    return Home(tmp_path)


def certificate(folder: Path) -> None:
    issued = CA.issue_cert("example.org")
    issued.cert_chain_pems[0].write_to_path(str(folder / "chain.pem"))
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))


def read(home: Home, values: dict[str, Any]) -> tuple[operator_files.NamedFile, ...]:
    return operator_files.read(home, validate(values, home))


def planned(home: Home, values: dict[str, Any]) -> Plan:
    settings = validate(values, home)
    programs = {"turnserver": "/usr/bin/turnserver", **gather().programs}
    facts = replace(gather(), programs=programs, addresses=("203.0.113.7",))
    return make_plan(Context(settings, SECRETS, facts, NativePlacement(home, settings, facts)))


def fingerprints(home: Home, plan: Plan) -> dict[str, str]:
    return {
        unit.name: native.fingerprint(unit, native.specification(home, plan, unit)) for unit in plan.units
    }


def test_every_setting_that_is_a_path_is_marked() -> None:
    """What says that it is a path of something is a file of the server's, or a program: no third kind is forgotten."""
    paths = {key for key in keys() if "ath of" in meaning(key)}
    paths |= {"tls.certificate", "tls.certificate_key", "synapse.appservices"}
    assert {key for key in keys() if names_file(key)} == {key for key in paths if not runs_code(key)}


SETTINGS: list[tuple[dict[str, Any], str]] = [
    ({"brand.logo": "logo.svg"}, "logo.svg"),
    ({"synapse.appservices": ["bridge.yaml"]}, "bridge.yaml"),
    ({**DOMAIN, "federation.ca": "root.pem"}, "root.pem"),
    ({**DOMAIN, "tls.directory": "https://ca.test/d", "tls.directory_ca": "root.pem"}, "root.pem"),
    (TLS, "chain.pem"),
    (TLS, "key.pem"),
    ({"turn.certificate": "chain.pem", "turn.certificate_key": "key.pem"}, "key.pem"),
    ({"database.url": "postgresql://u@db.test/s?sslmode=verify-ca&sslrootcert=root.pem"}, "root.pem"),
]


def gone(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [gone, folder, empty])
@pytest.mark.parametrize(("values", "name"), SETTINGS)
def test_a_file_that_is_gone_stops_nothing(
    home: Home, values: dict[str, Any], name: str, damage: Callable[[Path], None]
) -> None:
    """The last good copy is planned with, byte for byte, and the setting is named; without one, planning goes on too,
    and only a start is refused.
    """
    good = read(home, values)
    before = fingerprints(home, planned(home, values))
    operator_files.keep(home, good)
    damage(home.path / name)
    if damage is empty and name == "bridge.yaml":
        return  # Synapse judges what is in it
    (file,) = read(home, values)
    assert file.problem and file.content == good[0].content
    assert file.setting in file.warning and name in file.warning and "last good copy stays" in file.warning
    operator_files.check((file,))
    assert fingerprints(home, planned(home, values)) == before
    home.copy_of(file.setting, file.path).unlink()
    planned(home, values)
    (file,) = read(home, values)
    assert file.content is None and "there is no good copy of it" in file.warning
    with pytest.raises(SettingsError, match=name):
        operator_files.check((file,))


def test_a_file_that_cannot_be_read(home: Home) -> None:
    """It is named with the reason, and with who has to be able to read it."""
    (home.path / "logo.svg").unlink()
    (home.path / "logo.svg").symlink_to("logo.svg")
    (file,) = read(home, {"brand.logo": "logo.svg"})
    assert "cannot be read: Too many levels" in file.warning and "let the user" in file.warning


@pytest.mark.parametrize(("values", "name"), SETTINGS)
def test_a_file_that_changes_is_noticed(home: Home, values: dict[str, Any], name: str) -> None:
    """`up` writes what comes of it, and starts again what reads it only then: pages are served as they are, and the
    agent hands a certificate on.
    """
    before = planned(home, values)
    for path in (home.path / "chain.pem", home.path / "root.pem"):
        path.unlink()
    certificate(home.path)
    (home.path / "root.pem").write_bytes(trustme.CA().cert_pem.bytes())
    (home.path / "logo.svg").write_bytes(OTHER)
    (home.path / "bridge.yaml").write_text("id: other\n")
    after = planned(home, values)
    written = [
        {file.path: file.content for file in native.plan_files(home, plan, "python")} for plan in (before, after)
    ]  # fmt: skip
    assert written[0] != written[1]
    if values is not TLS and name != "logo.svg":
        assert fingerprints(home, before) != fingerprints(home, after)


def test_a_certificate_and_its_key_are_one_file(home: Home) -> None:
    """So that no program ever finds one without the other; a key of another certificate does not count."""
    (file,) = read(home, TLS)
    copy = home.copy_of("tls.certificate", "chain.pem")
    operator_files.keep(home, (file,))
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(copy, copy)
    assert copy.stat().st_mode & 0o777 == 0o600
    gateway = planned(home, TLS).unit("gateway")
    assert {one.path: one.live for one in gateway.files}[copy] is True
    CA.issue_cert("a.test").private_key_pem.write_to_path(str(home.path / "key.pem"))
    (new,) = read(home, TLS)
    assert new.content == file.content and "is not the key of" in new.warning


def test_it_is_named_when_it_is_set(home: Home) -> None:
    """Before anybody has to wait for a start to hear of it."""
    said: list[str] = []
    config.change(home, {"brand.logo": "loog.svg", "brand.name": "Ours"}, said.append)
    assert (
        len(said) == 1
        and "brand.logo" in said[0]
        and "loog.svg) is not there; there is no good copy of it" in said[0]
    )
    config.change(home, {"brand.logo": "logo.svg"}, said.append)
    assert len(said) == 1


def test_only_what_counts_is_asked_for(home: Home) -> None:
    """A file of a setting that counts for nothing as the server is reached stops no start."""
    nowhere = {"tls.certificate": "no.pem", "tls.certificate_key": "no.key", "tls.directory_ca": "no.pem"}
    assert read(home, {**nowhere, "federation.ca": "no.pem", "turn.certificate": "no.pem"}) == ()


def test_copies_of_what_is_no_longer_named_go(home: Home) -> None:
    """A key that nothing names any more stays in no copy."""
    operator_files.keep(home, read(home, {**TLS, "brand.logo": "logo.svg"}))
    assert len(list(home.copies_dir.iterdir())) == 2
    operator_files.keep(home, read(home, {"brand.logo": "logo.svg"}))
    assert [path.name[9:] for path in home.copies_dir.iterdir()] == ["logo.svg"]


def test_programs_read_copies_of_what_a_database_url_names(home: Home) -> None:
    """Synapse gets the copy; we ask the database with the file itself, which may be new, or else with the copy."""
    url = "postgresql://u@db.test/s?sslmode=verify-ca&sslrootcert=root.pem"
    home.settings_file.write_text(f'[database]\nurl = "{url}"\n')
    copy = home.copy_of("database.url", "root.pem")
    plan = planned(home, {"database.url": url})
    assert plan.offer.database and plan.offer.database.parameters["sslrootcert"] == str(copy)
    assert CA.cert_pem.bytes() in [file.content for file in plan.unit("synapse").files if file.path == copy]
    for place in (home.path / "root.pem", copy):
        server = preview_server(home, {})
        assert server.plan.offer.database
        assert server.plan.offer.database.parameters["sslrootcert"] == str(place)
        operator_files.keep(home, server.files)
        place.unlink()


def test_a_database_with_the_authorities_of_the_machine(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are copied for Synapse, whose OpenSSL does not know them, and are in no backup; without any, none starts."""
    values = {"database.url": "postgresql://u@db.test/s?sslmode=verify-full"}
    root = home.path / "root.pem"
    monkeypatch.setattr(operator_files, "system_authorities", lambda: root)
    plan = planned(home, values)
    copy = home.copy_of("database.url", str(root))
    assert plan.offer.database and plan.offer.database.parameters["sslrootcert"] == str(copy)
    assert copy in [file.path for file in plan.unit("synapse").files]
    assert operator_files.named(validate(values, home)) == []
    monkeypatch.setattr(operator_files, "system_authorities", lambda: None)
    monkeypatch.setattr(operator_files, "SYSTEM_AUTHORITIES", (str(home.path / "none.pem"),))
    with pytest.raises(SettingsError, match=r"none\.pem") as refused:
        operator_files.check(read(home, values))
    assert "ca-certificates" in refused.value.hint
