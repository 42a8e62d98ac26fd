"""Where names lead on the networks that people have, and what a server that has not started makes of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from access.network import Network
from access.public import CDN, HOME, OWN, ROUTER, WEB_SERVER, certificate, checks, lead, up
from conftest import Stack
from system.trouble import Done, fine, processes, refused

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(homes: Path, net: Network, folder: Path, ca: trustme.CA) -> Iterator[Stack]:
    """It has a certificate for another name, so that each `up` ends when it has looked around."""
    stack = Stack(homes / "elsewhere", 0, {"SSL_CERT_FILE": str(folder / "root.pem")}, net.prefix)
    fine(stack.cli("setup", "--yes", "--access", "domain", "--server-name", "example.org", "--calls", "off"))
    files = {"tls.certificate": "chain.pem", "tls.certificate_key": "key.pem"}
    stack.set({"artifacts.offline": "true", "turn.enabled": "false", **files, "tls.mode": "files"})
    certificate(stack, ca, "example.com")
    yield stack
    assert processes(stack) == []


def looked_around(stack: Stack) -> Done:
    """An `up` that got as far as preflight."""
    done = up(stack)
    refused(done, 1, "but for example.com")
    return done


def test_caa_records(server: Stack, net: Network) -> None:
    """A record above the hosts that lets another authority alone certify them stops a start."""
    lead(net, OWN)
    server.set({"tls.mode": "acme"})
    net.publish_more("example.org", "CAA", '0 issue "sectigo.com"')
    refused(up(server), 1, "its CAA records allow sectigo.com alone", 'CAA 0 issue "letsencrypt.org"')
    found = checks(server, "public-caa")["public-caa"]
    assert found["status"] == "failed" and "matrix.example.org: 0 issue sectigo.com" in found["seen"], found
    net.publish_more("matrix.example.org", "CAA", '0 issue "letsencrypt.org"')
    assert "matrix.example.org" not in checks(server, "public-caa")["public-caa"]["summary"]
    net.publish_more("example.org", "CAA", '0 issue "letsencrypt.org; validationmethods=http-01"')
    assert checks(server, "public-caa")["public-caa"]["status"] == "ok"
    server.set({"tls.mode": "files"})


def test_a_cdn_by_what_it_answers(server: Stack, net: Network, folder: Path) -> None:
    """One that is in no table is recognised, and stops no start; what it needs is said."""
    lead(net, "203.0.113.77")
    program = folder / "web.py"
    program.write_text(WEB_SERVER)
    with net.beyond("203.0.113.77/24") as far, far.program(str(program), "cloudflare"):
        found = checks(server, "public-names")["public-names"]
    assert found["status"] == "warning" and "leads to Cloudflare (203.0.113.77)" in found["summary"], found
    assert f"server.address {OWN}" in found["advice"] and "turn.host" in found["advice"]
    assert checks(server, "public-names")["public-names"]["status"] == "failed"  # nobody knows what that is


def test_split_dns(server: Stack, net: Network) -> None:
    """The DNS at home answers this machine's address, as our advice has it: the known public one stays, what to set is
    printed, and neither names nor address are ok. Once, `up` took the private one, and all was green.
    """
    net.run("ip", "address", "flush", "dev", "out", "scope", "global")
    net.run("ip", "address", "add", f"{HOME}/24", "dev", "out")
    net.run("ip", "route", "add", "default", "dev", "out")
    lead(net, ROUTER)
    assert f"others reach it at {ROUTER}" in looked_around(server).stderr
    lead(net, "198.51.100.8")
    assert "198.51.100.8 now, and apps are told" in server.cli("status").stdout
    lead(net, HOME)
    asked = f"config set server.address {ROUTER}"
    assert asked in looked_around(server).stderr
    assert server.status()["notes"] == []
    shown = checks(server, "public-addresses", "public-names")
    assert {(one["status"], HOME in one["summary"]) for one in shown.values()} == {("warning", True)}
    assert asked in shown["public-addresses"]["advice"]
    server.set({"server.address": ROUTER})
    looked_around(server)
    shown = checks(server, "public-addresses", "public-names")
    assert shown["public-addresses"]["status"] == "ok", shown["public-addresses"]
    assert shown["public-names"]["status"] == "warning" and ROUTER in shown["public-names"]["advice"]
    fine(server.cli("config", "unset", "server.address"))


def test_split_dns_from_the_first_day(server: Stack, net: Network) -> None:
    """Where no public address was ever seen, `up` and the doctor ask for it."""
    lead(net, HOME)
    assert "server.address ADDRESS" in looked_around(server).stderr
    shown = checks(server, "public-addresses", "public-names")
    assert {one["status"] for one in shown.values()} == {"warning"}, shown
    assert all("server.address ADDRESS" in one["advice"] for one in shown.values())


def test_carrier_nat_and_a_cdn(server: Stack, net: Network) -> None:
    """Both are named, with what can help."""
    net.run("ip", "address", "add", "100.64.3.4/10", "dev", "out")
    net.run("ip", "route", "replace", "default", "dev", "out", "src", "100.64.3.4")
    lead(net, ROUTER)
    looked_around(server)
    shown = checks(server, "public-addresses")["public-addresses"]
    assert shown["status"] == "warning" and "carrier-grade NAT" in shown["summary"], shown
    lead(net, CDN)
    shown = checks(server, "preflight")["public-names"]
    assert shown["status"] == "warning" and "Cloudflare" in shown["summary"], shown
