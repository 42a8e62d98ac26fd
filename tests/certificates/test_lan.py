"""A network of its own: the gateway's own authority, whom people trust by hand; and the operator's own certificates."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from certificates.browser import chromium
from certificates.scan import scan
from certificates.shown import ask, handshake, refused, soon
from conftest import Stack, give_to_service_user
from samsesh.settings_server import Ports
from system.trouble import fine, wait_for

HOST = "chat.test"
LISTENERS = ("web", "api", "federation", "call", "rtc_auth", "livekit", "turns")
pytestmark = pytest.mark.slow


def ports(stack: Stack) -> Ports:
    return Ports(offset=stack.offset)


def root(stack: Stack) -> Path:
    return stack.path / "data/gateway/pki/authorities/local/root.crt"


@pytest.fixture(scope="module")
def lan(session_home: Callable[[str], Stack]) -> Iterator[Stack]:
    """A server in a network where a name is all that is known of it."""
    stack = session_home("lan")
    wanted = {
        "server.name": HOST,
        "server.access": "lan",
        "server.address": HOST,
        "calls.media_addresses": json.dumps(["127.0.0.1"]),
    }
    stack.set(wanted)
    stack.up("--skip-preflight")
    yield stack
    stack.cli("down")


def test_every_port_is_of_its_own_authority(lan: Stack) -> None:
    """Whoever trusts the root reaches every port, the relay's too; nobody else does; no trust store was touched."""
    for listener in LISTENERS:
        shown = soon(ports(lan).of(listener), HOST, root(lan))
        assert shown.names == (HOST,)
        assert shown.issuer.startswith("SamSesh Chat at chat.test")
    log = (lan.path / "logs/gateway.log").read_text()
    assert "installing root certificate" not in log


def test_the_doctor_sees_what_was_handed_on(lan: Stack) -> None:
    """The relay over TLS is proven by a real allocation, and the agent says until when its certificate counts."""
    soon(ports(lan).of("turns"), HOST, root(lan))
    asked = ("--only", "turn-tls", "--only", "certificates-handed-on")
    found = {one["id"]: one for one in json.loads(lan.cli("doctor", "--json", *asked).stdout)["checks"]}
    for name in ("turn-tls", "certificates-handed-on"):
        assert found[name]["status"] == "ok", found[name]
    assert "coturn: chat.test, until 20" in found["certificates-handed-on"]["seen"]


def test_the_root_is_offered_and_its_key_is_not(lan: Stack) -> None:
    """One file of the authority's folder is served, under one name, and a page that says what to do with it."""
    web = ports(lan).of("web")
    status, headers, body = ask(web, HOST, "/samsesh-ca.crt", root(lan))
    assert (status, body) == (200, root(lan).read_bytes())
    assert headers["content-type"] == "application/x-x509-ca-cert"
    assert "strict-transport-security" not in headers  # a browser that knew it would not let people pass
    for path in (
        *("/samsesh-ca.crt/../root.key", "/samsesh-ca.crt/root.key", "/samsesh-ca.crt%2f..%2froot.key"),
        *("/root.key", "/root.crt", "/intermediate.key", "/samsesh-ca.crt/", "/samsesh-ca.key", "//root.key"),
        *("/samsesh-ca.crt/..%2froot.key", "/trust/../root.key", "/samsesh-ca.crt?/../root.key"),
    ):
        assert b"PRIVATE" not in ask(web, HOST, path, root(lan))[2], path
    for file in (lan.path / "data/gateway").rglob("*"):
        assert file.stat().st_mode & 0o077 == 0, file
    status, _, body = ask(web, HOST, "/trust", root(lan))
    assert status == 200
    for system in (b"Windows", b"macOS", b"iPhone", b"Android", b"Firefox", b"Chromium"):
        assert system in body
    status, headers, _ = ask(web, HOST, "/trust", None)
    assert (status, headers["location"]) == (308, f"https://{HOST}:{web}/trust")


def test_a_browser_that_trusts_the_root_has_no_complaint(lan: Stack, tmp_path: Path) -> None:
    """Chromium refuses the page at first, and with the root imported loads all of it."""
    url = f"https://{HOST}:{ports(lan).of('web')}"
    with chromium(tmp_path / "before", None) as browser, pytest.raises(Exception, match="ERR_CERT_AUTHORITY"):
        browser.new_page().goto(url)
    with chromium(tmp_path / "after", root(lan)) as browser:
        page = browser.new_page()
        failed: list[str] = []
        page.on("requestfailed", lambda request: failed.append(f"{request.url}: {request.failure}"))
        page.on("console", lambda line: failed.append(line.text) if line.type == "error" else None)
        for path in ("/trust", "/"):
            page.goto(url + path, wait_until="networkidle")
        assert page.evaluate("isSecureContext")
        versions = f"https://{HOST}:{ports(lan).of('api')}/_matrix/client/versions"
        assert page.evaluate("url => fetch(url).then(answer => answer.status)", versions) == 200
        assert [one for one in failed if "ERR_ABORTED" not in one] == []  # which leaving a page does


@pytest.mark.parametrize("listener", ["api", "web", "turns"])
def test_only_todays_tls(lan: Stack, listener: str) -> None:
    """Nothing below TLS 1.2, and only ciphers with forward secrecy and authenticated encryption."""
    taken = scan(ports(lan).of(listener), HOST)
    assert taken.versions <= {"TLSv1.2", "TLSv1.3"}
    assert "TLSv1.2" in taken.versions
    assert taken.ciphers and not taken.weak


def test_a_backup_keeps_the_authority(lan: Stack, new_home: Callable[[str], Stack]) -> None:
    """Devices that trust this server trust it after a restore. Once, a backup had no certificates."""
    fine(lan.cli("backup", "create"))
    (archive,) = lan.home.backups_dir.glob("*.tar")
    other = new_home("lan-restored")
    fine(other.cli("restore", str(archive), "--port-offset", str(other.offset)))
    assert root(other).read_bytes() == root(lan).read_bytes()
    assert handshake(ports(other).of("web"), HOST, root(lan)).names == (HOST,)
    for file in (other.path / "data/gateway").rglob("*"):
        assert file.stat().st_mode & 0o077 == 0, file


def intermediate(stack: Stack) -> bytes:
    return (stack.path / "data/gateway/pki/authorities/local/intermediate.crt").read_bytes()


def begin_anew(stack: Stack) -> None:
    """The gateway without what its root has signed."""
    shutil.rmtree(stack.path / "data/gateway/certificates")
    (stack.path / "data/gateway/pki/authorities/local/intermediate.crt").unlink()
    fine(stack.cli("restart", "gateway"))


def test_its_own_authority_renews_by_itself(lan: Stack) -> None:
    """Short lives, as a year in fast motion: leaf and intermediate are renewed, the relay follows, and whoever trusts the
    root sees no gap."""
    file, old_root = lan.path / "config/gateway/caddy.json", root(lan).read_bytes()
    usual = file.read_text()
    config = json.loads(usual)
    tls, pki = config["apps"]["tls"], config["apps"]["pki"]["certificate_authorities"]["local"]
    tls["automation"]["renew_interval"] = "1s"
    tls["automation"]["policies"][0]["issuers"][0]["lifetime"] = "18s"
    pki |= {"intermediate_lifetime": "40s", "maintenance_interval": "1s"}
    try:
        file.write_text(json.dumps(config))
        begin_anew(lan)
        first = soon(ports(lan).of("api"), HOST, root(lan))
        signer = intermediate(lan)
        relay = soon(ports(lan).of("turns"), HOST, root(lan))
        end = time.monotonic() + 55
        seen = {first.serial}
        while time.monotonic() < end:
            seen.add(handshake(ports(lan).of("api"), HOST, root(lan)).serial)
            time.sleep(0.5)
        assert len(seen) > 2
        assert intermediate(lan) != signer
        assert root(lan).read_bytes() == old_root
        soon(ports(lan).of("turns"), HOST, root(lan), other_than=relay.serial)
    finally:
        file.write_text(usual)
        begin_anew(lan)


def agents_word(stack: Stack) -> str:
    return (stack.path / "logs/agent.log").read_text()


def test_own_files_are_read_again(lan: Stack) -> None:
    """With the operator's own certificate everything shows it; a new one is shown within seconds, without a restart;
    a key that does not fit is refused, told, and the old one goes on."""
    authority = trustme.CA()
    folder = lan.path / "own"
    folder.mkdir()
    trusted, certificate, key = (folder / name for name in ("ca.pem", "own.pem", "own.key"))

    def place(issued: trustme.LeafCert) -> None:
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        give_to_service_user(folder)

    first, second = authority.issue_cert(HOST), authority.issue_cert(HOST)
    authority.cert_pem.write_to_path(str(trusted))
    place(first)
    names = {"tls.certificate": "own/own.pem", "tls.certificate_key": "own/own.key", "tls.mode": "files"}
    for name, value in names.items():
        fine(lan.cli("config", "set", name, value))
    lan.up("--skip-preflight")
    serials = {listener: soon(ports(lan).of(listener), HOST, trusted).serial for listener in LISTENERS}
    assert len(set(serials.values())) == 1
    assert ask(ports(lan).of("web"), HOST, "/samsesh-ca.crt", trusted)[0] == 404
    before = {service["name"]: service["pid"] for service in lan.status()["services"]}

    key.write_bytes(second.private_key_pem.bytes())
    # Once for the gateway, once for coturn.
    wait_for(lambda: agents_word(lan).count("is not the key of") == 2)
    place(second)
    for listener in ("api", "turns"):
        soon(ports(lan).of(listener), HOST, trusted, other_than=serials[listener])
    assert agents_word(lan).count("is not the key of") == 2
    assert {service["name"]: service["pid"] for service in lan.status()["services"]} == before
    assert refused(ports(lan).of("api"), "other.test", trusted)
