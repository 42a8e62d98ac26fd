"""Files that the settings name go into backups from wherever they are, and come back below `files/` of the home alone."""

import io
import tarfile
from pathlib import Path

import pytest
import trustme

from samsesh.errors import SamseshError
from samsesh.home import Home
from samsesh.load import load
from samsesh.operator_files import keep
from samsesh.ops import archive, carried
from samsesh.ops.server import preview_server

CA = trustme.CA()
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    for name, content in {
        "home/logo.svg": SVG,
        "elsewhere/logo.svg": SVG + b"\n",
        "elsewhere/irc/registration.yaml": b"id: irc",
        "elsewhere/sms/registration.yaml": b"id: sms",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    there = tmp_path / "elsewhere"
    made.settings_file.write_text(
        f"""[brand]
logo = "logo.svg"  # ours
[synapse]
appservices = ["{there}/irc/registration.yaml", "{there}/sms/registration.yaml"]
"""
    )
    made.env_file.write_text(f"TZ=UTC\nSAMSESH_BRAND_BACKGROUND={there}/logo.svg\n")
    return made


def packed(home: Home, left_out: list[str], said: list[str]) -> tuple[dict[str, str], dict[str, bytes]]:
    """(path -> name, name -> content)."""
    out = io.BytesIO()
    writer = archive.writer(out)
    with writer.tar:
        names = carried.pack(preview_server(home, {}), writer, left_out, said.append)
    out.seek(0)
    with tarfile.open(fileobj=out) as tar:
        contents = {one.name: content.read() for one in tar if (content := tar.extractfile(one))}
    return names, contents


def put(folder: Path, contents: dict[str, bytes]) -> Path:
    """As an archive's are unpacked: what it has below `files/`."""
    for name, content in contents.items():
        path = folder / Path(name).relative_to("files")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def test_there_and_back(home: Home, tmp_path: Path) -> None:
    """Each comes back with its content and the name that it had, the setting leads there wherever it stood, and a second
    backup of what came back is the same again.
    """
    left_out: list[str] = []
    names, contents = packed(home, left_out, [])
    assert left_out == []
    assert set(contents) == {f"files/{name}" for name in names.values()}
    assert sorted(names.values()) == ["logo-2.svg", "logo.svg", "registration-2.yaml", "registration.yaml"]
    new = Home(tmp_path / "new")
    for own, copy in ((home.settings_file, new.settings_file), (home.env_file, new.env_file)):
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(own.read_bytes())
    for path in (home.path, tmp_path / "elsewhere"):
        path.rename(path.with_name(f"{path.name} is gone"))
    said: list[str] = []
    folder = put(tmp_path / "unpacked", contents)
    carried.bring_back(new, load(new, {}).settings, names, folder, said.append)
    settings = load(new, {}).settings
    assert (new.path / settings.brand.logo).read_bytes() == SVG
    assert (new.path / settings.brand.background).read_bytes() == SVG + b"\n"
    assert [(new.path / path).read_bytes() for path in settings.synapse.appservices] == [
        b"id: irc",
        b"id: sms",
    ]
    assert 'brand.logo is "files/logo.svg" from now on, in the home; it was "logo.svg"' in said
    assert len(said) == 4 and "# ours" in new.settings_file.read_text()
    assert new.env_file.read_text() == "TZ=UTC\n"
    assert not folder.exists()
    assert packed(new, [], [])[1] == contents


def test_files_of_a_database_url(home: Home, tmp_path: Path) -> None:
    """They come back, and the URL leads there; what it says besides stays, and no password is printed. Of a URL that was
    given at the restore, those that are here are meant.
    """
    ca, query = CA.cert_pem.bytes(), "sslmode=verify-full&sslrootcert={}&application_name=a%20b&sslkey={}"
    (tmp_path / "elsewhere/a b.pem").write_bytes(ca)
    (home.path / "db.key").write_text("key")
    before = "postgresql://me:p%2Fw@db.test:5433/chat?"
    url = before + query.format(f"{tmp_path}/elsewhere/a%20b.pem", "db.key")
    home.env_file.unlink()
    home.settings_file.write_text(f'[database]\nurl = "{url}"\n')
    names, contents = packed(home, [], [])
    assert contents == {"files/a b.pem": ca, "files/db.key": b"key"}
    for given in ((), ("database.url",)):
        new = Home(tmp_path / f"new{len(given)}")
        new.path.mkdir()
        new.settings_file.write_bytes(home.settings_file.read_bytes())
        said: list[str] = []
        folder = put(tmp_path / f"unpacked{len(given)}", contents)
        carried.bring_back(new, load(new, {}).settings, names, folder, said.append, given=given)
        found = load(new, {}).settings.database.url
        root = f"{tmp_path}/elsewhere/a%20b.pem" if given else "files/a%20b.pem"
        assert found and found.get_secret_value() == before + query.format(root, "files/db.key")
        assert (new.path / "files/db.key").read_text() == "key"
        assert 'database.url names "files/db.key" from now on, in the home; it was "db.key"' in said
        assert "p%2Fw" not in " ".join(said)


def test_what_backups_do_not_have_is_named(home: Home) -> None:
    """Programs, and what Synapse alone is told to read, are nobody's to find missing after a restore."""
    with home.settings_file.open("a") as out:
        out.write(
            f"""[artifacts]
livekit = "/opt/livekit-server"
[extra.synapse]
templates = {{ custom_template_directory = "{home.path}" }}
server_notices = {{ system_mxid_localpart = "notices" }}
"""
        )
    said: list[str] = []
    packed(home, [], said)
    assert said == [
        "artifacts.livekit names /opt/livekit-server, which backups do not have: keep it yourself",
        f"extra.synapse names {home.path}, which backups do not have: keep it yourself",
    ]


def test_what_is_gone_is_named_or_comes_from_its_copy(home: Home) -> None:
    """The last good copy goes into the backup; where there is none, the backup says what it lacks."""
    keep(home, preview_server(home, {}).files[:1])
    for name in ("home/logo.svg", "elsewhere/sms/registration.yaml"):
        (home.path.parent / name).unlink()
    left_out: list[str] = []
    said: list[str] = []
    names, contents = packed(home, left_out, said)
    assert contents[f"files/{names['logo.svg']}"] == SVG
    assert len(said) == 1 and "brand.logo" in said[0] and "last good copy goes into the backup" in said[0]
    assert len(left_out) == 1 and "synapse.appservices" in left_out[0] and "is not there" in left_out[0]
    assert len(names) == 3


HOSTILE = {
    "an absolute name": "/etc/passwd",
    "a name that leads out": "../../secret",
    "a name that is none": "",
    "a folder": "..",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_nothing_is_written_outside_the_home(home: Home, tmp_path: Path, name: str) -> None:
    """Whatever an archive says that a file is called: no other file is taken or moved, and none is put elsewhere."""
    (tmp_path / "secret").write_text("x")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    new = Home(tmp_path / "deep" / "new")
    new.path.mkdir(parents=True)
    new.settings_file.write_bytes(home.settings_file.read_bytes())
    folder = put(tmp_path / "unpacked" / "files", {"files/.env": b"planted", "files/data/x": b"planted"})
    said: list[str] = []
    carried.bring_back(new, load(new, {}).settings, {"logo.svg": name}, folder, said.append)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == {
        **before,
        new.settings_file: home.settings_file.read_bytes(),
    }
    assert "brand.logo names logo.svg, which is not in this backup" in said


def test_older_backups(home: Home, tmp_path: Path) -> None:
    """They have files of their home by their path in it: a relative or an absolute name finds them."""
    old = tmp_path / "old/home/tls/logo.svg"
    home.settings_file.write_text(f'[brand]\nlogo = "{old}"\nbackground = "pictures/b.svg"\n')
    home.env_file.unlink()
    contents = {"files/tls/logo.svg": SVG, "files/pictures/b.svg": SVG}
    carried.bring_back(
        home, load(home, {}).settings, None, put(tmp_path / "unpacked", contents), lambda text: None
    )
    brand = load(home, {}).settings.brand
    assert (brand.logo, brand.background) == ("files/tls/logo.svg", "files/pictures/b.svg")
    assert (home.path / brand.logo).read_bytes() == SVG


@pytest.mark.parametrize(
    "facts", [{"files": {"logo.svg": 3}}, {"files": ["x"]}, {"left_out": [3]}, {"left_out": 3}]
)
def test_a_manifest_that_says_something_else(facts: dict[str, object]) -> None:
    """Names and sentences of a manifest are texts, or the backup is none."""
    out = io.BytesIO()
    writer = archive.writer(out)
    with writer.tar:
        writer.finish({"server_name": "a.test", **facts})
    with pytest.raises(SamseshError, match="its manifest is not readable"):
        archive.read_manifest(out)
