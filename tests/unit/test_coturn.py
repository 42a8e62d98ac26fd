"""coturn's configuration: what each version knows, and the addresses that it listens on, relays from and tells of."""

from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from relay import configured, context
from samsesh.services import coturn, livekit

OLD_TLS = {"no-tlsv1", "no-tlsv1_1"}
FLOODS = {"no-rfc5780", "no-stun-backward-compatibility", "response-origin-only-with-rfc5780"}
CERTIFICATE = {"certificate": "chain.pem", "certificate_key": "key.pem"}


@pytest.mark.parametrize(
    ("version", "known"),
    [
        ("4.5.2", {"no-cli", "no-dtls", "no-tls", "alt-listening-port", *OLD_TLS, "alt-tls-listening-port"}),
        ("4.6.1", {"no-cli", "no-dtls", "no-tls", *OLD_TLS, *FLOODS}),
        ("4.17.0", {"no-cli", "no-dtls", "no-tls"}),
        ("4.18.0", {"no-tls"}),
    ],
)
def test_each_version_is_told_what_it_knows(tmp_path: Path, version: str, known: set[str]) -> None:
    """One switch that a version lacks fails the whole start: 4.5.2 (Ubuntu 22.04) and 4.18 once did."""
    issued = trustme.CA().issue_cert("example.org")
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / CERTIFICATE["certificate"]))
    issued.private_key_pem.write_to_path(str(tmp_path / CERTIFICATE["certificate_key"]))
    _, plain = configured(context(tmp_path, version, []))
    _, with_tls = configured(context(tmp_path, version, [], turn=CERTIFICATE))
    changing = {
        "no-cli",
        "no-dtls",
        "no-tls",
        "alt-listening-port",
        "alt-tls-listening-port",
        *OLD_TLS,
        *FLOODS,
    }
    assert (plain.keys() | with_tls.keys()) & changing == known
    if version == "4.5.2":  # it would listen at the next port, too
        assert plain["alt-listening-port"] == plain["listening-port"]


def test_ipv6_is_written_as_urls_have_it(tmp_path: Path) -> None:
    """A server with nothing but an IPv6 address hands out addresses that clients can read."""
    at = context(tmp_path, "4.18.0", ["2001:db8::7"], ("2001:db8::7",))
    turn, conf = configured(at)
    assert turn.uris == ("turn:[2001:db8::7]:3478?transport=udp", "turn:[2001:db8::7]:3478?transport=tcp")
    assert (conf["relay-ip"], conf["allowed-peer-ip"]) == (["2001:db8::7"], ["2001:db8::7"])
    without = replace(at, facts=replace(at.facts, programs={}))
    assert livekit._rtc(without, None, None)["stun_servers"] == ["[2001:db8::7]:3478"]


def test_ipv4_behind_a_router_beside_ipv6_of_ones_own(tmp_path: Path) -> None:
    """As at home: relays are told by the router's IPv4 address, though an IPv6 one is this machine's. What is sent to the
    router's stays on this machine, to which it may be relayed.
    """
    at = context(tmp_path, "4.18.0", ["203.0.113.7", "2001:db8::7"], ("2001:db8::7",))
    _, conf = configured(replace(at, facts=replace(at.facts, outward=("192.168.7.5", "2001:db8::7"))))
    assert conf["listening-ip"] == ["0.0.0.0"]
    assert conf["external-ip"] == ["203.0.113.7/192.168.7.5"]
    assert conf["relay-ip"] == conf["allowed-peer-ip"] == ["192.168.7.5", "2001:db8::7"]


def test_a_folder_for_another_machine(tmp_path: Path) -> None:
    """Rendered where it will not run, it names no address that is not known there."""
    at = context(tmp_path, "4.18.0", ["203.0.113.7"], ())
    _, conf = configured(replace(at, facts=replace(at.facts, outward=())))
    assert (conf["listening-ip"], conf["external-ip"]) == (["0.0.0.0"], ["203.0.113.7"])
    assert not conf.keys() & {"relay-ip", "allowed-peer-ip"}


def test_an_old_version_relays_no_ipv6(tmp_path: Path) -> None:
    """Before 4.13.1 an IPv4 address within an IPv6 one would get past the denied ranges."""
    both = ["198.51.100.7", "2001:db8::7"]
    for version, relays in (("4.6.1", both[:1]), ("4.18.0", both)):
        _, conf = configured(context(tmp_path, version, both, tuple(both)))
        assert conf["listening-ip"] == both
        assert conf["relay-ip"] == conf["allowed-peer-ip"] == relays


def test_a_machine_with_ipv6_alone(tmp_path: Path) -> None:
    """Clients that ask for no family get an IPv6 relay from a version that may give one, and IPv4 where there is one. An
    older version refused everybody, and is not offered.
    """
    _, conf = configured(context(tmp_path, "4.13.1", ["2001:db8::7"], ("2001:db8::7",)))
    assert conf["allocation-default-address-family"] == "keep"
    both = context(tmp_path, "4.18.0", ["198.51.100.7", "2001:db8::7"], ("198.51.100.7", "2001:db8::7"))
    assert "allocation-default-address-family" not in configured(both)[1]
    for version, words in (("4.6.1", "coturn 4.6.1"), ("", "this version")):
        old = context(tmp_path, version, ["2001:db8::7"], ("2001:db8::7",))
        offered = coturn.offer(old)
        assert offered.turn is None and coturn.units(old, offered) == ()
        assert offered.off[0].name == "turn" and words in offered.off[0].reason
        assert "4.13.1 or later" in offered.off[0].advice
