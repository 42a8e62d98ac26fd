"""What preflight and the checks of public modes make of what they see: names, addresses, certificates, refusals."""

import datetime
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme

from programs import free_port
from samsesh import diagnosis, names, ports, preflight
from samsesh import facts as machine
from samsesh.access import Access
from samsesh.checks import (
    clock,
    public_addresses,
    public_certificate,
    public_federation,
    public_https,
    public_ipv6,
    public_names,
    public_ports,
)
from samsesh.checks.public_https import Seen
from samsesh.checks.public_ports import Tried
from samsesh.clients.dns import Resolved
from samsesh.home import Home
from samsesh.model import Endpoint
from samsesh.ops import addresses, certificate_files, certificates
from samsesh.settings import Settings
from samsesh.stranger import Addresses

NOW = 1_800_000_000.0
DAY = 86_400
HOST = "matrix.example.org"
V4, V6 = "203.0.113.10", "2001:db8::10"
ELSEWHERE = "198.51.100.7"
OURS = Addresses((V4,), (V4,))
BOTH = Addresses((V4, V6), (V4, V6))
NAT = Addresses(("192.168.1.5",), (ELSEWHERE,))


def settings(**server: str) -> Settings:
    return Settings.model_validate({"server": {"name": "example.org", "access": "domain", **server}})


@pytest.mark.parametrize(
    ("found", "ours", "status", "words"),
    [
        (Resolved(HOST, (V4,), (V4,)), OURS, "ok", "leads to 203.0.113.10"),
        (Resolved(HOST, problem="there is no such name"), OURS, "failed", "leads nowhere"),
        (Resolved(HOST, (ELSEWHERE,)), OURS, "failed", "which is not this machine"),
        (Resolved(HOST, (V4, ELSEWHERE)), OURS, "failed", ELSEWHERE),
        (
            Resolved(HOST, (), ("127.0.1.1",), "there is no such name"),
            OURS,
            "failed",
            "only this machine knows",
        ),
        (Resolved(HOST, problem="the DNS does not answer (Timeout)"), OURS, "failed", "nobody can say"),
        (Resolved(HOST, (ELSEWHERE,)), NAT, "ok", ELSEWHERE),  # a router's, as far as anybody can tell
        (
            Resolved(HOST, ("198.51.100.8",)),
            NAT,
            "failed",
            "not this machine",
        ),  # the other names lead elsewhere
        (Resolved(HOST, (ELSEWHERE,)), replace(OURS, given=ELSEWHERE), "ok", ELSEWHERE),
        (Resolved(HOST, (V4, "2001:db8::99")), BOTH, "failed", "2001:db8::99"),
        (Resolved(HOST, (V4, "2001:db8::99")), OURS, "ok", HOST),  # told by public-ipv6
    ],
)
def test_names(
    monkeypatch: pytest.MonkeyPatch, found: Resolved, ours: Addresses, status: str, words: str
) -> None:
    """A name that leads nowhere or elsewhere stops a start, and the record that it wants is told; behind NAT it may."""
    monkeypatch.setattr(machine, "own_address", lambda address: address in ours.own)
    result = public_names.judged([found], ours)
    assert (result.status, words in result.summary) == (status, True), result
    if status == "failed" and "does not answer" not in found.problem:
        assert f"{HOST}. A " in result.advice
    if found.problem:
        assert public_names.judged([found], ours, mild=True).status == "warning"


def test_a_web_site_at_the_server_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has one there is first told how it stays, and not only to lead the name here."""
    monkeypatch.setattr(machine, "own_address", lambda address: address in OURS.own)
    advice = public_names.judged([Resolved(HOST, (ELSEWHERE,))], OURS, site=HOST).advice
    assert advice.index("hosts.delegation elsewhere") < advice.index(f"{HOST}. A ")
    for found in (Resolved(HOST, problem="there is no such name"), Resolved(f"chat.{HOST}", (ELSEWHERE,))):
        assert "delegation" not in public_names.judged([found], OURS, site=HOST).advice


def test_a_port_that_was_tried_is_free_again() -> None:
    """At once, though nobody came: else `up` would find its own ports taken. Behind a router it did."""
    place = Endpoint("127.0.0.1", free_port())
    with public_ports._listening(place.host, place.port, b"0" * 16) as listening:
        assert listening and not ports.free(place)
    assert ports.free(place)


def test_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """An AAAA record without IPv6 here, and the reverse, are told; both or neither is fine."""
    monkeypatch.setattr(machine, "own_address", lambda address: address in (V4, V6))
    broken = public_ipv6.judged([Resolved(HOST, (V4, V6))], OURS)
    assert broken.status == "warning" and "no way out over IPv6" in broken.summary and "AAAA" in broken.advice
    missing = public_ipv6.judged([Resolved(HOST, (V4,))], BOTH)
    assert missing.status == "warning" and V6 in missing.advice
    assert public_ipv6.judged([Resolved(HOST, (V4, V6))], BOTH).status == "ok"
    assert public_ipv6.judged([Resolved(HOST, (V4,))], OURS).status == "ok"
    nowhere = public_ipv6.judged([Resolved(HOST, problem="there is no such name")], OURS)
    assert nowhere.summary == "no name leads anywhere yet"
    assert "come by an address" in public_ipv6.judged([], OURS).summary


def test_addresses_behind_nat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the API's name leads to is remembered and planned with; a change is told; other settings, other addresses."""
    monkeypatch.setattr(addresses, "own_address", lambda address: address.startswith("192.168."))
    home, own = Home(tmp_path / "home"), replace(machine.gather(), addresses=("192.168.1.5",))
    home.prepare()
    led = {HOST: Resolved(HOST, (V4, V6, "203.0.113.11"))}

    def settle(found: Settings) -> str:
        return addresses.settle(home, found, own, led.__getitem__)

    assert addresses.planned(own, home, settings()).addresses == ("192.168.1.5",)
    assert "behind NAT" in settle(settings())
    assert addresses.planned(own, home, settings()).addresses == (V4, V6)
    assert settle(settings()) == ""
    led[HOST] = Resolved(HOST, (ELSEWHERE,))
    told = settle(settings())
    assert f"was {V4}, {V6}" in told and ELSEWHERE in told
    led[HOST] = Resolved(HOST, problem="the DNS does not answer (Timeout)")
    assert addresses.planned(own, home, settings(access="lan")).addresses == ("192.168.1.5",)
    given = settings(address="203.0.113.99")
    assert addresses.find(given, own, resolve=lambda host: Resolved(host, (host,))).addresses == (
        "203.0.113.99",
    )
    assert addresses.settle(home, Settings(), own) == "" and "addresses" not in home.state()
    assert public_addresses.judged((V4,), addresses.Found((ELSEWHERE,), own=False), NAT).status == "failed"
    assert public_addresses.judged((V4,), addresses.Found((V4,), own=False), NAT).status == "ok"


def test_the_records_that_names_want() -> None:
    """Every host once for each family; where only the router knows its address, that is said."""
    found = addresses.records(Access(settings()), (V4, V6))
    assert ("example.org", "A", V4) in found and (HOST, "AAAA", V6) in found and len(found) == 10
    assert {row[2] for row in addresses.records(Access(settings()), ("192.168.1.5",))} == {addresses.ROUTER}
    assert addresses.records(Access(Settings()), (V4,)) == []


@pytest.mark.parametrize(
    ("address", "public"),
    [
        (V4, True),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("fd00::2", False),
        (V6, True),
        ("fe80::1", False),
    ],
)
def test_addresses_of_the_internet(address: str, public: bool) -> None:
    """Those that only a network of one's own knows are none of them."""
    assert names.is_public(address) is public


def written(
    folder: Path, ca: trustme.CA, *hosts: str, days: float = 90, whole: bool = True
) -> tuple[Path, Path]:
    """(certificate, key) in files."""
    now = datetime.datetime.now(datetime.UTC)
    made = ca.issue_cert(
        *hosts, not_before=now - datetime.timedelta(days=100), not_after=now + datetime.timedelta(days=days)
    )
    chain, key = folder / "chain.pem", folder / "key.pem"
    parts = made.cert_chain_pems if whole else made.cert_chain_pems[:1]
    chain.write_bytes(b"".join(part.bytes() for part in parts))
    key.write_bytes(made.private_key_pem.bytes())
    return chain, key


def test_own_certificates(tmp_path: Path) -> None:
    """Right ones pass; another name, key, chain, an unknown authority, an end that has come or comes soon are told."""
    root = trustme.CA()
    roots = (tmp_path / "root.pem",)
    root.cert_pem.write_to_path(str(roots[0]))
    between = root.create_child_ca()
    wanted = (HOST, "chat.example.org")

    def problems(chain: Path, key: Path, more: tuple[Path, ...] = roots) -> str:
        return "\n".join(one.told for one in certificate_files.judge(chain, key, wanted, more_roots=more))

    chain, key = written(tmp_path, between, *wanted)
    assert problems(chain, key) == ""
    assert "nobody knows" in problems(chain, key, ())
    assert problems(*written(tmp_path, root, "*.example.org")) == ""
    told = problems(*written(tmp_path, root, "example.com"))
    assert f"is not for {HOST}, but for example.com" in told and "not for chat.example.org" in told
    assert "which nobody knows" in problems(*written(tmp_path, between, *wanted, whole=False))
    assert "has expired" in problems(*written(tmp_path, root, *wanted, days=-1))
    soon = certificate_files.judge(*written(tmp_path, root, *wanted, days=5.5), wanted, more_roots=roots)
    assert [(one.grave, "ends in 5 days" in one.told) for one in soon] == [(False, True)]
    tomorrow = certificate_files.judge(*written(tmp_path, root, *wanted, days=1.5), wanted, more_roots=roots)
    assert "ends in 1 day" in tomorrow[0].told and "days" not in tomorrow[0].told
    both = problems(*written(tmp_path, root, "example.com"), ())
    assert "nobody knows" in both and f"is not for {HOST}, but for example.com" in both
    chain, _ = written(tmp_path, root, *wanted)
    root.issue_cert("a.test").private_key_pem.write_to_path(str(key))
    assert "does not belong to" in problems(chain, key)
    chain.write_text("nothing")
    assert "are not a certificate chain and its key" in problems(chain, key)
    assert "are not" in problems(tmp_path / "none", key)


LIMIT = (
    'ERROR\ttls.obtain\tcould not get certificate from issuer\t{"identifier": "chat.example.org", "issuer": "acme", '
    '"error": "HTTP 429 urn:ietf:params:acme:error:rateLimited - too many certificates (5) already issued for '
    '\\"example.org\\""}'
)


GET = 'performing request: Get "https://acme-v02.api.letsencrypt.org/directory":'


def test_what_the_authority_said() -> None:
    """The gateway's log tells why there is no certificate, until there is one; each reason has its advice."""
    found = certificates.troubles(["INFO\thttp\tnothing", LIMIT])
    assert found == {"chat.example.org": found["chat.example.org"]}
    assert 'already issued for "example.org"' in found["chat.example.org"]
    assert "wait until it says" in certificates.advice(found["chat.example.org"])
    assert "tls.staging true" in certificates.advice(found["chat.example.org"])
    got = 'INFO\ttls.obtain\tcertificate obtained successfully\t{"identifier": "chat.example.org"}'
    assert certificates.troubles([LIMIT, got]) == {}
    started = (
        "2026-11-24 10:00:00.000\tWARN\tadmin\tadmin endpoint on open interface; host checking disabled\t{}"
    )
    assert certificates.troubles([LIMIT, started]) == {}
    assert certificates.troubles([started, LIMIT]) == certificates.troubles([LIMIT])
    for said, do in (
        ("HTTP 400 urn:ietf:params:acme:error:dns - NXDOMAIN looking up A", "must lead to this machine"),
        ("HTTP 400 urn:ietf:params:acme:error:connection - Timeout during connect", "port 80 or 443"),
        ("HTTP 403 urn:ietf:params:acme:error:caa - CAA record prevents issuance", "CAA"),
        ("x509: certificate signed by unknown authority", "tls.directory_ca"),
        (f"{GET} dial tcp: lookup acme-v02.api.letsencrypt.org: no such host", "cannot reach"),
        (f"{GET} dial tcp 172.65.32.248:443: connect: connection refused", "cannot reach"),
        ("HTTP 400 urn:ietf:params:acme:error:connection - dial tcp: connection refused", "port 80 or 443"),
        ("something new", "samsesh logs gateway"),
    ):
        assert do in certificates.advice(said)
        assert "doctor public" not in certificates.advice(said)  # which is who says it


def test_certificates_that_end_soon() -> None:
    """Renewed late is a warning with what the authority said; files of the operator's own have two weeks."""
    fresh = Seen(f"{HOST}:443", HOST, "", NOW - 60 * DAY, NOW + 30 * DAY, "Let's Encrypt")
    late = replace(fresh, ends=NOW + 10 * DAY)
    assert public_https.judged([fresh], {}, now=NOW).status == "ok"
    told = public_https.judged([fresh, late], {HOST: LIMIT}, now=NOW)
    assert told.status == "warning" and "ends in 10 days" in told.summary and "rateLimited" in told.seen
    assert "wait until it says" in told.advice
    short = Seen(f"{HOST}:443", HOST, "", NOW - DAY, NOW + 5 * DAY, "R10")  # profile shortlived
    assert public_https.judged([short], {}, now=NOW).status == "ok"
    assert public_https.judged([short], {}, files=True, now=NOW).status == "warning"
    none = Seen(f"{HOST}:443", HOST, "no https")
    assert public_https.judged([none, fresh], {}, now=NOW).status == "failed"
    staged = Seen(f"{HOST}:443", HOST, "its certificate does not count: self-signed certificate")
    assert public_https.judged([staged], {}, staging=True, now=NOW).status == "warning"


def test_the_directory() -> None:
    """Its terms are told; what is none, limits, or certifies no addresses is a warning with what to do."""
    good = dict.fromkeys(public_certificate.NEEDED, "https://acme.test/x")
    meta = {"meta": {"termsOfService": "https://acme.test/terms", "profiles": {"classic": ""}}}

    def judged(
        status: int, found: Mapping[str, Any], profile: str = "", staging: bool = False
    ) -> tuple[str, str]:
        result = public_certificate.judged("https://acme.test", status, found, profile, staging=staging)
        return result.status, result.summary + result.advice

    assert judged(200, {**good, **meta}) == ("ok", judged(200, {**good, **meta})[1])
    assert "https://acme.test/terms" in judged(200, {**good, **meta})[1]
    assert judged(404, {})[0] == "warning" and "no ACME directory" in judged(404, {})[1]
    assert "429" in judged(429, {})[1]
    assert "no profile shortlived" in judged(200, {**good, **meta}, "shortlived")[1]
    assert judged(200, good, staging=True)[0] == "warning"


def test_ports_through_a_router() -> None:
    """Reached is fine; silence may be a missing hairpin, which is a warning; somebody else's answer is told."""
    tried = [Tried(V4, 443, "reached"), Tried(V4, 80, "silent")]
    assert public_ports.judged(tried[:1], [443]).status == "ok"
    silent = public_ports.judged(tried, [443, 80])
    assert silent.status == "warning" and "hairpin" in silent.advice and f"{V4}:80" in silent.summary
    other = public_ports.judged([*tried, Tried(V4, 8448, "other")], [443])
    assert other.status == "warning" and "something else" in other.summary
    assert public_ports.judged([], [443]).status == "ok"


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({}, ()),
        ({"ports": {"https": 8443}}, ("ports.https is 8443", "TCP 443 to 8443")),
        (
            {"ports": {"https": 8443}, "turn": {"on_https": True}},
            ("set ports.https 443", "does not help the relay"),
        ),
        ({"ports": {"offset": 1000}}, ("ports.http is 1080", "set ports.https 443", "8448 to 9448")),
        ({"ports": {"http": 8080, "web": 9080}, "tls": {"mode": "internal"}}, ()),
        ({"ports": {"https": 8443}, "tls": {"mode": "proxy"}}, ()),
        ({"ports": {"https": 8443}, "server": {"name": "chat.test", "access": "lan"}}, ()),
    ],
)
def test_ports_at_which_everybody_asks(sections: dict[str, Any], told: tuple[str, ...]) -> None:
    """Under a domain other ports than 443, 80 and 8448 are a warning, but behind a web server of one's own."""
    usual = {"server": {"name": "example.org", "access": "domain"}}
    found = public_ports.unusual(Access(Settings.model_validate({**usual, **sections}), (V4,)))
    text = f"{found.summary} {found.advice}" if found else ""
    assert bool(text) == bool(told) and all(words in text for words in told), text


def test_little_room_stops_a_new_server_only() -> None:
    """One that is there already starts with a warning; whatever else is wrong stops it as it stops a new one."""
    checks = {one.id: one for one in diagnosis.all_checks()}
    full = diagnosis.Outcome(checks["disk"], diagnosis.Result("failed", "almost no room is left"))
    wrong = diagnosis.Outcome(checks["public-names"], diagnosis.Result("failed", "no address"))
    assert preflight.weighed([full, wrong], started=False) == ([], [full, wrong])
    assert preflight.weighed([full, wrong], started=True) == ([full], [wrong])


def test_the_clock_of_others() -> None:
    """A minute apart from the certificate authority is a warning, an hour stops a start."""
    for off, status in ((5, "ok"), (90, "warning"), (-90, "warning"), (7200, "failed")):
        found = clock.judged(clock.Clock(NOW + off, 0.0, True, None, NOW))
        assert found.status == status, found
    behind = clock.judged(clock.Clock(NOW - 90, 0.0, True, None, NOW))
    assert "90 s behind" in behind.summary and "set-ntp" in behind.advice


def test_federation() -> None:
    """Only our name with our key is this server."""
    key, public = public_federation.signing_key("ed25519 a_b1 " + "A" * 43)
    version = (200, {"server": {"name": "Synapse", "version": "1"}})
    ours = {"server_name": "example.org", "verify_keys": {key: {"key": public}}}

    def status(version: tuple[int, Mapping[str, Any]], keys: tuple[int, Mapping[str, Any]]) -> str:
        found = public_federation.judged(f"{HOST}:443", version, keys, "example.org", (key, public))
        return f"{found.status}: {found.summary}"

    assert status(version, (200, ours)).startswith("ok")
    assert "does not answer" in status((404, {}), (200, ours))
    assert "is not example.org, but other.org" in status(version, (200, {**ours, "server_name": "other.org"}))
    stranger = json.loads(json.dumps(ours).replace(public, "B" * 43))
    assert "another signing key" in status(version, (200, stranger))
