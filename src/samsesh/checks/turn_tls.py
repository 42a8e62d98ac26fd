"""TURN over TLS: the certificate is trusted, names the server and lasts.

Chromium takes what its own list of authorities does (156, measured); so Let's Encrypt's count there.
"""

import time

from samsesh import caller, stranger
from samsesh.clients import turn
from samsesh.diagnosis import Patient, Result
from samsesh.ops import certificate_files
from samsesh.ops.server import Server

TITLE = "the relay over TLS"
NEEDS = ("turn-allocate",)
GOOD_FOR = 60  # seconds that the credential is
DAY = 86_400
SOON = 14 * DAY  # seconds before its end that a certificate should have been renewed
ADVICE = "give another: samsesh config set turn.certificate PATH, turn.certificate_key PATH; then: samsesh up"


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := caller.turn_off(server):
        return off
    await patient.need("coturn")
    offered = server.plan.offer.turn
    if offered is None or offered.tls_port is None:
        return Result("skipped", "it wants both turn.certificate and turn.certificate_key")
    login = turn.credential(offered.secret.reveal(), "doctor", int(time.time()) + GOOD_FOR)
    address, trust = turn.parse(offered.tls_uri), stranger.trust(server)
    at = await stranger.way_to_relay(patient, address.host)
    try:
        async with turn.allocation(address, login, trust=trust, at=at) as relay:
            assert relay.tls is not None  # a turns: address
            return judged(relay.tls, time.time(), _soon(server) if offered.certificate else SOON)
    except turn.TurnError as error:
        return Result("failed", error.message, advice=ADVICE)


def _soon(server: Server) -> float:
    """For what the gateway renews by itself: at two days of the six of an address's, at ten of a month's."""
    return DAY if server.access.mode == "ip" else 7 * DAY


def judged(tls: turn.Tls, now: float, soon: float = SOON) -> Result:
    days = certificate_files.days(tls.expires - now)
    seen = f"{tls.version}, {tls.cipher}, certificate by {tls.issuer}, good for {days}"
    if tls.expires - now < soon:
        advice = ADVICE if soon == SOON else "see: samsesh doctor --only public-https, samsesh logs agent"
        return Result("warning", f"its certificate ends in {days}", seen, advice)
    return Result("ok", f"{tls.version}, and its certificate counts for {days}", seen)
