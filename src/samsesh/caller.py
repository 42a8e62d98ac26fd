"""The doctor as a caller: what the checks of calls learn once and share, and what is taken away after the last of them.

A SamseshError of these functions is what the check that asked has found.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from samsesh import stranger
from samsesh.clients import participant, rtc, sfu
from samsesh.diagnosis import NeedError, Patient, Result, aside
from samsesh.errors import SamseshError
from samsesh.ops import doctor_account, service_account
from samsesh.ops.server import Server

MEMBER = "org.matrix.msc3401.call.member"
REACHED = ("gateway", "synapse", "rtc-auth", "livekit")


async def unable(patient: Patient, *units: str) -> Result | None:
    """The result of a check of calls where there are none; NeedError where one of these services does not answer."""
    if off := calls_off(patient.server):
        return off
    await patient.need(*units)
    return None


def calls_off(server: Server) -> Result | None:
    provider = server.settings.calls.provider
    if provider != "element-call":
        what = "there are only one-to-one calls" if provider == "off" else "calls are on another server"
        return Result("skipped", f"calls.provider is {provider}: {what}")
    return part_off(server, "calls")


async def must_be_started(patient: Patient) -> None:
    """A stopped server is told once, by `services` and `calls-transports`."""
    if all(service["state"] == "stopped" for service in (await patient.status())["services"]):
        raise NeedError("needs the server, which is stopped")


def part_off(server: Server, name: str) -> Result | None:
    """Why a part is off, as the plan says it; None where it is not."""
    off = next((off for off in server.plan.offer.off if off.name == name), None)
    return Result("skipped", off.reason, advice=off.advice) if off else None


def turn_off(server: Server) -> Result | None:
    if not server.settings.turn.enabled:
        return Result("skipped", "turn.enabled is false: there is no relay")
    return part_off(server, "turn")


async def browser(patient: Patient) -> rtc.Browser:
    async def learn() -> rtc.Browser:
        way = await stranger.way(patient)
        return await patient.tidy.enter_async_context(rtc.browser(way.async_client(rtc.SECONDS)))

    found: rtc.Browser = await patient.once("browser", learn)
    return found


async def person(patient: Patient) -> rtc.Person:
    """The doctor's account, through the public address."""

    async def learn() -> rtc.Person:
        server = replace(patient.server, say=_held)
        device = await aside(lambda: doctor_account.ensure(server))
        base = patient.server.plan.offer.addresses["homeserver"]
        return rtc.Person(await browser(patient), base, device.user_id, device.device_id, device.token)

    found: rtc.Person = await patient.once("person", learn)
    return found


def _held(_: str) -> None:
    """Called where another command holds the home; the account is made once, so that this is rare."""
    raise NeedError(
        "needs the doctor's account, which is made when no other command is at work on this server"
    )


async def room(patient: Patient) -> str:
    """A new room as an app makes one; it is deleted without a trace in the end."""

    async def learn() -> str:
        doctor = await person(patient)
        made = await doctor.ask(
            "POST", f"{rtc.CLIENT}/v3/createRoom", {"preset": "private_chat", "name": "Doctor"}
        )
        if made.status != 200:
            raise SamseshError(f"no room could be made ({made})", "see: samsesh logs synapse")
        found = str(made.body["room_id"])
        patient.tidy.push_async_callback(_purge, patient.server, found)
        return found

    found: str = await patient.once("room", learn)
    return found


async def _purge(server: Server, room_id: str) -> None:
    def purge() -> None:
        with service_account.client(server) as synapse:
            synapse.request("DELETE", f"/_synapse/admin/v2/rooms/{quote(room_id, safe='')}", {"purge": True})

    with suppress(SamseshError):
        await aside(purge)


async def openid(patient: Patient) -> Mapping[str, Any]:
    """An OpenID token of the doctor's account."""

    async def learn() -> Mapping[str, Any]:
        answer = await (await person(patient)).openid()
        if answer.status != 200 or not answer.readable:
            raise SamseshError(
                f"the homeserver gives no OpenID token that a web page could read ({answer})",
                "see: samsesh logs synapse; a proxy before the server must pass Matrix's answers on unchanged",
            )
        return answer.body

    found: Mapping[str, Any] = await patient.once("openid", learn)
    return found


async def ask_token(
    patient: Patient, token: Mapping[str, Any], slot: str, member: str, room_id: str = ""
) -> rtc.Answer:
    """The authorization service's answer to an OpenID token, for the doctor's own room or another; its LiveKit room is
    deleted in the end."""
    server, doctor = patient.server, await person(patient)
    request = rtc.token_request(
        room_id or await room(patient), slot, token, doctor.user_id, doctor.device_id, member
    )
    answer = await rtc.get_token(await browser(patient), server.plan.offer.rtc_service, request)
    if answer.status == 200:
        with suppress(ValueError, KeyError, TypeError):
            name = str(rtc.claims(str(answer.body["jwt"]))["video"]["room"])
            patient.tidy.push_async_callback(_close, server, name)
    return answer


async def _close(server: Server, name: str) -> None:
    with suppress(SamseshError):
        await sfu.delete_room(livekit_api(server), *livekit_key(server), name)


async def join_token(patient: Patient, slot: str, member: str) -> tuple[str, str]:
    """(LiveKit's URL, JWT) as the authorization service gives them."""
    answer = await ask_token(patient, await openid(patient), slot, member)
    if answer.status != 200:
        raise SamseshError(
            f"the authorization service gives no token ({answer})", "see: samsesh logs rtc-auth"
        )
    return str(answer.body["url"]), str(answer.body["jwt"])


def livekit_api(server: Server) -> str:
    """Where the services of this server reach LiveKit."""
    return f"http://{server.engine.reach(server.plan, 'livekit')}"


def livekit_key(server: Server) -> tuple[str, str]:
    return server.secrets.livekit_key.reveal(), server.secrets.livekit_secret.reveal()


async def readiness(patient: Patient) -> Mapping[str, Any]:
    """What the authorization service says of itself, asked behind the gateway."""
    server = patient.server
    socket = server.plan.unit("rtc-auth").probe.endpoint.socket
    assert socket is not None  # only its webhooks come to a port
    async with rtc.behind(server.engine.on_host(socket)) as here:
        answer = await here.ask("GET", "http://localhost/readyz")
    if "livekit" not in answer.body:
        raise SamseshError(
            f"the authorization service does not say whether it is ready ({answer})",
            "start it again: samsesh restart rtc-auth",
        )
    return answer.body


async def call(patient: Patient, transport: participant.Transport) -> participant.Call:
    """Two participants, each with a token of the service, in a LiveKit room of their own."""
    slot = f"m.call#doctor-{transport}"
    url, first = await join_token(patient, slot, "speaker")
    if patient.server.settings.server.access != "local":
        # The SDK takes no address and no authority of ours; that people reach LiveKit, `calls-sfu` has seen.
        url = livekit_api(patient.server)
    _, second = await join_token(patient, slot, "listener")
    found = await aside(lambda: participant.apart(url, (first, second), transport))
    if found.heard is None and any(pair.transport == transport for pair in found.pairs):
        # One of the two got through, and the other was late: a busy machine, not a firewall.
        found = await aside(lambda: participant.apart(url, (first, second), transport))
    return found


async def unseen(patient: Patient, call: participant.Call) -> Result | None:
    """Why it says nothing that nothing was heard: media goes by the router, which leads nobody of its network back in."""
    server, way = patient.server, await stranger.way(patient)
    if (
        call.heard is not None
        or not stranger.planned(server).nat
        or server.access.host("api") not in way.route
    ):
        return None
    return Result(
        "warning",
        "whether sound gets through only shows from outside: this machine is behind NAT without hairpin",
        told(call),
        "try a call with a phone without Wi-Fi; the ports that the router must lead here: samsesh ports",
    )


async def unable_to_join(patient: Patient) -> Result | None:
    if result := await unable(patient, *REACHED):
        return result
    if reason := participant.obstacle():
        return Result("skipped", reason, advice="install it: pip install 'samsesh[native]'")
    return None


def told(call: participant.Call) -> str:
    """A call in words, for `seen`."""
    steps = [f"joined after {call.joined} s"] if call.joined is not None else ["could not join"]
    steps += [f"heard after {call.heard} s"] if call.heard is not None else []
    steps += [f"{who}: {pair}" for who, pair in zip(("speaker", "listener"), call.pairs, strict=False)]
    return "\n".join([*steps, *([call.error] if call.error else [])])
