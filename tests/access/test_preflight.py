"""A server goes public on bad days: what stops a start, what only warns, and what keeps it serving."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from access.network import Network
from access.public import HOME, HOSTS, OWN, ROUTER, WEB_SERVER, certificate, checks, lead, up
from conftest import Stack
from system.trouble import fine, processes, refused, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(homes: Path, net: Network, folder: Path, ca: trustme.CA) -> Iterator[Stack]:
    stack = Stack(homes / "domain", 0, {"SSL_CERT_FILE": str(folder / "root.pem")}, net.prefix)
    fine(stack.cli("setup", "--yes", "--access", "domain", "--server-name", "example.org", "--calls", "off"))
    files = {"tls.certificate": "chain.pem", "tls.certificate_key": "key.pem"}
    stack.set({"artifacts.offline": "true", "turn.enabled": "false", **files, "tls.mode": "files"})
    yield stack
    fine(stack.cli("down"))
    assert processes(stack) == []


def test_names(server: Stack, net: Network, ca: trustme.CA) -> None:
    """Names that lead nowhere or elsewhere stop a start, with the records that they want; nothing runs."""
    certificate(server, ca, *HOSTS)
    net.publish()
    refused(
        up(server), 1, "leads nowhere: there is no such name", f"example.org. A {OWN}", "--skip-preflight"
    )
    lead(net, OWN, chat__example__org=ROUTER)
    refused(up(server), 1, f"chat.example.org leads to {ROUTER}, which is not this machine", "server.address")
    assert processes(server) == []
    found = checks(server, "preflight")
    assert found["public-names"]["status"] == "failed" and found["public-ports"]["status"] == "ok"
    assert found["public-certificate"]["status"] == "ok"


def test_a_port_of_another_web_server(server: Stack, net: Network, folder: Path) -> None:
    """It is named, and what it needs to stand before this server is offered."""
    lead(net, OWN)
    program = folder / "web.py"
    program.write_text(WEB_SERVER)
    with net.program(str(program), "nginx/1.22.1"):
        words = ("port 80 (ports.http) is in use", "answers as nginx", "proxy-config nginx", "tls.mode proxy")
        refused(up(server), 1, *words)
    assert processes(server) == []


def test_wrong_certificates(server: Stack, net: Network, ca: trustme.CA) -> None:
    """For another name, of an authority that nobody knows, or with another key: told before anything starts."""
    lead(net, OWN)
    certificate(server, ca, "example.com")
    refused(up(server), 1, "is not for", "but for example.com")
    certificate(server, trustme.CA(), *HOSTS)
    refused(up(server), 1, "nobody knows")
    (server.path / "key.pem").write_bytes(ca.issue_cert("a.test").private_key_pem.bytes())
    refused(up(server), 2, "is not the key of")
    assert processes(server) == []


def test_it_starts_and_is_reached(server: Stack, net: Network, ca: trustme.CA) -> None:
    """All well: it starts, the doctor sees it as a stranger would, and preflight is not run again."""
    lead(net, OWN)
    certificate(server, ca, *HOSTS)
    done = fine(up(server))
    assert "preflight" in done.stderr and "Certificates" not in done.stdout
    found = checks(server)
    assert {one["id"]: one for one in found.values() if one["status"] == "failed"} == {}
    for name in ("public-https", "public-names", "public-delegation", "public-federation", "public-ports"):
        assert found[name]["status"] == "ok", found[name]
    assert "Synapse" in found["public-federation"]["summary"]
    again = fine(up(server))
    assert "preflight" not in again.stderr and "Nothing to do" in again.stdout


def test_a_certificate_that_ends_soon(server: Stack, net: Network, ca: trustme.CA) -> None:
    """It is taken over while the server runs; the doctor warns, and a start does not stop over it."""
    certificate(server, ca, *HOSTS, days=5.5)
    wait_for(lambda: checks(server, "public-https")["public-https"]["status"] == "warning", 90)
    found = checks(server, "public")
    for name in ("public-https", "public-certificate"):
        assert found[name]["status"] == "warning" and "ends in 5 days" in found[name]["summary"], found[name]
    certificate(server, ca, *HOSTS)
    wait_for(lambda: checks(server, "public-https")["public-https"]["status"] == "ok", 90)


def test_ipv6_that_does_not_work(server: Stack, net: Network) -> None:
    """An AAAA record without IPv6 here is a warning."""
    lead(net, OWN, "2001:db8::10")
    found = checks(server, "public")
    assert found["public-ipv6"]["status"] == "warning" and "AAAA" in found["public-ipv6"]["advice"]
    assert found["public-names"]["status"] == "ok"


def test_an_address_that_changes(server: Stack, net: Network) -> None:
    """The doctor notices, and the next `up` takes the new one."""
    net.run("ip", "address", "add", "203.0.113.11/24", "dev", "out")
    lead(net, "203.0.113.11")
    changed = checks(server, "public-addresses")["public-addresses"]
    assert changed["status"] == "failed" and "203.0.113.11 now" in changed["summary"], changed
    assert "203.0.113.11 now" in server.status()["notes"][0]
    assert "203.0.113.11 now, and apps are told" in server.cli("status").stdout
    done = fine(up(server))
    assert f"was {OWN}, and is 203.0.113.11 now" in done.stderr
    assert checks(server, "public-addresses")["public-addresses"]["status"] == "ok"
    assert server.status()["notes"] == []


def test_behind_nat_without_hairpin(server: Stack, net: Network) -> None:
    """Its own clients go by its own address, and say so; that it cannot see itself from outside is a warning."""
    net.run("ip", "address", "flush", "dev", "out", "scope", "global")
    net.run("ip", "address", "add", f"{HOME}/24", "dev", "out")
    net.run("ip", "route", "add", "default", "dev", "out")
    lead(net, ROUTER)
    fine(server.cli("down"))
    server.set({"federation.port": "federation"})  # other settings: preflight is due
    done = fine(up(server))
    assert f"behind NAT: others reach it at {ROUTER}" in done.stderr
    assert "does not reach itself" in done.stderr and "hairpin" in done.stderr
    found = checks(server, "public")
    assert found["public-ports"]["status"] == "warning"
    assert found["public-https"]["status"] == "ok" and "its own address" in found["public-https"]["seen"]
    assert found["public-federation"]["status"] == "ok", found["public-federation"]


def test_an_authority_that_refuses(server: Stack, net: Network, ca: trustme.CA, folder: Path) -> None:
    """Rate-limited: the server runs, `up` says what the authority said and what to do, and the doctor says it again."""
    fine(server.cli("down"))
    made = ca.issue_cert("127.0.0.1")
    made.cert_chain_pems[0].write_to_path(str(folder / "acme.pem"))
    made.private_key_pem.write_to_path(str(folder / "acme.key"))
    server.set({"tls.directory": "https://127.0.0.1:14000/directory", "tls.mode": "acme"})
    fine(server.cli("config", "set", "tls.directory_ca", str(folder / "root.pem")))
    program = (
        *(str(Path(__file__).with_name("authority.py")), str(folder / "acme.pem")),
        str(folder / "acme.key"),
    )
    with net.program(*program, "2"):  # which would take no request of a clock like this
        refused(up(server), 1, "s behind the certificate authority's", "timedatectl set-ntp true")
    with net.program(*program):
        done = up(server)
        refused(done, 1, "there is no certificate for", "rateLimited", "tls.staging true", "the server runs")
        assert "runs, but has no certificate yet" in done.stdout and "is ready" not in done.stdout
        assert "renewed by themselves" not in done.stdout
        assert server.status()["ok"] is True
        found = checks(server, "public")["public-https"]
        assert found["status"] == "failed" and "rateLimited" in found["seen"], found
        assert "wait until it says" in found["advice"]
