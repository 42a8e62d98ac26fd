"""The address that others are told, on the networks that people have: split DNS, a CDN in front, carrier NAT, CAA."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from samsesh import facts as machine
from samsesh import stranger
from samsesh.access import Access
from samsesh.checks import calls_media_udp, public_addresses, public_caa, public_names
from samsesh.clients.dns import Caa, Resolved
from samsesh.clients.participant import Call, Pair
from samsesh.home import Home
from samsesh.ops import addresses
from samsesh.ops.addresses import Found
from samsesh.settings import Settings
from samsesh.stranger import Addresses

HOST = "matrix.example.org"
PUBLIC, PUBLIC6 = "203.0.113.10", "2001:db8::10"
OTHER = "198.51.100.7"
HOME, CARRIER, CDN, CDN6 = "192.168.1.5", "100.64.3.4", "104.16.132.229", "2606:4700::6810:84e5"


def settings(**server: object) -> Settings:
    return Settings.model_validate({"server": {"name": "example.org", "access": "domain", **server}})


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """This machine's own addresses; tests fill it."""
    mine: list[str] = []
    monkeypatch.setattr(addresses, "own_address", lambda address: address in mine)
    monkeypatch.setattr(machine, "own_address", lambda address: address in mine)
    return mine


def find(
    own: list[str], *led: str, known: tuple[str, ...] = (), problem: str = "", **server: object
) -> Found:
    """What is found on a machine with these addresses where the DNS leads to `led`."""
    facts = replace(machine.gather(), addresses=tuple(own))
    answer = Resolved(HOST, led, (), problem)
    return addresses.find(settings(**server), facts, known, lambda _: answer)


@pytest.mark.parametrize(
    ("led", "known", "chosen"),
    [
        ((HOME,), (PUBLIC,), (PUBLIC,)),
        ((HOME,), (PUBLIC, PUBLIC6), (PUBLIC, PUBLIC6)),  # such a DNS often says nothing of IPv6
        ((HOME, PUBLIC6), (PUBLIC,), (PUBLIC, PUBLIC6)),
        ((HOME,), (), (HOME,)),
        ((HOME,), (HOME,), (HOME,)),
        ((OTHER,), (PUBLIC,), (OTHER,)),
        ((), (PUBLIC,), (PUBLIC,)),
        ((), (), (HOME,)),
        (("127.0.1.1",), (PUBLIC,), (PUBLIC,)),  # Debian's /etc/hosts, by a resolver that reads it
    ],
)
def test_split_dns(
    own: list[str], led: tuple[str, ...], known: tuple[str, ...], chosen: tuple[str, ...]
) -> None:
    """A private address never takes the place of a known public one; a new public one does."""
    own.append(HOME)
    assert find(own, *led, known=known).addresses == chosen


def test_half_an_answer(own: list[str]) -> None:
    """Where the DNS does not answer for one family in time, what was known of it stays."""
    own.append(HOME)
    problem = "the DNS does not answer (LifetimeTimeout)"
    assert find(own, PUBLIC, known=(PUBLIC, PUBLIC6), problem=problem) == Found((PUBLIC, PUBLIC6), own=False)
    assert find(own, PUBLIC, known=(PUBLIC, PUBLIC6)).addresses == (PUBLIC,)


def test_split_dns_is_told(own: list[str], tmp_path: Path) -> None:
    """`up` says what to set, whether or not the address is known; the doctor does not say ok. A trial may be private."""
    own.append(HOME)
    for known, address in (((PUBLIC,), PUBLIC), ((), "ADDRESS")):
        found = find(own, HOME, known=known)
        assert found.doubt and f"samsesh config set server.address {address}," in found.doubt.advice
        ours = Addresses((HOME,), found.addresses, doubt=found.doubt)
        result = public_addresses.judged(found.addresses, found, ours)
        assert (result.status, result.advice) == ("warning", found.doubt.advice)
    assert find(own, HOME, trial=True) == Found((HOME,), own=True)
    assert find(own, HOME, PUBLIC, address=PUBLIC).doubt is None  # named: nothing depends on the DNS any more
    home = Home(tmp_path / "home")
    home.prepare()
    facts = replace(machine.gather(), addresses=(HOME,))
    addresses.settle(home, settings(), facts, lambda host: Resolved(host, (PUBLIC,)))
    told = addresses.settle(home, settings(), facts, lambda host: Resolved(host, (HOME,)))
    assert addresses.kept(home, settings()) == (PUBLIC,) and "server.address" in told


def test_names_that_only_show_private_addresses(own: list[str]) -> None:
    """They lead here as this network sees it, which is not ok for a server of the internet's; for a trial it is."""
    own.append(HOME)
    ours = Addresses((HOME,), (PUBLIC,))
    result = public_names.judged([Resolved(HOST, (HOME,))], ours)
    assert result.status == "warning" and "only others see" in result.summary
    assert PUBLIC in result.advice
    assert public_names.judged([Resolved(HOST, (HOME,))], ours, private=True).status == "ok"
    unknown = public_names.judged([Resolved(HOST, (HOME,))], Addresses((HOME,), (HOME,)))
    assert "server.address ADDRESS" in unknown.advice
    nothing = public_addresses.judged((HOME,), Found((HOME,), own=True), Addresses((HOME,), (HOME,)))
    assert nothing.status == "warning" and "server.address" in nothing.advice
    lan = public_addresses.judged(
        (HOME,), Found((HOME,), own=True), Addresses((HOME,), (HOME,)), open_to_all=False
    )
    assert lan.status == "ok"


@pytest.mark.parametrize(
    ("mine", "led", "known", "chosen", "proposed"),
    [
        ([PUBLIC], (CDN, CDN6), (), (PUBLIC,), PUBLIC),
        ([PUBLIC, PUBLIC6], (CDN, CDN6), (CDN,), (PUBLIC, PUBLIC6), PUBLIC),
        ([HOME], (CDN,), (PUBLIC,), (PUBLIC,), "ADDRESS"),
        ([HOME], (CDN,), (CDN,), (HOME,), "ADDRESS"),
    ],
)
def test_a_cdn_in_front(
    own: list[str],
    mine: list[str],
    led: tuple[str, ...],
    known: tuple[str, ...],
    chosen: tuple[str, ...],
    proposed: str,
) -> None:
    """A CDN's address is told to nobody for sound and video; the server's own and a name for TURN are proposed."""
    own += mine
    found = find(own, *led, known=known)
    assert found.addresses == chosen and found.doubt
    assert "Cloudflare" in found.doubt.summary and "turn.host" in found.doubt.advice
    assert f"server.address {proposed}," in found.doubt.advice
    names = public_names.judged(
        [Resolved(HOST, led)],
        Addresses(tuple(own), found.addresses, doubt=found.doubt),
        cdns={HOST: "Cloudflare"},
    )
    assert names.status == "warning" and names.advice == found.doubt.advice  # the web may stay behind it
    given = Addresses(tuple(own), (PUBLIC,), given=PUBLIC)
    assert public_names.judged([Resolved(HOST, led)], given, cdns={HOST: "Cloudflare"}).status == "ok"


def test_a_load_balancer_in_front(own: list[str]) -> None:
    """Where the machine has a public address of its own, media goes there, and both ways are told."""
    own.append(PUBLIC)
    found = find(own, OTHER)
    assert found.addresses == (PUBLIC,) and found.doubt
    assert (
        f"server.address {PUBLIC}" in found.doubt.advice and f"server.address {OTHER}" in found.doubt.advice
    )
    assert find(own, PUBLIC).doubt is None


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"Server": "cloudflare"}, "Cloudflare"),
        ({"CF-RAY": "8f-FRA"}, "Cloudflare"),
        ({"X-Amz-Cf-Id": "abc"}, "Amazon CloudFront"),
        ({"X-Served-By": "cache-fra-etou8220045-FRA"}, "Fastly"),
        ({"X-Served-By": "web1", "Server": "nginx"}, ""),
        ({"Server": "Caddy"}, ""),
    ],
)
def test_a_cdn_by_what_it_answers(headers: dict[str, str], name: str) -> None:
    assert stranger.cdn_by_headers(headers) == name


def test_carrier_nat(own: list[str]) -> None:
    """It is named, with ways out that can work; not where IPv6 is the way already, or a tunnel's address is named."""
    own.append(CARRIER)
    for led in ((PUBLIC,), (CARRIER,), (), (HOME,), (CDN,)):
        doubt = find(own, *led).doubt
        assert doubt and "carrier-grade NAT" in doubt.summary, led
        for way in ("ask the provider", "IPv6", "tunnel", "server.address ADDRESS"):
            assert way in doubt.advice
    given = addresses.find(
        settings(address=PUBLIC),
        replace(machine.gather(), addresses=(CARRIER,)),
        resolve=lambda host: Resolved(host, (host,)),
    )
    assert given.addresses == (PUBLIC,) and given.doubt is None
    own.append(PUBLIC6)
    assert find(own, PUBLIC6) == Found((PUBLIC6,), own=True)
    doubt = find(own, PUBLIC).doubt
    assert doubt and f"AAAA records to {PUBLIC6}" in doubt.advice


def test_an_address_that_changed(own: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` says so in a sentence with what to do; what the DNS does not say in time is not waited for."""
    own.append(HOME)
    home, facts = Home(tmp_path / "home"), replace(machine.gather(), addresses=(HOME,))
    home.prepare()
    assert addresses.changed(home, settings(), facts, lambda host: Resolved(host, (OTHER,))) == ""
    addresses.settle(home, settings(), facts, lambda host: Resolved(host, (PUBLIC,)))
    assert addresses.changed(home, settings(), facts, lambda host: Resolved(host, (PUBLIC,))) == ""
    assert addresses.changed(home, settings(), facts, lambda host: Resolved(host, (HOME,))) == ""
    told = addresses.changed(home, settings(), facts, lambda host: Resolved(host, (OTHER,)))
    assert f"is {OTHER} now" in told and PUBLIC in told and "samsesh up" in told
    monkeypatch.setattr(addresses, "LOOK_SECONDS", 0.05)
    answered = threading.Event()

    def late(host: str) -> Resolved:
        answered.wait(30)
        return Resolved(host, (OTHER,))

    assert addresses.changed(home, settings(), facts, late) == ""
    answered.set()


@pytest.mark.parametrize(
    ("at", "ours", "server", "status"),
    [
        (PUBLIC, Addresses((PUBLIC,), (PUBLIC,)), {}, "ok"),
        (PUBLIC, Addresses((HOME,), (PUBLIC,)), {}, "ok"),
        (HOME, Addresses((HOME,), (PUBLIC,)), {}, "warning"),  # behind a router, by its own network
        (HOME, Addresses((HOME,), (HOME,)), {}, "warning"),  # what others are told only this network reaches
        ("", Addresses((PUBLIC,), (PUBLIC,)), {}, "warning"),  # nobody was told of it
        (HOME, Addresses((HOME,), (HOME,)), {"trial": True}, "ok"),
        (HOME, Addresses((HOME,), (HOME,)), {"address": HOME, "trial": True}, "ok"),
        (HOME, Addresses((HOME,), (HOME,)), {"access": "lan"}, "ok"),
        (OTHER, Addresses((HOME,), (HOME,)), {"access": "lan"}, "warning"),
    ],
)
def test_where_sound_went(
    own: list[str], at: str, ours: Addresses, server: dict[str, object], status: str
) -> None:
    """Sound over UDP is proven by an address that others are told and can come to, and by no other."""
    own += ours.own
    pair = Pair("udp", f"{HOME}:5000", f"{at}:7882")
    call = Call(joined=0.1, heard=0.5, frames=50, pairs=(pair, pair))
    result = calls_media_udp.judged(Access(settings(**server), ours.planned), ours, call)
    assert result.status == status, result


def test_caa() -> None:
    """Records that do not let Let's Encrypt, our way of validation or our account in stop a start, or warn."""
    ours = Caa(0, "issue", "letsencrypt.org")

    def status(*rows: Caa, account: str = "") -> str:
        return public_caa.judged({HOST: rows}, account).status

    assert status() == status(ours) == status(Caa(0, "issue", "Sectigo.com"), ours) == "ok"
    assert status(Caa(0, "iodef", "mailto:a@example.org")) == status(Caa(0, "issuewild", ";")) == "ok"
    refused = public_caa.judged({HOST: [Caa(0, "issue", "sectigo.com; policy=ev")]}, "")
    assert refused.status == "failed" and "sectigo.com" in refused.summary
    assert 'CAA 0 issue "letsencrypt.org"' in refused.advice
    assert status(Caa(0, "issue", ";")) == "failed"
    assert status(Caa(128, "tbs", "Unknown")) == "failed"
    assert status(Caa(0, "tbs", "Unknown")) == "ok"
    assert status(Caa(0, "issue", "letsencrypt.org; validationmethods=dns-01")) == "failed"
    assert status(Caa(0, "issue", "letsencrypt.org; validationmethods=dns-01,http-01")) == "ok"
    uri = "https://acme-v02.api.letsencrypt.org/acme/acct/1"
    bound = Caa(0, "issue", f"letsencrypt.org; accounturi={uri}")
    assert [status(bound, account=one) for one in (uri, "", f"{uri}2")] == ["ok", "warning", "failed"]
    assert public_caa.judged({HOST: [Caa(0, "issue", ";")]}, "", mild=True).status == "warning"
