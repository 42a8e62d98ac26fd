"""TURN over TLS: the certificate is trusted, names the server and lasts; and is none that browsers refuse here."""

import time

from samsesh import caller, stranger
from samsesh.clients import turn
from samsesh.diagnosis import Patient, Result

TITLE = "the relay over TLS"
NEEDS = ("turn-allocate",)
GOOD_FOR = 60  # seconds that the credential is
HANDED_ON_SOON = 3600  # seconds
SOON = 14 * 86_400  # seconds before its end that a certificate should have been renewed
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
    address, trust = turn.parse(offered.uris[-1]), stranger.trust(server)
    at = (await stranger.way(patient)).route.get(address.host, "")
    try:
        async with turn.allocation(address, login, trust=trust, at=at) as relay:
            assert relay.tls is not None  # a turns: address
            # What the gateway hands on, it renews by itself: those of its own authority count for half a day.
            soon = SOON if offered.certificate is None else HANDED_ON_SOON
            return judged(relay.tls, time.time(), soon)
    except turn.TurnError as error:
        return Result("failed", error.message, advice=ADVICE)


def judged(tls: turn.Tls, now: float, soon: float = SOON) -> Result:
    days = int((tls.expires - now) // 86_400)
    seen = f"{tls.version}, {tls.cipher}, certificate by {tls.issuer}, good for {days} days"
    if tls.expires - now < soon:
        advice = ADVICE if soon == SOON else "see: samsesh doctor --only public-https, samsesh logs agent"
        return Result("warning", f"its certificate ends in {days} days", seen, advice)
    if "let's encrypt" in tls.issuer.lower():
        return Result(
            "warning",
            "its certificate is Let's Encrypt's, which Chromium's WebRTC does not take for TURN over TLS",
            seen,
            "TURN over UDP and TCP work; for TLS take a certificate of another authority",
        )
    return Result("ok", f"{tls.version}, and its certificate counts for {days} days", seen)
