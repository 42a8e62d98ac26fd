"""TURN as the doctor asks for it, against a real coturn."""

import asyncio
import re
import ssl
import time
from pathlib import Path

import pytest
import trustme

from doctor.parts import PEER, TURN_SECRET, coturn, namespace, running
from federation.network import Machine, inside
from programs import free_port, need
from relay import context
from samsesh.artifacts.turnserver.program import accepted
from samsesh.checks import turn_private_peer
from samsesh.checks.turn_private_peer import PUBLIC6
from samsesh.clients import turn
from samsesh.formats import to_turnserver_conf
from samsesh.services import coturn as service

PRIVATE = ("10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1")


def good() -> turn.Credential:
    return turn.credential(TURN_SECRET, "@doctor:test", int(time.time()) + 60)


async def _asked(address: turn.Address, login: turn.Credential, *peers: str) -> dict[str, int]:
    async with turn.allocation(address, login) as relay:
        assert relay.relayed.startswith("127.0.0.1:") and relay.tls is None
        return {peer: await relay.permit(peer) for peer in peers}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_relay_is_given_and_private_peers_are_refused(tmp_path: Path, transport: str) -> None:
    """A credential from the shared secret opens a relay; a public peer is allowed, every private one refused."""
    with coturn(tmp_path) as port:
        address = turn.parse(f"turn:127.0.0.1:{port}?transport={transport}")
        answers = asyncio.run(_asked(address, good(), PEER, *PRIVATE))
    assert answers.pop(PEER) == 0
    assert all(code in turn.REFUSED for code in answers.values()), answers
    assert answers["10.0.0.1"] == answers["127.0.0.1"] == answers["169.254.169.254"] == 403


def test_a_machine_with_ipv6_alone(tmp_path: Path) -> None:
    """The relay lets in a client that asks for no family, and leads to nothing private; a version that would say
    440 to everybody is not offered.
    """
    program, address = need("turnserver"), "2001:db8::10"
    planned = context(tmp_path, accepted(Path(program), {}), [address], (address,))
    offered = service._turn(planned)
    assert offered
    path = tmp_path / "turnserver.conf"
    path.write_bytes(to_turnserver_conf(service.turnserver_conf(planned, offered)))
    planned.place.data("coturn").mkdir(parents=True)
    login = turn.credential(offered.secret.reveal(), "doctor", int(time.time()) + 60)

    async def relayed() -> str:
        async with turn.allocation(turn.parse(offered.uris[0]), login) as relay:
            answers = {peer: await relay.permit(peer) for peer in (PUBLIC6, *turn_private_peer.PRIVATE)}
            assert turn_private_peer.judged(answers, PUBLIC6).status == "ok", answers
            return relay.relayed

    with namespace("samsesh-v6") as machine:
        machine.run("ip", "address", "flush", "dev", "out")
        machine.run("ip", "address", "add", f"{address}/64", "dev", "out", "nodad")
        command = machine.command(program, "-c", str(path))
        ran = running(command, tmp_path / "turn.log", machine, address, offered.port)
        with ran, inside(Machine(machine.name, 0), {}):
            if service.offer(planned).turn:
                assert asyncio.run(relayed()).startswith(address)
            else:
                with pytest.raises(turn.TurnError, match="440"):
                    asyncio.run(relayed())
    assert service.BAD_WORDS not in (tmp_path / "turn.log").read_text()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_relays_are_given_back(tmp_path: Path, transport: str) -> None:
    """Nothing stays reserved: the server hears that the relay is no longer wanted."""
    with coturn(tmp_path, options=("verbose",)) as port:
        asyncio.run(_asked(turn.parse(f"turn:127.0.0.1:{port}?transport={transport}"), good()))
    assert re.search(r"refreshed, .*lifetime=0", (tmp_path / "turn.log").read_text())


def test_an_open_relay_is_seen(tmp_path: Path) -> None:
    """A server that lets private peers through answers 0 for them: what the doctor must never see."""
    with coturn(tmp_path, options=("allow-loopback-peers",), denied=False) as port:
        answers = asyncio.run(_asked(turn.parse(f"turn:127.0.0.1:{port}"), good(), "10.0.0.1", "127.0.0.1"))
    assert answers == {"10.0.0.1": 0, "127.0.0.1": 0}


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_wrong_and_expired_credentials_are_refused(tmp_path: Path, transport: str) -> None:
    """Neither another secret nor yesterday's credential opens a relay, and the reason is told."""
    expired = turn.credential(TURN_SECRET, "@doctor:test", int(time.time()) - 60)
    wrong = turn.credential("not the secret", "@doctor:test", int(time.time()) + 60)
    with coturn(tmp_path) as port:
        for login in (expired, wrong):
            with pytest.raises(turn.TurnError, match="gave no relay") as refused:
                asyncio.run(_asked(turn.parse(f"turn:127.0.0.1:{port}?transport={transport}"), login))
            assert refused.value.stun_code == 401


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_server_that_is_down_is_told_in_time(transport: str) -> None:
    """Nobody at the port: an answer within the bound, as a sentence."""
    address = turn.parse(f"turn:127.0.0.1:{free_port()}?transport={transport}")
    start = time.monotonic()
    with pytest.raises(turn.TurnError, match=r"did not answer within|is not reached") as down:
        asyncio.run(_asked(address, good()))
    assert down.value.stun_code == turn.NO_ANSWER and time.monotonic() - start < 5


def test_tls_is_verified_by_name(tmp_path: Path) -> None:
    """Over TLS the certificate must be trusted and name the server; what was agreed on is told."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    tls = free_port()
    options = (f"cert={tmp_path}/cert.pem", f"pkey={tmp_path}/key.pem")

    async def agreed(host: str, trust: ssl.SSLContext | None) -> turn.Tls:
        async with turn.allocation(turn.parse(f"turns:{host}:{tls}"), good(), trust=trust) as relay:
            assert relay.tls and await relay.permit("10.0.0.1") == 403
            return relay.tls

    with coturn(tmp_path, options=options, tls=tls):
        seen = asyncio.run(agreed("localhost", trust))
        assert seen.version in ("TLSv1.2", "TLSv1.3") and seen.cipher and "trustme" in seen.issuer
        assert seen.expires > time.time()
        with pytest.raises(turn.TurnError, match=r"does not count: .*127\.0\.0\.1"):
            asyncio.run(agreed("127.0.0.1", trust))
        with pytest.raises(turn.TurnError, match="does not count"):
            asyncio.run(agreed("localhost", None))


def test_addresses_are_read_as_browsers_read_them() -> None:
    """RFC 7065, with its default ports; anything else is refused."""
    assert turn.parse("turn:chat.example") == turn.Address("chat.example", 3478, "udp")
    assert turn.parse("turn:[2001:db8::1]:99?transport=tcp") == turn.Address("2001:db8::1", 99, "tcp")
    assert turn.parse("turns:chat.example?transport=tcp") == turn.Address("chat.example", 5349, "tls")
    for wrong in ("stun:chat.example", "turn:", "turn:host:port", "turn:host?transport=sctp", "http://host"):
        with pytest.raises(ValueError, match="no TURN address"):
            turn.parse(wrong)


def test_the_credential_is_what_synapse_gives() -> None:
    """The shared-secret scheme: base64 of HMAC-SHA1 over "<expiry>:<user>"."""
    made = turn.credential("secret", "@a:b", 1_700_000_000)
    assert made == turn.Credential("1700000000:@a:b", "rdgio/2X2TM/Vu35wCFc+1QTCic=")
