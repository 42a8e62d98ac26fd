"""The relay must not lead into private networks: every private peer is refused, a public one is not."""

import time

from samsesh import caller, stranger
from samsesh.clients import turn
from samsesh.diagnosis import Patient, Result

TITLE = "the relay leads to nothing private"
NEEDS = ("turn-allocate",)
PUBLIC, PUBLIC6 = "9.9.9.9", "2620:fe::9"  # only permission is asked for; nothing is sent there
PRIVATE = (
    *("10.0.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.0.1", "100.64.0.1", "0.0.0.0"),  # noqa: S104 - peers
    *(
        "168.63.129.16",
        "192.0.0.192",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::a00:1",
    ),
)
GOOD_FOR = 60  # seconds that the credential is good for


async def check(patient: Patient) -> Result:
    server = patient.server
    if off := caller.turn_off(server):
        return off
    await patient.need("coturn")
    offered = server.plan.offer.turn
    assert offered is not None  # turn_off has seen it
    login = turn.credential(offered.secret.reveal(), "doctor", int(time.time()) + GOOD_FOR)
    address = turn.parse(offered.uris[0])
    at = await stranger.way_to_relay(patient, address.host)
    async with turn.allocation(address, login, at=at) as relay:
        public = PUBLIC6 if relay.relayed.count(":") > 1 else PUBLIC  # of the relay's own family
        answers = {peer: await relay.permit(peer) for peer in (public, *PRIVATE)}
    return judged(answers, public)


def judged(answers: dict[str, int], public: str = PUBLIC) -> Result:
    """`answers`: STUN error codes by peer, 0 for allowed; `public`: the one that must be."""
    seen = ", ".join(f"{peer}: {code or 'allowed'}" for peer, code in answers.items())
    allowed = [peer for peer, code in answers.items() if code not in turn.REFUSED and peer != public]
    if allowed:
        return Result(
            "failed",
            f"whoever may use the relay reaches {', '.join(allowed)} through it",
            seen,
            "stop it now: samsesh config set turn.enabled false, samsesh up; then report this",
        )
    if answers[public]:
        return Result(
            "failed",
            "the relay leads nowhere: it refuses a public address too",
            seen,
            "see: samsesh logs coturn",
        )
    return Result("ok", f"all {len(answers) - 1} private addresses are refused", seen)
