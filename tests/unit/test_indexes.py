"""Where Python packages are looked for: what the settings of uv and pip say."""

import os
from pathlib import Path

import pytest

from samsesh import indexes

A, B, C = "https://a.example.org/simple", "https://b.example.org/simple", "https://c.example.org/simple"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def pip_conf(home: Path, text: str, name: str = ".config/pip/pip.conf") -> None:
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(text)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, [indexes.USUAL_INDEX]),
        ({"PIP_INDEX_URL": A, "PIP_EXTRA_INDEX_URL": f"{B}\n{C}"}, [A, B, C]),
        ({"UV_INDEX_URL": A, "PIP_INDEX_URL": B}, [A]),
        ({"UV_DEFAULT_INDEX": f"company={A}", "UV_INDEX": f"{B} other={C}"}, [A, B, C]),
        ({"UV_DEFAULT_INDEX": f"{A}?x=y"}, [f"{A}?x=y"]),
        ({"PIP_NO_INDEX": "true", "PIP_INDEX_URL": A}, []),
        ({"UV_NO_INDEX": "1"}, []),
    ],
)
def test_variables(home: Path, environ: dict[str, str], expected: list[str]) -> None:
    """uv's before pip's; PyPI is asked if nothing names another."""
    assert indexes.read({"HOME": str(home), "PIP_CONFIG_FILE": os.devnull, **environ}).indexes == expected


def test_files_of_pip(home: Path) -> None:
    """Its own files in its order, [install] over [global], variables over both; lists may have lines."""
    pip_conf(home, f"[global]\nindex-url = {A}\ntimeout = 7\nretries = 0\n", ".pip/pip.conf")
    pip_conf(
        home,
        f"[global]\nextra_index_url =\n    {B}\n    {C}\nproxy = http://p:1\n[install]\nfind-links = /w\n",
    )
    sources = indexes.read({"HOME": str(home), "PIP_TRUSTED_HOST": "a.example.org"})
    assert sources.indexes[:3] == [A, B, C]
    assert (sources.links[-1:], sources.timeout, sources.retries) == (["/w"], 7.0, 0)
    assert (sources.proxy, sources.trusted_hosts) == ("http://p:1", ["a.example.org"])
    pip_conf(home, "[global\n")
    with pytest.raises(OSError, match=r"pip\.conf cannot be read"):
        indexes.read({"HOME": str(home)})
    assert indexes.read({"HOME": str(home), "PIP_CONFIG_FILE": os.devnull}).indexes == [indexes.USUAL_INDEX]


@pytest.mark.parametrize(
    "text",
    [
        f'index-url = "{A}"\nextra-index-url = ["{B}"]\n',
        f'[pip]\nindex-url = "{A}"\nextra-index-url = ["{B}"]\n',
        f'[[index]]\nurl = "{B}"\n[[index]]\nname = "company"\nurl = "{A}"\ndefault = true\n',
    ],
)
def test_files_of_uv(home: Path, text: str) -> None:
    """As uv.toml may have them; what it names counts over what pip's settings do, for uv, too."""
    (home / "uv.toml").write_text(text)
    environ = {"HOME": str(home), "PIP_INDEX_URL": C, "UV_CONFIG_FILE": str(home / "uv.toml")}
    assert indexes.read(environ).indexes == [A, B]
    assert "UV_DEFAULT_INDEX" not in indexes.for_uv(environ)


def test_what_uv_is_told_of_pip(home: Path) -> None:
    """A company that has set up pip alone: uv gets the same indexes, proxy, hosts and certificates."""
    bundle = home / "company.pem"
    bundle.write_text("")
    pip_conf(home, f"[global]\nindex-url = {A}\nextra-index-url = {B}\ncert = {bundle}\nproxy = http://p:1\n")
    environ = {"HOME": str(home), "PIP_TRUSTED_HOST": "a.example.org", "https_proxy": "http://other:1"}
    variables = indexes.for_uv(environ)
    assert (variables["UV_DEFAULT_INDEX"], variables["UV_INDEX"]) == (A, B)
    assert variables["UV_INDEX_STRATEGY"] == "unsafe-best-match"
    assert (variables["UV_INSECURE_HOST"], variables["SSL_CERT_FILE"]) == ("a.example.org", str(bundle))
    assert (variables["HTTP_PROXY"], "HTTPS_PROXY" in variables) == ("http://p:1", False)
    assert "UV_SYSTEM_CERTS" not in variables


def test_this_machines_certificates_are_uvs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's authority in the system's store counts for uv, too; without a store uv has its own."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    environ = {"HOME": str(home), "PIP_CONFIG_FILE": os.devnull}
    monkeypatch.setattr(indexes, "has_certificates", lambda tls: True)
    assert indexes.for_uv(environ) == {"UV_SYSTEM_CERTS": "1"}
    assert indexes.for_uv({**environ, "SSL_CERT_FILE": "/x"}) == {}
    monkeypatch.setattr(indexes, "has_certificates", lambda tls: False)
    assert indexes.for_uv(environ) == {}
